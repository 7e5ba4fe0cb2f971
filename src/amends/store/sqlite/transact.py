"""A step's own SQL and its journal row in one transaction.

The step's tables live in the same file, so its effect and the record of it are durable together or not at
all.  The step gets `execute` and nothing else: it shares the connection that everything depends on, so a
guard (SQLite's authorizer) refuses what could end the transaction, leave the file, change the connection or
touch our own tables, and a limit of time keeps it from holding up every other saga on this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ...clock import Clock
from ...errors import Refused, StoreError, StoreFull
from ...kernel.entries import Row
from ..port import COMMITTED, Code, Transaction, Verdict
from .commit import NOT_OWNED, SQL, check_fence
from .faults import is_data_error

Body = Callable[[Transaction], Row]

PREFIX = "amends_"
_READ_ONLY_PRAGMAS = frozenset(
    [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_keys",
    ]
)
_CONTROL = frozenset({apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT, apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH})
_HARMLESS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_RECURSIVE, apsw.SQLITE_FUNCTION})
_STEPS_BETWEEN_LOOKS = 10_000  # virtual machine instructions; well under a millisecond


class Guard:
    """Watches over a connection while a step's body uses it. Install one per connection.

    It stays installed between bodies (changing an authorizer makes SQLite compile every statement anew) and
    then lets everything pass.
    """

    def __init__(self, clock: Clock) -> None:
        self.refused = ""
        self._clock = clock
        self._active = False
        self._deadline = 0.0

    def install(self, connection: apsw.Connection) -> None:
        """Watch this connection from now on."""
        connection.set_authorizer(self._authorize)

    def begin(self, connection: apsw.Connection, seconds: float) -> None:
        """A body begins; it has so many seconds."""
        self._active = True
        self._deadline = self._clock.monotonic() + seconds
        connection.set_progress_handler(self.late, _STEPS_BETWEEN_LOOKS)

    def end(self, connection: apsw.Connection) -> None:
        """The body is over."""
        self._active = False
        connection.set_progress_handler(None)

    def late(self) -> bool:
        """Is the body past its time?"""
        return self._clock.monotonic() > self._deadline

    def _authorize(
        self, action: int, one: str | None, two: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if not self._active or action in _HARMLESS:
            return apsw.SQLITE_OK
        if action in _CONTROL:
            word = str(apsw.mapping_authorizer_function[action]).removeprefix("SQLITE_")
            self.refused = f"{word} is not allowed here"
        elif action == apsw.SQLITE_PRAGMA:
            if one in _READ_ONLY_PRAGMAS:
                return apsw.SQLITE_OK
            self.refused = f"PRAGMA {one} is not allowed here"
        elif any(
            name and name.lower().startswith(PREFIX)
            for name in ((one,) if action == apsw.SQLITE_UPDATE else (one, two))  # UPDATE: table and column
        ):
            self.refused = f"tables that begin with {PREFIX} may only be read here"
        else:
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY


class GuardedTransaction:
    """What a transactional step works with."""

    def __init__(self, connection: apsw.Connection, guard: Guard, seconds: float) -> None:
        self._connection = connection
        self._guard = guard
        self._seconds = seconds
        self.open = True

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement inside the step's transaction; returns all rows.

        The database's own errors (`apsw.ConstraintError` and the like) pass as they are.  Raises `Refused`
        for what a step may not do, `StoreError` when its time is over, `StoreFull`.
        """
        self.check()
        self._guard.refused = ""
        try:
            # Not from the cache: a statement of ours with the same text was compiled without the guard.
            return self._connection.execute(sql, tuple(parameters), can_cache=False).fetchall()
        except apsw.AuthError as error:
            raise Refused(
                f"a transactional step tried {sql.strip()[:80]!r}: {self._guard.refused or error}",
                hint="amends begins and commits the transaction; use your own tables, and plain SQL",
            ) from error
        except apsw.InterruptError as error:
            raise self._too_late() from error
        except apsw.FullError as error:
            raise StoreFull(
                "no room left to write", hint="free disk space; the step is tried again"
            ) from error

    def check(self) -> None:
        """Raise unless the transaction is still there and has time left."""
        if not self.open:
            raise Refused(
                "the step's transaction is over",
                hint="use it only inside the step's function, not afterwards",
            )
        if self._guard.late():
            raise self._too_late()
        if not self._connection.in_transaction:
            raise StoreError(
                "SQLite rolled back the step's transaction after an error",
                hint="let that error pass: nothing of the step was kept",
            )

    def _too_late(self) -> StoreError:
        return StoreError(
            f"a transactional step took longer than {self._seconds:g} s",
            hint="every other saga on this file waits for it: make it shorter, or make it an ordinary step",
        )


def run(
    connection: apsw.Connection, guard: Guard, seconds: float, incarnation: int, num: int | None, body: Body
) -> Verdict:
    """Run `body` in the caller's transaction and append the row it returns. Raise to roll back."""
    check_fence(connection, incarnation)
    if num is None:
        raise Left(NOT_OWNED)
    transaction = GuardedTransaction(connection, guard, seconds)
    guard.begin(connection, seconds)
    try:
        row = body(transaction)
        transaction.check()
    except BaseException as error:
        raise Raised(error) from error
    finally:
        transaction.open = False
        guard.end(connection)
    values = (num, row.position, row.now, row.events, row.commands, row.checksum)
    try:
        SQL.bulk("append").run(connection.execute, list(values))
    except Exception as error:
        if not is_data_error(error):
            raise
        if connection.in_transaction and connection.execute(SQL["taken"], values[:2]).fetchall()[0][0]:
            reason = f"the journal has a row at position {row.position}"
            raise Left(Verdict(Code.CONFLICT, reason=reason)) from error
        raise Left(Verdict(Code.POISON, reason=str(error))) from error
    return COMMITTED


class Raised(Exception):
    """The transaction is rolled back because the step's body raised this (of whatever kind)."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Left(Exception):
    """The transaction is rolled back, with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
