"""A transactional step: its own SQL and its journal row in one transaction, on a connection of its own.

The transaction begins with the fence, held FOR SHARE to the end: as long as the step runs nobody can retire
its incarnation, and whoever tries waits for it, at most `step_seconds` (then the server ends it).

The step's statements are guarded: each travels alone (the protocol refuses several in one), those that would
end or begin a transaction are refused, and the tables of amends may only be read.  Each runs under a
savepoint, so that a step may handle the error of one and go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq

from ...errors import CommitUnknown, Refused, StoreError
from ...kernel.entries import Row
from ..port import COMMITTED, Code, Transaction, Verdict
from .columns import APPENDED
from .commit import fenced
from .faults import Lost, is_data_error, translate
from .link import unreachable
from .statement import Statements

Body = Callable[[Transaction], Row]
_CONTROL = {
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare", "set", "do",
    "call",
}  # fmt: skip
_READING = {"select", "with", "values", "table", "explain", "show"}
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_WRITES = re.compile(r"\b(insert|update|delete|merge|truncate|alter|drop|create|grant|copy|lock)\b")


class GuardedTransaction:
    """What a transactional step works with. Parameters are ``%s``, as psycopg has them."""

    def __init__(
        self, connection: psycopg.Connection[tuple[Any, ...]], schema_mark: str, seconds: float
    ) -> None:
        self._connection = connection
        self._ours = schema_mark
        self._seconds = seconds
        self.open = True

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement inside the step's transaction; returns all rows.

        The database's own errors pass as they are.  Raises `Refused` for what a step may not do, `StoreError`
        when its time is over.
        """
        self.check()
        self._guard(sql)
        try:
            with self._connection.transaction():
                cursor = self._connection.execute(sql, tuple(parameters), binary=True)
                return cursor.fetchall() if cursor.description else []
        except psycopg.errors.QueryCanceled as error:
            raise self._too_late() from error
        except psycopg.errors.SyntaxError as error:
            if "multiple commands" in str(error):
                raise self._refused(sql, "one statement at a time") from error
            raise

    def check(self) -> None:
        """Raise unless the transaction is still there."""
        if not self.open:
            raise Refused(
                "the step's transaction is over",
                hint="use it only inside the step's function, not afterwards",
            )
        if self._connection.info.transaction_status != pq.TransactionStatus.INTRANS:
            raise self._too_late()

    def _guard(self, sql: str) -> None:
        text = _COMMENTS.sub(" ", sql).strip().lower()
        word = re.match(r"\w*", text)
        first = word[0] if word else ""
        if first in _CONTROL:
            raise self._refused(sql, f"{first.upper()} is not allowed here")
        if self._ours in text and (first not in _READING or _WRITES.search(text)):
            raise self._refused(sql, f"tables of the schema {self._ours[:-1]} may only be read here")

    def _refused(self, sql: str, why: str) -> Refused:
        return Refused(
            f"a transactional step tried {sql.strip()[:80]!r}: {why}",
            hint="amends begins and commits the transaction; use your own tables, and plain SQL",
        )

    def _too_late(self) -> StoreError:
        return StoreError(
            f"a transactional step took longer than {self._seconds:g} s",
            hint="its locks keep others waiting: make it shorter, or make it an ordinary step",
        )


class Step:
    """One transactional step, run in a thread."""

    def __init__(
        self,
        conninfo: str,
        sql: Statements,
        where: str,
        seconds: float,
        incarnation: int,
        num: int,
        body: Body,
        *,
        pooled: bool,
    ) -> None:
        self._conninfo = conninfo
        self._sql = sql
        self._where = where
        self._seconds = seconds
        self._incarnation = incarnation
        self._num = num
        self._body = body
        self._pooled = pooled

    def run(self) -> Verdict:
        """Connect, run the body, commit. Raises what the body raises (then nothing is kept)."""
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.Error as error:
            raise unreachable(error, self._where) from error
        if self._pooled:
            connection.prepare_threshold = None
        try:
            return self._within(connection)
        finally:
            connection.close()

    def _begin(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        limit = int(self._seconds * 1000)
        try:
            connection.execute("BEGIN")
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(f"SET LOCAL {name} = {limit:d}")
            alive = self._ask(connection, self._sql["hold"], {"me": self._incarnation})
        except psycopg.Error as error:
            raise translate(error if error.sqlstate else Lost(str(error)), self._where) from error
        if not alive:
            raise fenced(self._incarnation)

    def _within(self, connection: psycopg.Connection[tuple[Any, ...]]) -> Verdict:
        self._begin(connection)
        try:
            transaction = GuardedTransaction(connection, f"{self._sql.schema}.", self._seconds)
            try:
                row = self._body(transaction)
                transaction.check()
            finally:
                transaction.open = False
            verdict = self._append(connection, row)
        except BaseException as error:
            if _was_cut_off(error, connection):
                raise translate(Lost(str(error)), self._where) from error
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            raise
        if verdict is not COMMITTED:
            connection.execute("ROLLBACK")
            return verdict
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            raise CommitUnknown(
                f"the connection to {self._where} was lost while a transactional step was committed: {error}",
                hint="the worker retires its incarnation and reads again",
            ) from error
        return COMMITTED

    def _append(self, connection: psycopg.Connection[tuple[Any, ...]], row: Row) -> Verdict:
        values = {"me": str(self._incarnation)}
        try:
            one = (self._num, row.now, row.checksum, row.position, row.events, row.commands)
            APPENDED.put(values, [one])
            text = self._sql.write(("appended",), fenced=True).text
            with connection.transaction():
                self._ask(connection, text, values)
        except Exception as error:
            if not is_data_error(error):
                raise translate(error, self._where) from error
            key = {"execution": self._num, "position": row.position}
            if self._ask(connection, self._sql["taken"], key)[0][0]:
                reason = f"the journal has a row at position {row.position}"
                return Verdict(Code.CONFLICT, reason=reason)
            return Verdict(Code.POISON, reason=str(error).strip())
        return COMMITTED

    def _ask(
        self, connection: psycopg.Connection[tuple[Any, ...]], sql: str, values: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()


def _was_cut_off(error: BaseException, connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Has the connection ended, and not because the step let it lie idle for too long?"""
    ended = isinstance(error, psycopg.OperationalError) and connection.closed
    return ended and not isinstance(error, psycopg.errors.IdleInTransactionSessionTimeout)
