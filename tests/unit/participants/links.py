"""One connection of each kind that the barrier knows, all with the same few handles, so that a test serves them all.

A link's `statements` are what its driver, not the barrier, says was executed (BEGIN and COMMIT left out).
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import aiosqlite
import apsw
import asyncpg
import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from amends.participants.barrier import Barrier

Do = Callable[[], Any]


async def done(value: Any) -> Any:
    """A result, awaited if its driver wants that."""
    return await value if inspect.isawaitable(value) else value


@dataclass
class Link:
    """A connection. `begin`, `commit` and `rollback` are what a user of that driver writes."""

    connection: Any
    begin: Do
    commit: Do
    rollback: Do
    execute: Callable[[str], Any]
    statements: list[str] = field(default_factory=list)
    barrier: Barrier = field(default_factory=Barrier)
    by_itself: Any = None  # the same in autocommit mode, with no transaction open

    async def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """An operation of the barrier on this connection."""
        return await done(getattr(self.barrier, name)(self.connection, *args, **kwargs))

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query yields."""
        return [tuple(row) for row in await done(self.execute(sql))]


Opener = Callable[[str], contextlib.AbstractAsyncContextManager[Link]]
SQLITE: dict[str, Opener] = {}
POSTGRES: dict[str, Opener] = {}


def link(kinds: dict[str, Opener], name: str) -> Callable[[Callable[[str], AsyncIterator[Link]]], None]:
    def register(opener: Callable[[str], AsyncIterator[Link]]) -> None:
        kinds[name] = contextlib.asynccontextmanager(opener)

    return register


def nothing() -> None:
    """The transaction opens with its first statement."""


def seen(statements: list[str]) -> Callable[..., None]:
    def see(text: str, *_: Any) -> None:
        if text.split(maxsplit=1)[0].rstrip(";") not in {"BEGIN", "COMMIT", "ROLLBACK"}:
            statements.append(text)

    return see


# ---------------------------------------------------------------- SQLite


@link(SQLITE, "sqlite3")
async def _sqlite3(path: str) -> AsyncIterator[Link]:
    with contextlib.closing(sqlite3.connect(path)) as c:
        made = Link(c, lambda: c.execute("BEGIN IMMEDIATE"), c.commit, c.rollback, c.execute)
        c.set_trace_callback(seen(made.statements))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made.by_itself:
            yield made


if sys.version_info >= (3, 12):

    @link(SQLITE, "sqlite3 autocommit=False")
    async def _sqlite3_pep249(path: str) -> AsyncIterator[Link]:
        with contextlib.closing(sqlite3.connect(path, autocommit=False)) as c:
            made = Link(c, nothing, c.commit, c.rollback, c.execute)
            c.set_trace_callback(seen(made.statements))
            with contextlib.closing(sqlite3.connect(path, autocommit=True)) as made.by_itself:
                yield made


@link(SQLITE, "aiosqlite")
async def _aiosqlite(path: str) -> AsyncIterator[Link]:
    async with aiosqlite.connect(path) as c, aiosqlite.connect(path, isolation_level=None) as other:
        made = Link(
            c, lambda: c.execute("BEGIN IMMEDIATE"), c.commit, c.rollback, c.execute_fetchall, by_itself=other
        )
        await c.set_trace_callback(seen(made.statements))
        yield made


@link(SQLITE, "apsw")
async def _apsw(path: str) -> AsyncIterator[Link]:
    def run(sql: str) -> list[Any]:
        return list(c.execute(sql))

    with contextlib.closing(apsw.Connection(path)) as c:
        made = Link(c, lambda: run("BEGIN IMMEDIATE"), lambda: run("COMMIT"), lambda: run("ROLLBACK"), run)
        see = seen(made.statements)
        c.exec_trace = lambda cursor, sql, bindings: see(sql) or True
        with contextlib.closing(apsw.Connection(path)) as made.by_itself:
            yield made


class Named:
    """A PEP 249 connection of no known module, around sqlite3."""

    def __init__(self, path: str) -> None:
        self.inner = sqlite3.connect(path)
        self.commit, self.rollback, self.close = self.inner.commit, self.inner.rollback, self.inner.close
        self.autocommit = False

    def cursor(self) -> Any:
        return self.inner.cursor()


