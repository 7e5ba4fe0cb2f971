"""Pauses on several servers, when not all of them have heard the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from amends.cli import main as amends
from amends.store.pausing import Pause, audit_key
from amends.store.places import Places
from amends.store.port import AuditRecord
from tests.places import new_schemas, opened, url_of_all

AUDIT = AuditRecord(7.0, audit_key("default", ""), "ann", "pause", "test")
PAUSE = Pause(namespace="default", by="ann", reason="test", since=7.0)


@pytest.fixture
def schemas(postgres: str) -> Iterator[list[str]]:
    with new_schemas(postgres, 3) as names:
        yield names


@asynccontextmanager
async def store_on(postgres: str, schemas: list[str]) -> AsyncIterator[Places]:
    store = opened(postgres, schemas)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def missed_by_the_last(store: Places) -> None:
    """A resume at which one server was away: those before it have heard."""
    await store.add_pause(PAUSE, AUDIT)
    for member in store.members[:-1]:
        await member.store.end_pause("default", "", AUDIT)


def test_resumed_again_after_one_was_away(
    postgres: str, schemas: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        async with store_on(postgres, schemas) as store:
            await missed_by_the_last(store)
            assert await store.pauses() == [PAUSE]

    asyncio.run(prepare())
    for said in ("goes on", "was not paused"):
        assert amends(["resume", "--all", "--store", url_of_all(postgres, schemas)]) == 0
        assert capsys.readouterr().out == f"namespace default {said}\n"


def test_two_at_once(postgres: str, schemas: list[str]) -> None:
    """Both get the same pause; and at its end no server holds it, and somebody is told so."""

    async def main() -> None:
        async with store_on(postgres, schemas) as one, store_on(postgres, schemas) as two:
            held = await asyncio.gather(*(store.add_pause(PAUSE, AUDIT) for store in (one, two)))
            assert held == [PAUSE, PAUSE]
            ended = await asyncio.gather(*(store.end_pause("default", "", AUDIT) for store in (one, two)))
            assert PAUSE in ended
            assert set(map(type, ended)) <= {Pause, type(None)}
            assert await one.pauses() == []

    asyncio.run(main())
