"""The SQLite store: one file, nothing to start.

Its modules, from the bottom: `sql` (statements by name), `faults` (what errors mean), `connection` and
`schema` (opening a file), `thread` and `writer` (one writing connection, one transaction at a time),
`liveness` (who is the worker), `commit` and `sift` (the hot path, and what happens when a row is bad),
`transact` (a step's own SQL), `reading`, `keys` (of envelopes), `tasks` and `queueing` (queues),
`pausing`, and the two sides of the port, `worker_side` and `client_side`, on a common `core`.
"""

from __future__ import annotations

from .client_side import ClientPart
from .keys import KeyPart
from .pausing import PausePart
from .queueing import QueuePart
from .worker_side import WorkerPart


class SqliteStore(WorkerPart, ClientPart, KeyPart, PausePart, QueuePart):
    """A store in one SQLite file. One process works on it at a time; any number may start, send and read.

    Durable means on disk: WAL with `synchronous="FULL"` (`"NORMAL"` may lose the last commits at a power
    failure, never at a crash of the process).  The file must be on a local disk.

    Batches of at most `inline_rows` writes are committed in the caller's thread while commits take less
    than `inline_seconds` on average, the others in the store's own thread.  `patience` is how many seconds
    to wait for another process's lock before `StoreBusy`; `step_seconds` limits a transactional step;
    `standby_poll` is how often a waiting worker looks whether the other is gone; `max_pages` limits the
    file (4 KiB each). `clock`, `executor` and `pause` (a blocking sleep) are seams for simulation.

    Tables of transactional steps live in the same file; those of amends begin with ``amends_``.
    """


__all__ = ["SqliteStore"]
