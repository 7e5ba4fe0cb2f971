"""How each driver runs a statement, opens a transaction, and says that none is open.

The connection is the caller's, and so is the choice of driver: nothing here imports one. A connection is
known by the module in which its class, or a class above it, was written; any other is taken for a plain PEP
249 connection whose parameter style is that of its module.  How the caller wants to see rows (as mappings, or
objects of a class) is the caller's business: here they are tuples.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from ...errors import AmendsError
from .sql import STYLES, Statement, Values

Rows = list[tuple[Any, ...]]


class UnknownDriver(AmendsError):
    """What is no connection, or one of which the barrier does not know how its statements take values."""

    code = "unknown_driver"


class NoTransaction(AmendsError):
    """No transaction is open: what belongs together would not be committed together."""

    code = "no_transaction"


class Open(NamedTuple):
    """A transaction that was begun. Both calls return an awaitable where the driver is asynchronous."""

    commit: Callable[[], Any]
    rollback: Callable[[], Any]


class Driver(Protocol):
    """What the barrier needs of a driver. Results are awaitables where `asynchronous`."""

    asynchronous: bool

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Any:
        """Run it; gives its rows."""
        ...

    def begin(self, connection: Any) -> Any:
        """Begin a transaction; gives an `Open`."""
        ...

    def in_transaction(self, connection: Any) -> Any:
        """Whether one is open, or will be with the next statement."""
        ...

    def dialect(self, connection: Any) -> Any:
        """``postgresql``, ``sqlite`` or another; empty when the driver does not say."""
        ...


class DbApi:
    """Any blocking PEP 249 connection. A transaction opens with the first statement."""

    asynchronous = False

    def __init__(self, style: str) -> None:
        self.style = style

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        cursor = connection.cursor()
        try:
            cursor.execute(*statement.styled(self.style, values))
            return [] if cursor.description is None else _plain(cursor.fetchall())
        finally:
            cursor.close()

    def begin(self, connection: Any) -> Open:
        return Open(connection.commit, connection.rollback)

    def in_transaction(self, connection: Any) -> bool:
        return getattr(connection, "autocommit", False) is not True

    def dialect(self, connection: Any) -> str:
        return ""


def _plain(rows: Iterable[Any]) -> Rows:
    """Rows as tuples, also where the connection makes mappings of them."""
    return [tuple(row.values()) if isinstance(row, Mapping) else row for row in rows]


class Sqlite3(DbApi):
    """The standard library's module, and those that follow it. Writers queue at BEGIN IMMEDIATE."""

    def begin(self, connection: Any) -> Open:
        if getattr(connection, "autocommit", True) is not False:  # False: one is always open (Python 3.12)
            connection.execute("BEGIN IMMEDIATE")
        return super().begin(connection)

    def in_transaction(self, connection: Any) -> bool:
        return _sqlite_in_transaction(connection)

    def dialect(self, connection: Any) -> str:
        return "sqlite"


def _sqlite_in_transaction(connection: Any) -> bool:
    if connection.in_transaction:
        return True
    return connection.isolation_level is not None and getattr(connection, "autocommit", -1) is not True


class AioSqlite:
    """aiosqlite: the standard library's module behind a thread."""

    asynchronous = True

    async def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        return _plain(await connection.execute_fetchall(*statement.styled("qmark", values)))

    async def begin(self, connection: Any) -> Open:
        await connection.execute("BEGIN IMMEDIATE")
        return Open(connection.commit, connection.rollback)

    def in_transaction(self, connection: Any) -> bool:
        return _sqlite_in_transaction(connection)

    def dialect(self, connection: Any) -> str:
        return "sqlite"


class Apsw:
    """apsw, which never opens a transaction by itself."""

    asynchronous = False

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        return list(connection.execute(*statement.styled("qmark", values)))

    def begin(self, connection: Any) -> Open:
        connection.execute("BEGIN IMMEDIATE")
        return Open(lambda: connection.execute("COMMIT"), lambda: connection.execute("ROLLBACK"))

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    def dialect(self, connection: Any) -> str:
        return "sqlite"


