"""The one connection that changes the file.

**Theory of operation.**  All changes pass through one writer connection, one transaction at a time, each
begun with BEGIN IMMEDIATE (a read that becomes a write would not wait for a lock but fail).  A transaction
runs in one of two places: in the caller's thread (`now`), when nothing else runs or waits and the disk has
lately been quick; or in the writer's thread (`run`), where transactions queue.  `_lock` is held during
each, whoever runs it.

What may go wrong, and where that leaves us:

* *before COMMIT*: roll back; nothing was changed; raise what the error means.
* *COMMIT says the disk is full, the file is locked, or a deferred constraint fails*: SQLite kept the
  transaction open; roll back; nothing changed.
* *COMMIT fails in another way, or the roll-back fails*: the log may hold a complete transaction that nobody
  was told of.  Raise `CommitUnknown`, and mark the connection broken: the next transaction opens a new one.
  Closing the old one ends its transaction either way, and whatever the new one commits first settles the
  matter for good, because it overwrites the log at that place.

What is a whole transaction by itself, a single statement or a few with their BEGIN and COMMIT, is one call of
the driver (`alone`).  Which of the above went wrong is told from the error: what surely changed nothing is
rolled back and left to the long way, which says what is wrong; all else is `CommitUnknown`.

Checkpoints (copying the log into the file) run in the writer's thread after a commit was acknowledged, not
inside it.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import apsw

from ...clock import Clock
from ...errors import CommitUnknown, StoreError
from .connection import checkpoint_on_close
from .faults import explain, is_data_error, translate
from .thread import Executor

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
After = Callable[[T], object]
Connect = Callable[[Callable[[int], bool]], apsw.Connection]

CHECKPOINT_PAGES = 1000  # 4 MB of log; between 200 and 20,000 pages the size makes no useful difference
_PACE_WEIGHT = 0.2
_LONGEST_PAUSE = 0.025
_UNCHANGED = (apsw.FullError, apsw.BusyError, apsw.ConstraintError, apsw.SQLError)
"""Errors that come with the promise that nothing was changed."""
NOT_OPEN = (
    "the store is not open",
    "use it inside `async with` of its engine or client",
)


class NotNow(enum.Enum):
    """Nothing has happened: the transaction could have taken long."""

    NOT_NOW = enum.auto()


NOT_NOW: Final = NotNow.NOT_NOW


class _Locked(Exception):
    """Another process holds the write lock, and this thread must not wait for it."""


class Writer:
    """Serialises transactions on one connection. `connect` opens it (again).

    `patience` is how long to wait for another process's lock, `quick` up to which average duration of a
    commit the caller's thread may do it; both in seconds.
    """

    def __init__(
        self,
        path: str,
        connect: Connect,
        executor: Executor,
        clock: Clock,
        *,
        patience: float,
        quick: float,
        pause: Callable[[float], object],
    ) -> None:
        self.path = path
        self.refusal: tuple[str, str] | None = NOT_OPEN
        self.checkpoint_failure: apsw.Error | None = None
        self.unknown = False  # has a commit ended as nobody knows, and not been cleared up yet?
        self.untidy = False  # has anything been written since the log was last truncated?
        self._connect = connect
        self._executor = executor
        self._clock = clock
        self._patience = patience
        self._quick = quick
        self._pause = pause
        self._lock = threading.Lock()
        self._given = 0  # jobs handed to the executor (counted by the event loop)
        self._done = 0  # jobs finished (counted by the thread)
        self._connection: apsw.Connection | None = None
        self._connected = 0
        self._broken = False
        self._inline = False
        self._waiting_since = 0.0
        self._checkpoints = False
        self._checkpoint_queued = False
        self._log_pages = 0
        self._wrote = False
        self._pace = 0.0  # how long recent commits took, seconds, averaged

    # -- the connection

    def connection(self) -> apsw.Connection:
        """The connection; a new one after a broken commit. Raises `StoreError` unless the store is open."""
        self.check_open()
        connection = self._connection
        if connection is not None and not self._broken:
            return connection
        self._disconnect(force=self._broken)
        connection = self._connect(self._be_patient)
        connection.set_wal_hook(self._logged)
        checkpoint_on_close(connection, self._checkpoints)
        self._connection = connection
        self._connected += 1
        self._broken = False
        return connection

    def disconnect(self, refusal: tuple[str, str] = NOT_OPEN) -> None:
        """Let go of the connection, after the transaction that may be running."""
        with self._lock:
            self.refusal = refusal
            self._disconnect()

    def drop(self) -> None:
        """Let go of the connection, as a `job`."""
        self.refusal = NOT_OPEN
        self._disconnect()

    def leak(self, refusal: tuple[str, str]) -> apsw.Connection | None:
        """Forget the connection without touching it (in a forked child, where even closing it does harm)."""
        self.refusal = refusal
        self._lock = threading.Lock()  # the parent's thread may have held the old one
        self._given = self._done = 0
        connection, self._connection = self._connection, None
        return connection

    def take_checkpoints(self, wanted: bool) -> None:
        """Does this process copy the log into the file (a worker), or leave that to another (a client)?"""
        with self._lock:
            self._checkpoints = wanted
            if self._connection is not None:
                checkpoint_on_close(self._connection, wanted)

    def _disconnect(self, *, force: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force)

    def check_open(self) -> None:
        """Raise `StoreError` unless the store is open."""
        if self.refusal is not None:
            raise StoreError(self.refusal[0], hint=self.refusal[1])

    # -- running transactions

    def alone(
        self, statements: str, values: Sequence[Any]
    ) -> list[tuple[Any, ...]] | Literal[NotNow.NOT_NOW]:
        """Run what is a transaction of its own, in this thread, in one call: the rows that it yields.

        `NOT_NOW`: that could take long, or cannot be; nothing has happened, and `run` will say why.
        """
        if not self._take():
            return NOT_NOW
        try:
            connection = self.connection()
            began = self._clock.monotonic()
            self._wrote = False
            try:
                found = connection.execute(statements, values).fetchall()
            except Exception as error:
                if not isinstance(error, _UNCHANGED) and not is_data_error(error):
                    raise self._unknown(error) from error
                if not self._roll_back(connection):
                    raise self._unknown(error) from error
                return NOT_NOW
            if self._wrote:
                self._pace += (self._clock.monotonic() - began - self._pace) * _PACE_WEIGHT
            return found
        finally:
            self._give_back()

    def now(self, work: Work[T], after: After[T] | None = None) -> T | Literal[NotNow.NOT_NOW]:
        """Run a transaction in this thread, unless that could take long; `after` it is durable, that."""
        if not self._take():
            return NOT_NOW
        try:
            return self._transaction(work, after)
        except _Locked:
            return NOT_NOW
        finally:
            self._give_back()

    def _take(self) -> bool:
        """Take the connection into this thread, unless that could take long."""
        self.check_open()
        if self._given != self._done or self._pace > self._quick or not self._lock.acquire(blocking=False):
            return False
        self._inline = True
        return True

    def _give_back(self) -> None:
        self._inline = False
        self._lock.release()
        if self._log_pages >= CHECKPOINT_PAGES:
            self._checkpoint_soon()

    def peek(self, statement: str) -> tuple[int, Any] | None:
        """One value from this connection, and which connection (by count) it is; None if it is at work."""
        if self._given != self._done or not self._lock.acquire(blocking=False):
            return None
        try:
            value = self.connection().execute(statement).fetchall()[0][0]
            return self._connected, value
        except apsw.Error:
            return None
        finally:
            self._lock.release()

    async def soon(self, work: Work[T], after: After[T] | None = None) -> T:
        """Run a small transaction: at once if possible, else in its turn."""
        result = self.now(work, after)
        if result is NOT_NOW:
            return await self.run(work, after)
        return result

    async def run(self, work: Work[T], after: After[T] | None = None) -> T:
        """Run a transaction in the writer's thread, in its turn. Cancelling the caller does not stop it."""
        return await self.job(lambda: self._transaction(work, after))

    async def job(self, work: Callable[[], T]) -> T:
        """Run `work` in the writer's thread, with the connection to itself."""
        self.check_open()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            result: Any = None
            failure: BaseException | None = None
            try:
                with self._lock:
                    result = work()
            except BaseException as error:  # noqa: BLE001  # carried to the caller, whatever it is
                failure = error
            self._done += 1
            if self._log_pages >= CHECKPOINT_PAGES:
                self._checkpoint_soon()
            try:
                loop.call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

        self._given += 1
        self._executor.submit(job)
        return await future

    def _transaction(self, work: Work[T], after: After[T] | None) -> T:
        connection = self.connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            if self._inline and isinstance(error, apsw.BusyError):
                raise _Locked from error
            raise explain(error, self.path) from error
        try:
            result = work(connection)
        except BaseException as error:
            self._roll_back(connection)
            raise translate(error, self.path) from error
        self._commit(connection)
        if after is not None:
            try:
                after(result)
            except apsw.Error as error:
                raise self._unknown(error) from error
        return result

    def _commit(self, connection: apsw.Connection) -> None:
        began = self._clock.monotonic()
        self._wrote = False
        try:
            connection.execute("COMMIT")
        except (apsw.FullError, apsw.BusyError, apsw.ConstraintError) as error:
            if self._roll_back(connection):
                raise explain(error, self.path) from error
            raise self._unknown(error) from error
        except apsw.Error as error:
            raise self._unknown(error) from error
        if self._wrote:
            self._pace += (self._clock.monotonic() - began - self._pace) * _PACE_WEIGHT

    def _roll_back(self, connection: apsw.Connection) -> bool:
        try:
            if connection.in_transaction:  # some errors have rolled it back already
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._broken = True
            return False
        return True

    def _unknown(self, error: Exception) -> CommitUnknown:
        self._broken = self.unknown = True
        return CommitUnknown(
            f"SQLite failed while committing to {self.path}, which may or may not be durable: {error}",
            hint="look at the disk's health; the worker retires its incarnation and reads again",
        )

    def _be_patient(self, tries: int) -> bool:
        """Called by SQLite while another process holds the lock: wait a little and try again?"""
        if self._inline:
            return False
        now = self._clock.monotonic()
        if tries == 0:
            self._waiting_since = now
        if now - self._waiting_since >= self._patience:
            return False
        self._pause(min(_LONGEST_PAUSE, 0.001 * (tries + 1)))
        return True

    # -- checkpoints

    def _logged(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wrote = self.untidy = True
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_soon(self) -> None:
        if self._checkpoints and not self._checkpoint_queued:
            self._checkpoint_queued = True
            self._executor.submit(self._checkpoint)

    def _checkpoint(self) -> None:
        with self._lock:
            self._checkpoint_queued = False
            self._copy_log(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def truncate_log(self) -> None:
        """Copy the log into the file and empty it, if readers allow. Run it as a `job`."""
        if self.untidy:
            self.untidy = not self._copy_log(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _copy_log(self, mode: int) -> bool:
        """Checkpoint, without waiting for readers. Has it done all it should?

        A failure is kept in `checkpoint_failure`: nothing is lost, the log grows, and the next one tries
        again.
        """
        connection = self._connection
        if connection is None or self._broken or not self._checkpoints:
            return False
        self._inline = True
        try:
            logged, copied = connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:  # a reader holds an old part of the log
            return False
        except apsw.Error as error:
            self.checkpoint_failure = error
            return False
        finally:
            self._inline = False
        self._log_pages = logged - copied
        self.checkpoint_failure = None
        return True


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        return
    if isinstance(failure, StopIteration):  # a future cannot carry it
        failure = RuntimeError("StopIteration escaped from a transaction")
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
