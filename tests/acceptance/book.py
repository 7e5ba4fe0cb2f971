"""The book: what the steps themselves wrote down of what reached them, one line for each beginning and end.

A line is appended by one `write` of a file opened with O_APPEND, and is on disk (fsync) before the step goes
on.  A process killed at any moment leaves the whole line or nothing: the kernel lets go of a write only
between two pages of the file, and as all lines are of one length, which divides that of a page, none is on
two.  Lines carry no times: their
order in the one file is the order of events over all processes.  Whoever kills a worker writes a mark of its
own once the process is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Self

import amends

BEGUN, DONE, REJECTED, FAILED, CANCELLED, KILLED = (
    "begun",
    "done",
    "rejected",
    "failed",
    "cancelled",
    "killed",
)


RECORD = 256
"""Bytes of a line, its end included."""


class Line(NamedTuple):
    """One line. A mark has only an outcome, what was done as its action, and to which process.

    place: where in the saga the action stands; what runs in parallel shares a place.
    """

    id: str  # of the execution; a child's begins with its parent's
    action: str  # the step's name
    place: int
    key: str  # the idempotency key
    direction: str
    outcome: str
    pid: int = 0  # the process that wrote it

    @property
    def root(self) -> str:
        """The id of the execution that the user started."""
        return self.id.partition("~")[0]

    @property
    def where(self) -> str:
        """The action: its key without the direction."""
        return self.key.rpartition("/")[0]


class Book:
    """The file of a test's folder. In a worker it is a resource of the engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "book"
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._syncing: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    # ------------------------------------------------------------ writing

    def append(self, line: Line) -> None:
        """Write a line; whole, but perhaps not yet on disk."""
        data = json.dumps(line).encode().ljust(RECORD - 1) + b"\n"
        assert len(data) == RECORD, f"a longer line than the book has: {line}"
        assert os.write(self._file, data) == RECORD

    def sync(self) -> None:
        """Bring on disk what was appended."""
        os.fsync(self._file)

    async def synced(self) -> None:
        """The same for coroutines: one fsync serves all who came before it began."""
        loop = asyncio.get_running_loop()
        if self._syncing is None:
            self._begin_sync(loop.create_future())
            assert self._syncing is not None
            await asyncio.shield(self._syncing)
            return
        if self._next is None:
            self._next = loop.create_future()
        await asyncio.shield(self._next)

    def _begin_sync(self, waited: asyncio.Future[None]) -> None:
        self._syncing = waited
        done = asyncio.get_running_loop().run_in_executor(None, os.fsync, self._file)
        done.add_done_callback(self._end_sync)

    def _end_sync(self, done: asyncio.Future[None]) -> None:
        waited, self._syncing = self._syncing, None
        assert waited is not None
        if not waited.done():
            waited.set_result(None)
        following, self._next = self._next, None
        if following is not None:
            self._begin_sync(following)

    def mark(self, what: str, pid: int = 0, *, place: int = 0) -> None:
        """A worker was killed and is gone, or something else was done to it or to the store.

        place: 1, it begins, 2, it is over, 0, both.
        """
        self.append(Line("", what, place, "", "", KILLED, pid))
        self.sync()

    # ------------------------------------------------------------ reading

    def lines(self) -> list[Line]:
        return [Line(*json.loads(text)) for text in self.path.read_bytes().splitlines()]

    def size(self) -> int:
        """How many lines there are."""
        return self.path.stat().st_size // RECORD

    def count(self, **wanted: Any) -> int:
        """How many lines are so."""
        return sum(all(getattr(line, k) == v for k, v in wanted.items()) for line in self.lines())


def entry(action: str, place: int, outcome: str) -> Line:
    """The line that the running step writes."""
    now = amends.current()
    return Line(now.id, action, place, now.idempotency_key, now.direction, outcome, os.getpid())