@link(SQLITE, "plain, named")
async def _named(path: str) -> AsyncIterator[Link]:
    with contextlib.closing(Named(path)) as c, contextlib.closing(Named(path)) as other:
        other.autocommit = True
        made = Link(c, nothing, c.commit, c.rollback, c.inner.execute, by_itself=other)
        made.barrier = Barrier(paramstyle="named")
        c.inner.set_trace_callback(seen(made.statements))
        yield made


# ---------------------------------------------------------------- PostgreSQL


def recording(base: type, statements: list[str]) -> type:
    """A cursor of psycopg that says what it executes."""
    see = seen(statements)

    class Recording(base):  # type: ignore[misc]
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            see(query)
            return super().execute(query, *args, **kwargs)

    return Recording


@link(POSTGRES, "psycopg")
async def _psycopg(url: str) -> AsyncIterator[Link]:
    statements: list[str] = []
    with (
        psycopg.connect(url, cursor_factory=recording(psycopg.Cursor, statements)) as c,
        psycopg.connect(url, autocommit=True) as other,
    ):
        yield Link(c, nothing, c.commit, c.rollback, c.execute, statements, by_itself=other)


@link(POSTGRES, "psycopg autocommit")
async def _psycopg_autocommit(url: str) -> AsyncIterator[Link]:
    statements: list[str] = []
    factory = recording(psycopg.Cursor, statements)
    with psycopg.connect(url, cursor_factory=factory, autocommit=True) as c:
        yield Link(c, lambda: c.execute("BEGIN"), c.commit, c.rollback, c.execute, statements)


def _psycopg_async(pipelined: bool) -> Callable[[str], AsyncIterator[Link]]:
    """pipelined: what is sent has its answer when the pipeline is synchronized."""

    def piped(connection: Any) -> Any:
        return connection.pipeline() if pipelined else contextlib.nullcontext()

    async def opened(url: str) -> AsyncIterator[Link]:
        statements: list[str] = []
        factory = recording(psycopg.AsyncCursor, statements)

        async def execute(sql: str) -> list[Any]:
            cursor = await c.execute(sql)
            if pipelined:
                await pipeline.sync()
            return await cursor.fetchall() if cursor.description else []

        async with (
            await psycopg.AsyncConnection.connect(url, cursor_factory=factory) as c,
            piped(c) as pipeline,
            await psycopg.AsyncConnection.connect(url, autocommit=True) as other,
            piped(other),
        ):
            yield Link(c, nothing, c.commit, c.rollback, execute, statements, by_itself=other)

    return opened


link(POSTGRES, "psycopg async")(_psycopg_async(pipelined=False))
link(POSTGRES, "psycopg async pipeline")(_psycopg_async(pipelined=True))


async def _of_asyncpg(c: Any) -> AsyncIterator[Link]:
    open_: list[Any] = []

    def begin() -> Awaitable[None]:
        open_.append(c.transaction())
        return open_[-1].start()

    made = Link(c, begin, lambda: open_.pop().commit(), lambda: open_.pop().rollback(), c.fetch, by_itself=c)
    see = seen(made.statements)

    def log(record: Any) -> None:
        see(record.query)

    c.add_query_logger(log)
    yield made
    c.remove_query_logger(log)


@link(POSTGRES, "asyncpg")
async def _asyncpg(url: str) -> AsyncIterator[Link]:
    c = await asyncpg.connect(url)
    async for made in _of_asyncpg(c):
        yield made
    await c.close()


@link(POSTGRES, "asyncpg pool")
async def _asyncpg_pool(url: str) -> AsyncIterator[Link]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as c:
        async for made in _of_asyncpg(c):
            yield made


