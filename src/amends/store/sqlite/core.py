"""A store's life: its two connections, its thread, and what happens to them at close, crash and fork."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ...clock import Clock, SystemClock
from ...errors import StoreError
from ..times import check_times
from . import reading
from .connection import SYNCHRONOUS, check_path, open_reader, open_writer
from .faults import explain
from .liveness import WorkerLock
from .mail import Mail
from .schema import bring_up_to_date
from .thread import Executor, WriterThread
from .transact import Guard
from .writer import NOT_OPEN, Writer

FORKED = (
    "the store was opened before this process was forked",
    "open a store in the child: SQLite connections and the worker's lock do not cross a fork",
)


class Core:
    """What both sides of the store stand on. See `SqliteStore` for the arguments."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "FULL",
        inline_rows: int = 128,
        inline_seconds: float = 0.002,
        patience: float = 5.0,
        standby_poll: float = 0.1,
        step_seconds: float = 5.0,
        max_pages: int | None = None,
        clock: Clock | None = None,
        executor: Executor | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        if synchronous.upper() not in SYNCHRONOUS:
            raise StoreError(
                f"synchronous={synchronous!r} is unknown", hint=f"one of {', '.join(SYNCHRONOUS)}"
            )
        check_times(0, patience=patience, standby_poll=standby_poll)
        check_times(0.01, step_seconds=step_seconds)
        if max_pages is not None and max_pages < 1:
            raise StoreError(
                f"max_pages={max_pages!r}; expected at least 1", hint="leave it out for no limit"
            )
        self.path = os.fspath(path)
        self.max_pages = max_pages
        self._synchronous = synchronous.upper()
        self._inline_rows = inline_rows
        self._standby_poll = standby_poll
        self._step_seconds = step_seconds
        self._clock = clock or SystemClock()
        self._executor: Executor = executor or WriterThread("amends-store")
        self._guard = Guard(self._clock)
        self._writer = Writer(
            self.path,
            self._connect,
            self._executor,
            self._clock,
            patience=patience,
            quick=inline_seconds,
            pause=pause or threading.Event().wait,
        )
        self._reader: apsw.Connection | None = None
        self._reading = threading.Lock()
        self._lock = WorkerLock(self.path)
        self._incarnation: int | None = None
        self._was_worker = False
        self._owned: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._generation = 0
        self._versions: list[object] = [None, None]
        self._callers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._mails: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mail] = weakref.WeakKeyDictionary()
        _stores.add(self)

    def _connect(self, busy: Callable[[int], bool]) -> apsw.Connection:
        connection = open_writer(self.path, self._synchronous, self.max_pages, busy)
        self._guard.install(connection)
        return connection

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises `SchemaMismatch`, `StoreError`."""
        if self._writer.refusal is None:
            return
        check_path(self.path)
        self._writer.refusal = None
        try:
            await self._writer.job(self._prepare)
            self._writer.check_open()  # who closed it meanwhile would not close the reader
            self._reader = open_reader(self.path)
        except BaseException:
            await self.close()
            raise

    def _prepare(self) -> None:
        connection = self._writer.connection()
        try:
            bring_up_to_date(connection, self.path)
        except apsw.Error as error:
            raise explain(error, self.path) from error

    async def close(self) -> None:
        """Let go of everything. A worker that did not retire counts as dead."""
        if self._writer.refusal is not None:
            return
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()  # first, so that the writer is the last one, which may remove the log
        if self._was_worker and self._lock.take():
            self._writer.take_checkpoints(True)
        await self._writer.job(self._writer.drop)
        self._ended()

    def abandon(self) -> None:
        """Vanish as a killed process would, in the middle of whatever it is (for simulations of crashes)."""
        if self._writer.refusal is not None and not self._lock.held:
            return
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._writer.take_checkpoints(False)
        self._writer.disconnect()
        self._ended()

    def _ended(self) -> None:
        self._executor.stop()
        self._lock.release()
        self._incarnation = None
        self._was_worker = False
        self._owned.clear()
        self._mails.clear()

    async def tidy(self) -> None:
        """Copy the write-ahead log into the file and empty it. For a quiet moment; only a worker does it."""
        if self._incarnation is not None:
            await self._writer.job(self._writer.truncate_log)

    def limit_pages(self, pages: int) -> None:
        """Limit the file to so many pages (never less than it has), for tests of a full disk."""
        self.max_pages = pages
        self._writer.peek(f"PRAGMA max_page_count={pages:d}")

    async def changed(self) -> bool:
        """May another process, or a client of this object, have written since this task last asked?"""
        version = self._writer.peek("PRAGMA data_version")
        which = 0  # the writer sees only what others write
        if version is None:
            which = 1  # it is at work; the reader sees our own commits as well
            found = self._read(lambda db: db.execute("PRAGMA data_version").fetchall())
            version = (0, found[0][0])
        if self._versions[which] != version:
            self._versions[which] = version
            self._generation += 1
        caller = asyncio.current_task()
        if caller is None:
            return True
        seen = self._callers.get(caller)
        self._callers[caller] = self._generation
        return seen != self._generation

    def _read(self, work: Callable[[apsw.Connection], Any]) -> Any:
        """Read on the reading connection, here and now (reads are short and wait for nobody)."""
        reader = self._reader
        if reader is None:
            message, hint = self._writer.refusal or NOT_OPEN
            raise StoreError(message, hint=hint)
        with self._reading:
            try:
                return work(reader)
            except apsw.Error as error:
                raise explain(error, self.path) from error

    def _fetch(self, name: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._read(lambda db: reading.fetch(db, name, parameters))
        return found

    def _leave_to_parent(self) -> None:
        """In a forked child: touch nothing that belongs to the parent."""
        _parents.append((self._writer.leak(FORKED), self._reader, self._writer))
        self._reader = None
        self._reading = threading.Lock()
        self._incarnation = None
        self._was_worker = False
        self._owned = {}
        self._lock.drop_after_fork()
        if isinstance(self._executor, WriterThread):
            self._executor.forget()


_stores: weakref.WeakSet[Core] = weakref.WeakSet()
_parents: list[Any] = []  # what a child must not close: closing could checkpoint under the parent's feet


def _forked() -> None:
    for store in list(_stores):
        store._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
