"""Stores for tests; those on PostgreSQL have a schema each, on the server of `tests.postgres`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from amends.errors import AmendsError
from amends.store import MemoryStore, Store, kit
from amends.store.port import Verdict, Write
from amends.store.postgres import PostgresStore

T = TypeVar("T")


@contextlib.contextmanager
def new_schema(url: str) -> Iterator[str]:
    """The name of a schema that is dropped afterwards (the store makes it)."""
    import psycopg

    name = f"s{uuid4().hex}"
    try:
        yield name
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def url_of(server: str, schema: str, more: str = "") -> str:
    """The store in that schema, as an engine's URL."""
    return f"{server}{'&' if '?' in server else '?'}schema={schema}&unsafe=true{more}"


async def all_of(pages: AsyncIterator[T]) -> list[T]:
    """What an asynchronous generator gives."""
    return [page async for page in pages]


def execute(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """One statement, from outside."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def bytes_of(store: MemoryStore | str) -> bytes:
    """The files of a store, or all rows of all its tables."""
    if isinstance(store, MemoryStore):
        state = store._state
        kept = [(each.header, each.journal(), each.waiting()) for each in state.executions.values()]
        tasks = [[each.task, each.progress] for each in state.tasks._by_key.values()]
        return msgspec.json.encode((kept, tasks, state.audit, list(state.keys.values())))
    if store.startswith("sqlite:///"):
        file = Path(store.removeprefix("sqlite:///"))
        return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    server, _, options = store.partition("schema=")
    server, schema = server.rstrip("?&"), options.partition("&")[0]
    tables = execute(server, "SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    rows = [
        row for (table,) in tables for row in execute(server, f"SELECT t::text FROM {schema}.{table} AS t")
    ]
    return "\n".join(text for (text,) in rows).encode()


OWNERS = {
    "journal": "e.num = x.execution",
    "inbox": "e.num = x.execution",
    "attributes": "e.uid = x.execution_uid AND e.attributes <> '{}'",
    "tasks": "e.uid = x.uid",
}
"""Tables, and what an execution is to which their rows belong."""


def must_belong(ask: Callable[[str], Sequence[tuple[Any, ...]]], prefix: str) -> None:
    """No row is left of an execution that is not there: no operation could show it. `ask` runs a query."""
    for table, owner in OWNERS.items():
        owned = f"SELECT 1 FROM {prefix}executions AS e WHERE {owner}"
        ((left,),) = ask(f"SELECT count(*) FROM {prefix}{table} AS x WHERE NOT EXISTS ({owned})")
        assert not left, f"{left} rows of {table} belong to no execution"


class PromptPostgres(PostgresStore):
    """One whose commits have no task of their own, as those of a worker, wherever that can be."""

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        waiter = asyncio.get_running_loop().create_future()

        def told(answer: list[Verdict] | AmendsError | None) -> None:
            if not waiter.done():
                waiter.set_result(answer)

        if writes and self.commit_soon(incarnation, writes, told):
            answer = await waiter
            if isinstance(answer, AmendsError):
                raise answer
            if answer is not None:
                return answer  # type: ignore[no-any-return]
        return await super().commit(incarnation, writes)


def subject(url: str, schema: str, kind: type[PostgresStore] = PostgresStore, **options: Any) -> kit.Subject:
    """A database under test. A crashed worker's lease has run out; a full disk is what a trigger says."""

    own = url  # a pooler passes no options on
    if not options.get("pooled"):
        own = f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"

    async def connect() -> Store:
        store = kind(own, schema=schema, unsafe=True, **options)
        await store.open()
        return store

    async def crash(store: Store) -> None:
        assert isinstance(store, PostgresStore)
        me = store._incarnation
        store.abandon()
        execute(url, f"UPDATE {schema}.leases SET expires_at = '-infinity' WHERE incarnation = %s", me)

    tables = ("executions", "journal", "inbox")

    async def fill(store: Store) -> None:
        execute(
            url,
            f"CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END$$",
        )
        for table in tables:
            execute(
                url,
                f"CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.{table} EXECUTE FUNCTION {schema}.full()",
            )

    async def relieve(store: Store) -> None:
        execute(url, f"DROP FUNCTION {schema}.full CASCADE")

    return kit.Subject(connect, crash, fill, relieve, mark="%s", many=True)