class PyFormat:
    """A PEP 249 connection of no known module, around psycopg."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.commit, self.rollback, self.cursor = inner.commit, inner.rollback, inner.cursor


@link(POSTGRES, "plain, pyformat")
async def _pyformat(url: str) -> AsyncIterator[Link]:
    statements: list[str] = []
    with psycopg.connect(url, cursor_factory=recording(psycopg.Cursor, statements)) as inner:
        c = PyFormat(inner)
        made = Link(c, nothing, c.commit, c.rollback, inner.execute, statements)
        made.barrier = Barrier(paramstyle="pyformat")
        yield made


# ---------------------------------------------------------------- SQLAlchemy


def _with_driver(place: str, driver: str) -> str:
    return (
        place.replace("postgresql:", f"postgresql+{driver}:")
        if "://" in place
        else f"sqlite+{driver}:///{place}"
    )


def _watched(engine: Any, statements: list[str]) -> None:
    see = seen(statements)
    sa.event.listen(engine, "before_cursor_execute", lambda conn, cursor, text, *_: see(text))


def _sqlalchemy(driver: str, kind: type) -> Callable[[str], AsyncIterator[Link]]:
    async def opened(place: str) -> AsyncIterator[Link]:
        engine = sa.create_engine(_with_driver(place, driver))
        with kind(engine) as c, kind(engine.execution_options(isolation_level="AUTOCOMMIT")) as other:

            def execute(sql: str) -> list[Any]:
                result = c.execute(sa.text(sql))
                return list(result) if result.returns_rows else []

            made = Link(c, nothing, c.commit, c.rollback, execute, by_itself=other)
            _watched(engine, made.statements)
            yield made
        engine.dispose()

    return opened


def _sqlalchemy_async(driver: str, session: bool) -> Callable[[str], AsyncIterator[Link]]:
    async def opened(place: str) -> AsyncIterator[Link]:
        engine = create_async_engine(_with_driver(place, driver))
        bare = engine.execution_options(isolation_level="AUTOCOMMIT")

        async def execute(sql: str) -> list[Any]:
            result = await c.execute(sa.text(sql))
            return list(result) if result.returns_rows else []

        async with (
            AsyncSession(engine) if session else engine.connect() as c,
            AsyncSession(bare) if session else bare.connect() as other,
        ):
            made = Link(c, nothing, c.commit, c.rollback, execute, by_itself=other)
            _watched(engine.sync_engine, made.statements)
            yield made
        await engine.dispose()

    return opened


link(SQLITE, "sqlalchemy connection, sqlite3")(_sqlalchemy("pysqlite", sa.Connection))
link(SQLITE, "sqlalchemy session, sqlite3")(_sqlalchemy("pysqlite", Session))
link(SQLITE, "sqlalchemy async session, aiosqlite")(_sqlalchemy_async("aiosqlite", session=True))
link(POSTGRES, "sqlalchemy connection, psycopg")(_sqlalchemy("psycopg", sa.Connection))
link(POSTGRES, "sqlalchemy session, psycopg")(_sqlalchemy("psycopg", Session))
link(POSTGRES, "sqlalchemy async connection, asyncpg")(_sqlalchemy_async("asyncpg", session=False))
link(POSTGRES, "sqlalchemy async session, asyncpg")(_sqlalchemy_async("asyncpg", session=True))
link(POSTGRES, "sqlalchemy async session, psycopg")(_sqlalchemy_async("psycopg", session=True))


# ---------------------------------------------------------------- Django


async def _django(settings: dict[str, Any]) -> AsyncIterator[Link]:
    """Django's own rule for connections is one a thread, made by name."""
    import django.conf
    import django.db

    if not django.conf.settings.configured:
        django.conf.settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
        django.setup()
    connections = django.db.connections
    for alias in ("link", "other"):
        connections.settings[alias] = connections.configure_settings({"default": {}, alias: dict(settings)})[
            alias
        ]
    c, other = connections["link"], connections["other"]
    blocks: list[Any] = []

    def begin() -> None:
        blocks.append(django.db.transaction.atomic(using="link"))
        blocks[-1].__enter__()

    def commit() -> None:
        blocks.pop().__exit__(None, None, None)

    def rollback() -> None:
        blocks.pop().__exit__(KeyError, KeyError(), None)

    def execute(sql: str) -> list[Any]:
        with c.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    made = Link(c, begin, commit, rollback, execute, by_itself=other)
    see = seen(made.statements)

    def watch(run: Any, sql: str, *rest: Any) -> Any:
        see(sql)
        return run(sql, *rest)

    with mock.patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="true"):  # the connection is not shared
        try:
            with c.execute_wrapper(watch):
                yield made
        finally:
            for alias in ("link", "other"):
                connections[alias].close()
                del connections[alias]


@link(SQLITE, "django, sqlite3")
async def _django_sqlite(path: str) -> AsyncIterator[Link]:
    async for made in _django({"ENGINE": "django.db.backends.sqlite3", "NAME": path}):
        yield made


@link(POSTGRES, "django, psycopg")
async def _django_postgres(url: str) -> AsyncIterator[Link]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    settings = {"NAME": parts["dbname"], "USER": parts["user"], "HOST": parts["host"]}
    settings |= {key.upper(): parts[key] for key in ("port", "password") if key in parts}
    async for made in _django({"ENGINE": "django.db.backends.postgresql", **settings}):
        yield made
