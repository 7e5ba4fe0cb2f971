"""A worker with nothing to do asks no more often than its settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from amends import Engine, saga
from amends.store.postgres import PostgresStore
from tests.proxy import Proxy
from tests.stores import new_schema

LOOK, LEASE, IDLE = 0.25, 3.0, 2.0
A_LOOK, A_RENEWAL = 2, 4
"""Statements: news and the next wake; the lease, who is dead, who is unburied, and what nobody has the code of."""
OFTEN = 0.8  # the least of the jitter of both


@saga(name="idle.nothing")
async def nothing() -> None:
    return None


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


def asked(postgres: str, schema: str) -> tuple[int, float]:
    """How many statements reached the server while an engine was idle, and for how long it was."""

    async def main() -> tuple[int, float]:
        async with Proxy(postgres) as proxy:

            def statements() -> int:
                return sum(
                    kind in "SQ" for trace in proxy.traces for side, kind, _ in trace.messages if side == ">"
                )

            store = PostgresStore(proxy.url, schema=schema, unsafe=True, look=LOOK, lease=LEASE)
            async with Engine(store, sagas=[nothing]) as engine:
                await engine.run(nothing())
                await asyncio.sleep(LOOK)
                clock = asyncio.get_running_loop().time
                before, began = statements(), clock()
                await asyncio.sleep(IDLE)
                return statements() - before, clock() - began

    return asyncio.run(main())


def most(seconds: float) -> float:
    looks, renewals = seconds / (OFTEN * LOOK) + 1, seconds / (OFTEN * LEASE / 3) + 1
    return A_LOOK * looks + A_RENEWAL * renewals


def test_an_idle_worker_asks_seldom(postgres: str, schema: str) -> None:
    count, seconds = asked(postgres, schema)
    assert 2 <= count <= most(seconds)


def test_by_default_that_is_less_than_five_a_second() -> None:
    """On average of the jitters (0.8 to 1.2, and 0.8 to 1.1)."""
    store = PostgresStore("postgresql://nowhere/none")
    assert A_LOOK / store._look + A_RENEWAL / (0.95 * store.lease / 3) < 5


def test_one_that_asks_at_every_poll_is_found(
    postgres: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ablation: whether anything changed is not asked first."""

    async def always(self: PostgresStore) -> bool:
        return True

    monkeypatch.setattr(PostgresStore, "changed", always)
    count, seconds = asked(postgres, schema)
    assert count > most(seconds)
