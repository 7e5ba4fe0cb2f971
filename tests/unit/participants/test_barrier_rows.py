"""Connections that make something else of rows than tuples; and what is no connection at all."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
import pytest
from psycopg.rows import class_row, dict_row, namedtuple_row
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from amends import Client, saga
from amends.participants.barrier import Barrier, UnknownDriver, Verdict
from amends.participants.barrier.drivers import driver_of
from amends.store.postgres import PostgresStore

from .links import done

KEY = "uid/0/charge/do"


class Anything:
    """A row as an object."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns


WAYS: dict[str, dict[str, Any]] = {
    "dict_row": {"row_factory": dict_row},
    "class_row": {"row_factory": class_row(Anything)},
    "namedtuple_row": {"row_factory": namedtuple_row},
    "RawCursor": {"cursor_factory": psycopg.RawCursor},
    "ClientCursor": {"cursor_factory": psycopg.ClientCursor},
}


async def twice(connection: Any) -> None:
    """A service's request, and the same again."""
    barrier = Barrier()
    await done(barrier.create_table(connection))
    assert (await done(barrier.enter(connection, KEY, reply={"paid": 7}))).execute
    again = await done(barrier.enter(connection, KEY))
    assert (again.verdict, again.reply) == (Verdict.DUPLICATE, {"paid": 7})


@pytest.mark.parametrize("way", WAYS)
def test_psycopg_with_rows_of_another_kind(database: str, way: str) -> None:
    with psycopg.connect(database, **WAYS[way]) as connection:
        asyncio.run(twice(connection))


@pytest.mark.parametrize("way", ["dict_row", "class_row"])
def test_psycopg_asynchronous_with_rows_of_another_kind(database: str, way: str) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(database, **WAYS[way]) as connection:
            await twice(connection)

    asyncio.run(main())


def as_dict(cursor: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def test_sqlite_with_rows_of_another_kind(tmp_path: Path) -> None:
    async def main() -> None:
        with closing(sqlite3.connect(tmp_path / "one.db")) as connection:
            connection.row_factory = as_dict
            await twice(connection)
        async with aiosqlite.connect(tmp_path / "two.db") as other:
            other.row_factory = as_dict  # type: ignore[assignment]
            await twice(other)

    asyncio.run(main())


@saga(name="rows.saga")
async def one() -> None: ...


@pytest.mark.parametrize("way", ["dict_row", "class_row", "RawCursor"])
def test_a_saga_starts_on_a_connection_with_rows_of_another_kind(database: str, way: str) -> None:
    given: dict[str, Any] = WAYS[way] if way != "RawCursor" else {"cursor_factory": psycopg.AsyncRawCursor}

    async def main() -> None:
        async with Client(PostgresStore(database, unsafe=True)) as client:
            async with await psycopg.AsyncConnection.connect(database, **given) as connection:
                first = await client.start(one(), id="one", connection=connection)
                assert (await client.start(one(), id="one", connection=connection)).id == first.id
            assert (await client.handle(one, "one").status()).status == "running"

    asyncio.run(main())


def test_what_is_no_connection_is_told_apart(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection, closing(sqlite3.connect(tmp_path / "x.db")) as file:
        given: list[Any] = [
            connection.cursor(),
            file.cursor(),
            create_engine("sqlite://"),
            create_async_engine("postgresql+asyncpg://nowhere/x"),
            object.__new__(asyncpg.Pool),
        ]
        for each in given:
            with pytest.raises(UnknownDriver) as caught:
                driver_of(each)
            assert "the connection itself" in caught.value.hint
