"""Runs that other processes make ahead of their turn.

**Theory of operation.**  Paths are independent: a run is a function of its path, and of what runs *before* it
in its own line of descent have told of their points (`Subject.calls`).  All paths of a level are known, with
their ancestors run, when its first one is next.  So at that moment we fork: each child has all that is known
by then, plays every n-th of the paths, and writes what it saw (`Seen`) into a pipe.  The parent goes on as if
it ran them itself: one path after the other, in their order, each with what the child saw of it.  Hence the
report is the same, to the order of its findings, however many processes there were.

A child never decides anything.  Where a run fails (the saga does not do the same thing twice, a step needs
the network) it passes the path over; the parent plays it, and meets the same.  So it does if a child dies.

It is done where forking is safe (Linux, no other threads) and worth it (many paths left).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import BinaryIO

import msgspec

from .choices import Path
from .seeing import Seen

_WORTHWHILE = 200
"""Fewer paths than this are sooner played than divided."""
_SIZE = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Seen).decode

See = Callable[[Path, int], Seen]


def usable() -> int:
    """How many processes to divide the work among, unless somebody says: the cores, where forking is safe."""
    if sys.platform != "linux" or "PYTEST_XDIST_WORKER" in os.environ:  # there the cores are busy already
        return 1
    alone = sum(1 for _ in FilePath("/proc/self/task").iterdir()) == 1
    return len(os.sched_getaffinity(0)) if alone else 1


class Ahead:
    """See the module's theory of operation. `jobs`: how many processes; 1 runs every path here."""

    def __init__(self, see: See, jobs: int) -> None:
        self._see = see
        self._jobs = jobs
        self._children: list[_Child] = []
        self._promised: deque[_Child] = deque()

    def seen(self, path: Path, number: int, following: Sequence[Path]) -> Seen:
        """What the run along `path` shows, the `number`-th of all; `following` are those that come next."""
        if not self._promised and self._jobs > 1 and len(following) >= _WORTHWHILE:
            self._divide([path, *following], number)
        seen = self._promised.popleft().next() if self._promised else None
        return self._see(path, number) if seen is None else seen

    def _divide(self, paths: list[Path], number: int) -> None:
        self.close()
        _flush()  # else what is buffered now would be written by each child, too
        jobs = self._jobs
        try:
            for first in range(jobs):
                mine = range(first, len(paths), jobs)
                child = _Child(self._see, [(paths[place], number + place) for place in mine])
                self._children.append(child)
        except OSError:  # no more processes can be had
            self._jobs = 1
            self.close()
        else:
            self._promised.extend(self._children[place % jobs] for place in range(len(paths)))

    def close(self) -> None:
        """No more of them is wanted."""
        self._promised.clear()
        for child in self._children:
            child.end()
        self._children = []


class _Child:
    """A process that plays paths and tells what it saw."""

    def __init__(self, see: See, paths: Sequence[tuple[Path, int]]) -> None:
        reader, writer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if not self._pid:
            try:
                os.close(reader)
                with os.fdopen(writer, "wb") as told:
                    _work(see, paths, told)
                _flush()
            finally:
                os._exit(0)  # whatever it was: the parent plays what is missing
        os.close(writer)
        self._told: BinaryIO = os.fdopen(reader, "rb")

    def next(self) -> Seen | None:
        """What it saw along the next of its paths; None: nothing."""
        size = int.from_bytes(self._told.read(_SIZE), "big")
        data = self._told.read(size)
        return _decode(data) if size and len(data) == size else None

    def end(self) -> None:
        """Stop it, and wait for its end."""
        self._told.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # where SIGCHLD is ignored
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _work(see: See, paths: Sequence[tuple[Path, int]], told: BinaryIO) -> None:
    for path, number in paths:
        try:
            data = _encode(see(path, number))
        except Exception:  # noqa: BLE001 - the parent plays it, and raises
            data = b""
        told.write(len(data).to_bytes(_SIZE, "big") + data)
