"""Who is the worker of this file: a lock that the operating system gives back when its holder dies.

The lock is on a file of its own beside the database.  No heartbeat, no clock, no guess: as long as the
holder lives, even stopped in a debugger, nobody else gets it.  A forked child inherits the open file and
with it the lock, which would outlive the worker; `drop_after_fork` closes it there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ...errors import StoreError


class WorkerLock:
    """The right to be the worker of one database file."""

    def __init__(self, path: str) -> None:
        self.path = f"{Path(path).resolve()}.worker"
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Does this object hold the lock?"""
        return self._file is not None

    def take(self) -> bool:
        """Try to get the lock, without waiting. The file names the holder's process, for people."""
        if self._file is not None:
            return True
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited by programs we start
        except OSError as error:
            raise StoreError(
                f"cannot open the worker's lock file {self.path}: {error.strerror}",
                hint="give this user the right to write in the directory of the database",
            ) from error
        if not _lock(file):
            os.close(file)
            return False
        self._file = file
        with contextlib.suppress(OSError):  # a full disk: it is ours all the same
            os.ftruncate(file, 0)
            os.write(file, b"%d\n" % os.getpid())
        return True

    def probe(self) -> bool:
        """Could it be taken now? Leaves the file as it is."""
        try:
            file = os.open(self.path, os.O_RDWR)
        except OSError as error:
            raise StoreError(
                f"cannot open the worker's lock file {self.path}: {error.strerror}",
                hint="give this user the right to read and write it",
            ) from error
        try:
            if not _lock(file):
                return False
            _unlock(file)
            return True
        finally:
            os.close(file)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two holders lock two files."""
        file, self._file = self._file, None
        if file is not None:
            _unlock(file)
            os.close(file)

    def drop_after_fork(self) -> None:
        """In a forked child: close the inherited file, which leaves the parent's lock alone."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def holder(path: str) -> int | None:
    """The process that is the worker of this database file; None: nobody, 0: somebody who has not said.

    It tries the lock, so a worker that starts in this very instant stands by for one look more.
    """
    if not Path(f"{Path(path).resolve()}.worker").exists():
        return None
    lock = WorkerLock(path)
    if lock.probe():
        return None
    said = Path(lock.path).read_text(encoding="ascii", errors="replace").strip()
    return int(said) if said.isdigit() else 0


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # locks on Windows forbid reading, so lock a byte where nobody reads

    def _lock(file: int) -> bool:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
