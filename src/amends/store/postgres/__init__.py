"""The PostgreSQL store: any number of workers, on any number of hosts, on one database.

**Theory of operation.**

*A commit is one statement* (`commit`, `commit.sql`): one array a column, unnested into the tables, sent in
one message and committed by the server before it answers. One round trip, one transaction, one flush to disk
for as many executions as were ready. There is no BEGIN that a lost connection could leave behind.

*Leases say whom to suspect, fences decide.* Each incarnation of a worker has a row in `leases`, which its
keeper renews, and one in `fences`, which never changes while it lives. Every commit locks its fence FOR
SHARE, and each part of it that writes joins that row: no fence, no rows. Whoever takes over (`keeper`) first
sets `retired` in the fence. That UPDATE waits for a commit that is under way; when it is through, no other
commit of that incarnation can come, and all that did come is visible. Only then, in a later statement, are
its executions given away. So the question whether a silent worker is dead need never be answered: it is made
dead. Commits never touch the lease, so renewing and committing do not wait for each other.

*Who waits for whom.* Commits of different workers share no row but the headers of executions that both write
to: one its owner, the other the sender of a message. All writers lock headers in the order of their numbers
(`locked`), and all else they lock is new, or behind a header that they hold. Order of locks: fence, headers
by number, inbox, audit. Claims and the suspicion of fences skip what is locked (SKIP LOCKED), so they wait
for nobody. Takers wait for commits, at most `patience` seconds, then try again; commits never wait for takers
except to learn that they are fenced.

*Messages.* The number of a message is drawn while its receiver's header is locked, so numbers of one
execution come in the order of commits; numbers of different executions may not. `news` therefore does not
trust a cursor: a message is told once, whatever its number. It finds them by the owner that the header named
when they were sent; a claim re-addresses what it finds and reads the inbox after it is durable, so a message
is either in the claim or in the news. NOTIFY only shortens the wait (`listening`).

*Where it may break, and where that leaves us.*

* The server reports an error on a connection that goes on: the statement was undone, whole. A row to blame:
  it is sought under savepoints (`sift`). A deadlock, a lock not had in time, a serialization failure:
  `StoreBusy`, tried again as it was. No room: `StoreFull`.
* The connection ends (terminated, network, server gone, no answer within `answer` seconds) after the
  statement was sent: `CommitUnknown`. The worker retires its own fence from another connection, which waits
  for the statement that may still run on the server; then it registers anew and reads what there is. It never
  appends again blindly. A connection that ended while idle is replaced before anything is sent.
* The worker dies: nothing of it is in a transaction; its lease runs out. A worker that only stood still finds
  its fence retired at its next commit, or hears it from its keeper, and starts again as a new incarnation.
* The primary dies and a standby is promoted: it may lack the last commits, though they were acknowledged,
  unless replication is synchronous. `epoch` in the fence is the server's timeline, and promotion begins a new
  one: no incarnation that was alive before passes its fence again, so all memory is read anew from what there
  is.

*The driver* is psycopg 3. Measured for exactly this statement (the hot part, COMMIT included, arrays of 1,
10, 100, 1000 rows, fsync on, median of five interleaved rounds, rows a second against psycopg with lists =
1):

    rows   psycopg, literals   without preparing   asyncpg, lists   asyncpg, literals
       1                 2.1                 1.3              1.7                 2.3
      10                 4.5                 1.2              1.0                 1.5
     100                 5.4                 1.8              4.9                 6.2
    1000                 6.3                 4.4              4.3                 4.0

(The machine was shared: differences below a half mean little.) The drivers are equal once arrays travel as
literals (`literals`), which costs 1.5 to 3.5 µs of CPU a row. psycopg sends an unprepared statement in one
round trip too, so the same promise holds behind PgBouncer, where asyncpg needs two; libpq brings several
hosts and `target_session_attrs` for failover; and transactional steps get the same driver's blocking half.

Modules, from the bottom: `literals`, `columns` (how values travel), `statement` (SQL by name, and put
together), `faults` (what errors mean), `link` (one connection), `schema`, `keeper` (leases), `estates` (how
fast what the dead owned is taken over), `listening`, `commit` and `sift` (the hot path, and what happens
when a row is bad), `mail` (group commit for clients), `transact` (a step's own SQL), `reading`, `keys` (of
envelopes), and the sides of the port, `worker_side`, `client_side`, `queueing` and `pausing`, on a common
`core`; `placement` and `placed`, for a server that is one of several (`store.places`).
"""

from __future__ import annotations

from .keys import KeyPart
from .pausing import PausePart
from .placed import PlacedPart
from .queueing import QueuePart


class PostgresStore(QueuePart, KeyPart, PausePart, PlacedPart):
    """A store in a schema of a PostgreSQL database (14 or later). Any number of processes work on it at once.

    url: as libpq takes it (``postgresql://user@host:5432/database``; several hosts, TLS and so on as well).
    schema: where the tables are; made when missing. Times are seconds: lease: without a sign of life for so
    long a worker is taken for dead. look: a worker looks for news at the latest after this time, notified or
    not. patience: how long to wait for another's lock before `StoreBusy`. answer: without an answer of the
    server for so long the connection is given up. step_seconds limits a transactional step. orphaned: what no
    living worker has the code of is left alone for so long, then adopted by one (ended, or parked). pooled:
    behind a pooler in transaction mode (PgBouncer): no prepared statements, no notifications, and the time
    limits must be set for the role. unsafe: accept a server with `synchronous_commit`, `fsync` or
    `full_page_writes` off, which may forget what it said was committed.

    A worker has three connections (one writes, one asks, one listens) and one more during each transactional
    step; a client has one.
    """


__all__ = ["PostgresStore"]
