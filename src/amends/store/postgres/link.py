"""One connection to the database, opened when needed and again after it was lost.

**Theory of operation.**  A link has at most one connection and runs one statement at a time.  Statements run
in autocommit: each is a transaction of its own, and its COMMIT travels with it.  `transact` holds the link
for several statements.  Commits go by the shortest way (`send`, `ask`; see `wire`) unless a pooler's
connection forbids it; all else goes through the driver.

A statement, once sent, is never cancelled by its caller's cancellation: what becomes of it matters more than
who still wants to know.  If the server does not answer within `answer` seconds the socket is shut down, so
that a network that swallows packets looks like a connection that ends: `Lost`, and nobody can say what was
committed.  A connection that ended while it lay idle is noticed before anything is sent on it, and replaced.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import psycopg

from ...eager import start_eagerly
from ...errors import StoreBusy, StoreError
from .faults import Lost, ends_connection, explain
from .statement import Composed
from .wire import FORGOTTEN, Wire

T = TypeVar("T")
Rows = list[tuple[Any, ...]]
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Run = Callable[..., Awaitable[Rows]]
Told = Callable[[dict[str, Any], Exception | None], None]
NOT_OPEN = ("the store is not open", "use it inside `async with` of its engine or client")


class Link:
    """See the module's theory of operation. `connect` opens a connection; `where` names it for people."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], where: str, *, answer: float, prepared: bool
    ) -> None:
        self.refusal: tuple[str, str] | None = NOT_OPEN
        self.where = where
        self._connect = connect
        self._answer = answer
        self._prepared = prepared
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._wire: Wire | None = None
        self._left: list[Connection] = []
        self._doubt = ""
        self._running: set[asyncio.Future[Any]] = set()

    def open(self) -> None:
        """From now on it may be used (it connects at its first use)."""
        self.refusal = None
        self._lock = asyncio.Lock()  # of the event loop that uses it now

    def check_open(self) -> None:
        """Raise `StoreError` unless the store is open."""
        if self.refusal is not None:
            raise StoreError(self.refusal[0], hint=self.refusal[1])

    async def fetch(self, sql: str, values: Mapping[str, Any] | None = None) -> Rows:
        """Run one statement as one transaction, in its turn; returns its rows.

        Raises `psycopg.Error` for what the server refused (nothing was changed), `Lost`, `StoreError`.
        """
        return await self._finish(lambda: self._fetch(sql, values))

    async def ask(self, statement: Composed, values: Mapping[str, str]) -> dict[str, Any]:
        """Run the statement of a commit, as one transaction; returns its one row by name.

        Raises as `fetch` does, and `UnicodeError` for what is no text.
        """
        return dict(
            zip(statement.names, await self._finish(lambda: self._ask(statement, values)), strict=True)
        )

    def send(self, statement: Composed, values: Mapping[str, str], told: Told) -> bool:
        """The same without a task, where nothing stands before it: `told` gets the row by name, or what `ask`
        would have raised. False: nothing was sent, use `ask`. Raises `UnicodeError`, `StoreError`."""
        self.check_open()
        wire, connection = self._wire, self._connection
        if wire is None or connection is None or not wire.knows(statement) or wire.ended():
            return False
        if not _took(self._lock):
            return False

        def heard(result: Any, error: Exception | None) -> None:
            row: dict[str, Any] = {}
            if isinstance(error, psycopg.Error) and ends_connection(error, connection):
                error = Lost(str(error).strip())
                self._leave(connection)
            elif isinstance(error, FORGOTTEN):
                wire.forget()
            elif self._doubt:
                error = self._doubted()
            elif error is None:
                try:
                    row = dict(zip(statement.names, wire.row(result), strict=True))
                except Exception as unreadable:  # noqa: BLE001 - told as any error
                    error = unreadable
            self._lock.release()
            self._let_go()
            told(row, error)

        try:
            wire.send(statement, values, heard)
        except UnicodeError:
            self._lock.release()
            raise
        return True

    async def read(self, sql: str, values: Mapping[str, Any] | None = None) -> Rows:
        """The same for what changes nothing: asked again once if the connection was lost."""
        try:
            return await self.fetch(sql, values)
        except Lost:
            return await self.fetch(sql, values)

    async def transact(self, work: Callable[[Run], Awaitable[T]]) -> T:
        """Run several statements as one transaction. An exception of `work` rolls it back."""

        async def together() -> T:
            async with self._transaction() as run:
                return await work(run)

        return await self._finish(together)

    async def close(self) -> None:
        """Let what runs come to its end, and let go of the connection."""
        self.refusal = NOT_OPEN
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
            await asyncio.sleep(0)  # that did not wait for what had ended; `_ended` comes with the next turn
        async with self._lock:
            connection = self._connection
            if connection is not None:
                await self._drop(connection)

    def abandon(self) -> None:
        """The connection ends as that of a killed process does: what was sent still runs on the server."""
        self.refusal = NOT_OPEN
        connection, self._connection = self._connection, None
        wire, self._wire = self._wire, None
        if connection is not None:
            cut(connection)
            if wire is not None and not self._lock.locked():
                wire.rest()
            self._left.append(connection)
        self._let_go()

    # ------------------------------------------------------------ inside

    async def _finish(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry it through, even if whoever asked does not wait for the end."""
        self.check_open()
        loop = asyncio.get_running_loop()
        running = start_eagerly(work(), loop, copy_context(), "statement")
        if not running.done():
            self._running.add(running)
            running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _let_go(self) -> None:
        """Close what was abandoned, once nothing waits for it any more."""
        while self._left and not (self._running or self._lock.locked()):
            self._left.pop().pgconn.finish()

    def _ended(self, running: asyncio.Future[Any]) -> None:
        self._running.discard(running)
        self._let_go()
        if not running.cancelled():
            running.exception()  # whoever asked has it; nobody else need be told

    async def _ask(self, statement: Composed, values: Mapping[str, str]) -> tuple[Any, ...]:
        """In its turn, on a connection that may have to be opened, and to learn the statement."""
        async with self._lock:
            connection = await self._ready()
            wire = self._wire
            if wire is None:
                return (await self._execute(connection, statement.text, values))[0]
            try:
                if wire.knows(statement):
                    return await self._heard(connection, wire.execute(statement, values))
            except FORGOTTEN:
                wire.forget()
            await self._heard(connection, wire.prepare(statement))
            return await self._heard(connection, wire.execute(statement, values))

    async def _fetch(self, sql: str, values: Mapping[str, Any] | None) -> Rows:
        async with self._lock:
            return await self._execute(await self._ready(), sql, values)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Run]:
        async with self._lock:
            connection = await self._ready()

            async def run(sql: str, values: Mapping[str, Any] | None = None) -> Rows:
                return await self._execute(connection, sql, values)

            await run("BEGIN")
            try:
                yield run
            except BaseException:
                if self._connection is connection:
                    with suppress(Lost, psycopg.Error):
                        await run("ROLLBACK")
                raise
            await run("COMMIT")

    async def _ready(self) -> Connection:
        self.check_open()
        connection = self._connection
        if connection is not None:
            try:
                connection.pgconn.consume_input()
            except psycopg.OperationalError:
                await self._drop(connection)
            else:
                return connection
        try:
            connection = await self._connect()
        except psycopg.Error as error:
            raise unreachable(error, self.where) from error
        if self.refusal is not None:  # abandoned meanwhile
            await connection.close()
            self.check_open()
        self._connection = connection
        self._wire = Wire(connection, self._answer, partial(cut, connection)) if self._prepared else None
        connection.add_notice_handler(self._told)
        return connection

    def _told(self, notice: psycopg.errors.Diagnostic) -> None:
        """Whoever cancels a wait for the synchronous standby makes a commit that is only half durable."""
        if notice.sqlstate == "01000" and "synchronous replication" in (notice.message_primary or ""):
            self._doubt = str(notice.message_primary)

    async def _execute(self, connection: Connection, sql: str, values: Mapping[str, Any] | None) -> Rows:
        """The driver's way, for any statement."""
        if self._wire is not None:
            self._wire.rest()
        timer = asyncio.get_running_loop().call_later(self._answer, cut, connection)
        try:
            prepare = self._prepared and values is not None
            cursor = await self._heard(connection, connection.execute(sql, values, prepare=prepare))
            result = cursor.pgresult
            return await cursor.fetchall() if result is not None and result.nfields else []
        finally:
            timer.cancel()

    async def _heard(self, connection: Connection, answer: Awaitable[T]) -> T:
        """What the server answers. Raises `Lost` when nobody knows what was committed."""
        try:
            found = await answer
        except psycopg.Error as error:
            if ends_connection(error, connection):
                await self._drop(connection)
                raise Lost(str(error).strip()) from error
            raise
        if self._doubt:
            raise self._doubted()
        return found

    def _doubted(self) -> Lost:
        doubt, self._doubt = self._doubt, ""
        return Lost(doubt)

    async def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        await connection.close()

    def _leave(self, connection: Connection) -> None:
        """`_drop`, as soon as nothing runs."""
        self._forget(connection)
        self._left.append(connection)

    def _forget(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None
            if self._wire is not None:
                self._wire.rest()
                self._wire = None


def _took(lock: asyncio.Lock) -> bool:
    """Take it now or not at all. (asyncio has no word for that; acquiring a free lock does not wait.)"""
    acquiring = lock.acquire()
    try:
        acquiring.send(None)
    except StopIteration:
        return True
    acquiring.close()
    return False


def cut(connection: Connection) -> None:
    """Shut the socket down under the driver: whatever waits for it hears that the connection ended."""
    if connection.closed:
        return
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def pooled_unsaid(where: str) -> StoreError:
    """A pooler drops what a connection says at its start: limits and notifications would be missing."""
    return StoreError(
        f"{where} is behind a pooler that gives connections no settings of their own",
        hint="say so: pooled=true in the URL; see docs/postgresql.md, behind PgBouncer",
    )


def unreachable(error: psycopg.Error, where: str) -> StoreError:
    """A connection could not be opened."""
    if "unsupported startup parameter" in str(error):
        return pooled_unsaid(where)
    if error.sqlstate is not None and not error.sqlstate.startswith(("57", "53", "08")):
        return explain(error, where)
    said = " ".join(str(error).split()) or type(error).__name__  # libpq speaks in several lines
    return StoreBusy(
        f"no connection to {where}: {said}",
        hint="is the server up, the address right, and a connection free?",
    )