class Psycopg(DbApi):
    """psycopg 3, blocking. `connection.transaction()` works with and without autocommit."""

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        with _psycopg_cursor("Cursor", connection) as cursor:
            cursor.execute(*statement.styled(self.style, values))
            self._synchronize(connection)
            return [] if cursor.description is None else cursor.fetchall()

    @staticmethod
    def _synchronize(connection: Any) -> None:
        """In the caller's pipeline: have the answers to all that was sent."""
        if _psycopg_pipelined(connection):
            with connection.pipeline():
                pass

    def begin(self, connection: Any) -> Open:
        transaction = connection.transaction()
        transaction.__enter__()
        return Open(
            lambda: transaction.__exit__(None, None, None), lambda: transaction.__exit__(*_rolled_back())
        )

    def in_transaction(self, connection: Any) -> bool:
        self._synchronize(connection)
        return not connection.autocommit or _psycopg_busy(connection)

    def dialect(self, connection: Any) -> str:
        return "postgresql"


class AsyncPsycopg:
    """psycopg 3, asynchronous."""

    asynchronous = True

    async def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        async with _psycopg_cursor("AsyncCursor", connection) as cursor:
            await cursor.execute(*statement.styled("format", values))
            await self._synchronize(connection)
            return [] if cursor.description is None else await cursor.fetchall()

    @staticmethod
    async def _synchronize(connection: Any) -> None:
        """In the caller's pipeline: have the answers to all that was sent."""
        if _psycopg_pipelined(connection):
            async with connection.pipeline():
                pass

    async def begin(self, connection: Any) -> Open:
        transaction = connection.transaction()
        await transaction.__aenter__()
        return Open(
            lambda: transaction.__aexit__(None, None, None), lambda: transaction.__aexit__(*_rolled_back())
        )

    async def in_transaction(self, connection: Any) -> bool:
        await self._synchronize(connection)
        return not connection.autocommit or _psycopg_busy(connection)

    def dialect(self, connection: Any) -> str:
        return "postgresql"


def _psycopg_cursor(kind: str, connection: Any) -> Any:
    """A cursor with plain rows, and with our placeholders, whatever the connection makes of both."""
    rows = importlib.import_module("psycopg.rows").tuple_row
    psycopg = importlib.import_module("psycopg")
    if issubclass(connection.cursor_factory, (psycopg.RawCursor, psycopg.AsyncRawCursor)):
        return getattr(psycopg, kind)(connection, row_factory=rows)
    return connection.cursor(row_factory=rows)


def _psycopg_pipelined(connection: Any) -> bool:
    return bool(connection.info.pipeline_status.name != "OFF")


def _psycopg_busy(connection: Any) -> bool:
    return bool(connection.info.transaction_status.name != "IDLE")


class _RollBackError(Exception):
    """Leaves a driver's own transaction block, so that it rolls back."""


def _rolled_back() -> tuple[type[_RollBackError], _RollBackError, None]:
    return _RollBackError, _RollBackError(), None


class Asyncpg:
    """asyncpg: autocommit unless `connection.transaction()` was started."""

    asynchronous = True

    async def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        text, arguments = statement.styled("dollar", values)
        return [tuple(row) for row in await connection.fetch(text, *arguments)]

    async def begin(self, connection: Any) -> Open:
        transaction = connection.transaction()
        await transaction.start()
        return Open(transaction.commit, transaction.rollback)

    def in_transaction(self, connection: Any) -> bool:
        return bool(connection.is_in_transaction())

    def dialect(self, connection: Any) -> str:
        return "postgresql"


class SqlAlchemy:
    """SQLAlchemy's Connection and Session. A transaction opens with the first statement."""

    asynchronous = False

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Rows:
        text = importlib.import_module("sqlalchemy").text
        result = connection.execute(text(statement.text), statement.styled("named", values)[1])
        return [tuple(row) for row in result] if result.returns_rows else []

    def begin(self, connection: Any) -> Open:
        transaction = connection.begin()
        return Open(transaction.commit, transaction.rollback)

    def dialect(self, connection: Any) -> str:
        return str(_sqlalchemy_connection(connection).dialect.name)

    def in_transaction(self, connection: Any) -> bool:
        link = _sqlalchemy_connection(connection)
        level = link.get_execution_options().get("isolation_level", "")
        by_itself = getattr(link.connection.dbapi_connection, "autocommit", False) is True
        return level != "AUTOCOMMIT" and not by_itself


