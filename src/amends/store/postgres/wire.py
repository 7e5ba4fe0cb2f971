"""The hot path's way over a connection: a statement sent and answered without the driver's cursors.

**Theory of operation.**  The driver's asynchronous `execute` builds a cursor, converts each parameter, and
asks the event loop to watch the socket anew for each wait, half a dozen turns of the loop in all.  What is
sent thousands of times a second goes straight to libpq instead (`psycopg.pq`, the driver's own lower level):
a statement is prepared at its first use; sent, it is one message; and one reader, which stays with the event
loop, takes the answer and passes it on in the same callback.

* One statement at a time.  What was sent is never cancelled: `heard` is called when the server has answered,
  or the connection has ended, and only then may the next one be sent.
* The end of the connection is heard by the reader at any time.  What was under way then ends with the
  driver's `OperationalError`: nobody knows what became of it.
* Without an answer for `answer` seconds the socket is shut down, which is heard as an end.  One timer serves
  all statements: when it rings it looks whether the one that it would be for is still under way.
* The driver itself uses the same connection now and then.  A loop has one reader a socket, so ours rests
  then.  It also lets the server forget all prepared statements now and then (after a roll-back).  The server
  then refuses the next one by its name, with nothing done, and it is prepared again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result

from .statement import Composed

_EARLY = 0.001
"""A timer that rings less than so many seconds early rings in time."""
FORGOTTEN = InvalidSqlStatementName
"""The server has forgotten the statement, and has done nothing."""
_FINE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

Heard = Callable[[Any, Exception | None], None]
"""Gets what the server has answered, or the error."""


class Wire:
    """See the module's head. cut: shuts the connection's socket down."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], answer: float, cut: Callable[[], None]
    ) -> None:
        self._pg = connection.pgconn
        self._answer = answer
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        self._loads = Transformer.from_context(connection)
        self._names: dict[str, bytes] = {}
        self._prepared = 0
        self._heard: Heard | None = None  # of the statement under way
        self._results: list[Any] = []
        self._socket = -1  # that the loop watches for us
        self._sending = False  # does it also say when more can be sent?
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def knows(self, statement: Composed) -> bool:
        """Has it been prepared?"""
        return statement.text in self._names

    def ended(self) -> bool:
        """Has the connection ended while nothing was under way?"""
        try:
            self._pg.consume_input()
        except psycopg.OperationalError:
            return True
        return False

    async def prepare(self, statement: Composed) -> None:
        """Let the server plan it. Raises `psycopg.Error`."""
        self._prepared += 1
        name = f"amends_{self._prepared}".encode()
        waiter = self._loop.create_future()
        self._send(_telling(waiter), self._pg.send_prepare, name, statement.numbered)
        await waiter
        self._names[statement.text] = name

    async def execute(self, statement: Composed, values: Mapping[str, str]) -> tuple[Any, ...]:
        """Its one row. Raises `psycopg.Error`, and `UnicodeError` for what is no text."""
        waiter = self._loop.create_future()
        self.send(statement, values, _telling(waiter))
        return self.row(await waiter)

    def send(self, statement: Composed, values: Mapping[str, str], heard: Heard) -> None:
        """Send it; `heard` is called with its result (see `row`) or `psycopg.Error`.

        Raises `UnicodeError` for what is no text, with nothing sent.
        """
        given = [values[name].encode() for name in statement.order]
        self._send(heard, self._pg.send_query_prepared, self._names[statement.text], given)

    def row(self, result: Any) -> tuple[Any, ...]:
        """The one row of a result."""
        self._loads.set_pgresult(result)
        row: tuple[Any, ...] = self._loads.load_row(0, tuple)
        return row

    def forget(self) -> None:
        """The server knows none of the statements any more."""
        self._names.clear()

    def rest(self) -> None:
        """Let go of the loop, until the next statement."""
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            if self._sending:
                self._loop.remove_writer(self._socket)
            self._socket, self._sending = -1, False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ------------------------------------------------------------ inside

    def _send(self, heard: Heard, send: Callable[..., None], *given: Any) -> None:
        self._heard = heard
        self._due = self._loop.time() + self._answer
        try:
            if self._socket < 0 or self._timer is None:
                self._watch()
            send(*given)
            self._flush()
        except psycopg.Error as error:
            self._end(error)

    def _watch(self) -> None:
        """Hear of the socket and of the time, in a context of nobody's."""
        nobody = Context()
        if self._socket < 0:
            self._socket = self._pg.socket
            nobody.run(self._loop.add_reader, self._socket, self._readable)
        if self._timer is None:
            self._timer = nobody.run(self._loop.call_at, self._due, self._ring)

    def _flush(self) -> None:
        """Send what the socket takes; the rest goes when it takes more."""
        left = self._pg.flush()
        if left and not self._sending:
            Context().run(self._loop.add_writer, self._socket, self._writable)
        elif self._sending and not left:
            self._loop.remove_writer(self._socket)
        self._sending = bool(left)

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self._end(error)

    def _readable(self) -> None:
        pg = self._pg
        try:
            pg.consume_input()
            while self._heard is not None and not pg.is_busy():
                result = pg.get_result()
                if result is None:
                    break
                self._results.append(result)
            else:
                return
        except psycopg.OperationalError as error:
            self._end(error)
            return
        self._answered()

    def _answered(self) -> None:
        results, self._results = self._results, []
        heard, self._heard = self._heard, None
        assert heard is not None
        if not results:
            heard(None, psycopg.OperationalError("the server gave no answer"))
        elif results[-1].status in _FINE:
            heard(results[-1], None)
        else:
            heard(None, error_from_result(results[-1], "utf-8"))

    def _end(self, error: psycopg.Error) -> None:
        """The connection has ended."""
        self.rest()
        self._results = []
        heard, self._heard = self._heard, None
        if heard is not None:
            heard(None, error)

    def _ring(self) -> None:
        self._timer = None
        if self._heard is None:
            return
        if self._loop.time() >= self._due - _EARLY:
            self._cut()
        else:
            self._timer = self._loop.call_at(self._due, self._ring)


def _telling(waiter: asyncio.Future[Any]) -> Heard:
    def heard(result: Any, error: Exception | None) -> None:
        if waiter.done():  # cancelled: nobody waits any more
            return
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)

    return heard
