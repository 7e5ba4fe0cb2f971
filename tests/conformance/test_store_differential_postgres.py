"""The same random streams of operations on memory, SQLite and PostgreSQL: the three agree after every one."""

from __future__ import annotations

import asyncio
import os
import random
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from amends.store import MemoryStore, SqliteStore
from amends.store.postgres import PostgresStore
from tests.conformance.test_store_differential import WANTED, Chance, Side, kinds
from tests.stores import execute, new_schema

RUNS = int(os.environ.get("AMENDS_DIFFERENTIAL_RUNS", "2000"))
FOUND = (1556,)
"""Seeds of the long run at which the three once did not agree."""
TABLES = ("executions", "journal", "inbox", "fences", "leases", "audit")


class PostgresSide(Side):
    """A store whose workers die by their leases."""

    async def _register(self, now: float) -> Any:
        """Here the dead keep what they owned until it is claimed: let go of it, as if this worker had no
        code of it."""
        answer = await super()._register(now)
        assert isinstance(self.store, PostgresStore)
        keeper = self.store._keeper
        declared, keeper.declared = keeper.declared, True
        while keeper.inheritance() is not None:
            assert await keeper.inherit(self.me, 1e18, 1000) == []
            await asyncio.sleep(0.01)
        keeper.declared = declared
        return answer

    async def _crash(self) -> Any:
        assert isinstance(self.store, PostgresStore)
        self.store.abandon()
        await self.store.open()
        await self.store._keeper.expire(self.me)
        self.retired.append(self.me)
        await self._register(25.0)


class Three:
    """Three stores, and what was seen happen on them."""

    def __init__(self, url: str, schema: str, folder: Path) -> None:
        self.url = url
        self.schema = schema
        self.folder = folder
        self.runs = 0
        self.seen: set[str] = set()

    async def run(self, seed: int, operations: int) -> None:
        """One stream, from a seed."""
        chance = random.Random(seed)
        self.runs += 1
        path = self.folder / f"{self.runs}.db"
        sides = [
            Side(MemoryStore()),
            Side(SqliteStore(path, synchronous="OFF")),
            PostgresSide(PostgresStore(self.url, schema=self.schema, unsafe=True)),
        ]
        for side in sides:
            await side.store.open()
            await side.apply(("register", 0.0))
        try:
            for number in range(operations):
                operation = Chance(chance.getrandbits(64)).operation()
                answers = [await side.apply(operation) for side in sides]
                where = f"seed {seed}, operation {number}: {operation}"
                assert answers[0] == answers[1] == answers[2], where
                contents = [_comparable(await side.contents()) for side in sides]
                assert contents[0] == contents[1] == contents[2], where
                self.seen |= kinds(operation[0], answers[0])
        finally:
            for side in sides:
                await side.store.close()
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """An empty database again, whose numbers begin at 1."""
        tables = ", ".join(f"{self.schema}.{table}" for table in TABLES)
        execute(self.url, f"TRUNCATE {tables} RESTART IDENTITY")


def _comparable(contents: Any) -> Any:
    """News by execution: only the order of one execution's messages is promised."""
    executions, news, *rest = contents
    return executions, sorted(news, key=itemgetter(0)), *rest


def agree(url: str, folder: Path, seeds: range, operations: int) -> set[str]:
    with new_schema(url) as schema:
        three = Three(url, schema, folder)
        for seed in seeds:
            asyncio.run(three.run(seed, operations))
            three.clear()
        return three.seen


@pytest.mark.slow
def test_the_three_agree(postgres: str, tmp_path: Path) -> None:
    seen = agree(postgres, tmp_path, range(20), 40)
    assert set(WANTED) <= seen, set(WANTED) - seen


@pytest.mark.slow
@pytest.mark.parametrize("seed", FOUND)
def test_where_they_once_differed_they_agree(postgres: str, tmp_path: Path, seed: int) -> None:
    agree(postgres, tmp_path, range(seed, seed + 1), 50)


@pytest.mark.soak
def test_the_three_agree_for_long(postgres: str, tmp_path: Path) -> None:
    agree(postgres, tmp_path, range(1_000, 1_000 + RUNS), 50)