def _sqlalchemy_connection(connection: Any) -> Any:
    return connection.connection() if callable(connection.connection) else connection  # a Session's own


class AsyncSqlAlchemy:
    """Their asynchronous twins, which lend the blocking one that they wrap."""

    asynchronous = True

    def __init__(self) -> None:
        self._blocking = SqlAlchemy()

    def fetch(self, connection: Any, statement: Statement, values: Values) -> Any:
        return connection.run_sync(self._blocking.fetch, statement, values)

    async def begin(self, connection: Any) -> Open:
        transaction = await connection.begin()
        return Open(transaction.commit, transaction.rollback)

    def in_transaction(self, connection: Any) -> Any:
        return connection.run_sync(self._blocking.in_transaction)

    def dialect(self, connection: Any) -> Any:
        return connection.run_sync(self._blocking.dialect)


class Django(DbApi):
    """`django.db.connection`, whose transactions are `transaction.atomic` blocks."""

    def begin(self, connection: Any) -> Open:
        atomic = importlib.import_module("django.db.transaction").atomic(using=connection.alias)
        atomic.__enter__()
        return Open(lambda: atomic.__exit__(None, None, None), lambda: atomic.__exit__(*_rolled_back()))

    def in_transaction(self, connection: Any) -> bool:
        return connection.in_atomic_block or not connection.get_autocommit()

    def dialect(self, connection: Any) -> str:
        return str(connection.vendor)


_KNOWN: dict[str, Driver] = {
    "sqlite3": Sqlite3("qmark"),
    "aiosqlite": AioSqlite(),
    "apsw": Apsw(),
    "psycopg": Psycopg("format"),
    "psycopg async": AsyncPsycopg(),
    "asyncpg": Asyncpg(),
    "sqlalchemy": SqlAlchemy(),
    "sqlalchemy async": AsyncSqlAlchemy(),
    "django": Django("format"),
}


ITSELF = "pass the connection itself, not a pool, an engine or a cursor"
_HAS = {
    "sqlite3": "in_transaction",
    "aiosqlite": "in_transaction",
    "apsw": "in_transaction",
    "psycopg": "transaction",
    "asyncpg": "is_in_transaction",
    "sqlalchemy": "execute",
}
"""What a connection of these has, and their cursors, pools and engines have not."""


def driver_of(connection: Any, paramstyle: str | None = None) -> Driver:
    """The driver for a connection. Raises `UnknownDriver` when nothing says how it takes values."""
    for cls in type(connection).__mro__:
        package = cls.__module__.partition(".")[0]
        suffix = " async" if cls.__name__.lower().startswith("async") else ""
        if driver := _KNOWN.get(package + suffix) or _KNOWN.get(package):
            if not hasattr(connection, _HAS.get(package, "__class__")):
                raise UnknownDriver(
                    f"a connection of {package} is expected, got a {_kind(connection)}", hint=ITSELF
                )
            return driver
    style = paramstyle or _style_of(type(connection).__module__)
    if style not in STYLES or not hasattr(connection, "cursor"):
        raise UnknownDriver(
            f"it is not known how a {_kind(connection)} takes values; expected a connection of sqlite3, "
            "aiosqlite, apsw, psycopg, asyncpg, SQLAlchemy or Django, or any PEP 249 connection",
            hint=f"give Barrier(paramstyle=…) one of {', '.join(STYLES)}"
            if hasattr(connection, "cursor")
            else ITSELF,
        )
    return DbApi(style)


def _kind(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


def _style_of(module: str) -> str:
    """`paramstyle` of the nearest module above that says one, as PEP 249 asks."""
    while module:
        if style := getattr(sys.modules.get(module), "paramstyle", ""):
            return str(style)
        module = module.rpartition(".")[0]
    return ""
