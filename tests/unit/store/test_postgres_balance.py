"""Workers on one PostgreSQL share work that is unevenly spread, and one that drains hands over before it has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from amends import Engine, Settings, Signal, saga, step
from amends.definition.context import CURRENT
from amends.store.postgres import PostgresStore
from amends.worker.appetite import YIELD
from tests.stores import execute, new_schema

DONE: Counter[str] = Counter()
ATTEMPTS: Counter[str] = Counter()
HELD = -1.0
"""In place of seconds: until the test lets it go."""
LET_GO: list[asyncio.Event] = []
go = Signal[str]("balance.go")


@step(name="balance.slow")
async def slow(seconds: float) -> None:
    ATTEMPTS[CURRENT.get().idempotency_key] += 1
    await (asyncio.sleep(seconds) if seconds != HELD else LET_GO[0].wait())


@saga(name="balance.working")
async def working(seconds: float) -> None:
    await slow(seconds)


@saga(name="balance.waiting")
async def waiting() -> str:
    return await go.receive()


@pytest.fixture
def place(postgres: str) -> Iterator[Callable[[], PostgresStore]]:
    DONE.clear()
    ATTEMPTS.clear()
    with new_schema(postgres) as schema:
        yield lambda: PostgresStore(postgres, schema=schema, lease=2.0, look=0.05, unsafe=True)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(guarded())


def engine(store: PostgresStore, **settings: Any) -> Engine:
    return Engine(store, sagas=[working, waiting], settings=Settings(poll=0.02, **settings))


def owned(store: PostgresStore) -> dict[int, int]:
    rows = execute(
        store.conninfo,
        f"SELECT owner, count(*) FROM {store.schema}.executions WHERE owner IS NOT NULL GROUP BY owner",
    )
    return dict(rows)


def test_a_worker_with_a_queue_gives_to_one_that_has_none(place: Callable[[], PostgresStore]) -> None:
    """Each step runs once: what waited for its turn was never begun."""

    async def main() -> None:
        async with engine(place(), steps=4) as full:
            handles = [await full.start(working(0.1), id=f"w-{n}") for n in range(300)]
            async with engine(place(), steps=4) as idle:
                while idle.stats()["rows"] < 20:
                    await asyncio.sleep(0.02)
                for handle in handles:
                    await handle.result()
                assert idle.stats()["rows"] > 40
        assert set(ATTEMPTS.values()) == {1}
        assert len(ATTEMPTS) == 300

    run(main)


def test_a_full_worker_leaves_what_is_due_to_others_for_a_while(place: Callable[[], PostgresStore]) -> None:
    async def main() -> None:
        store = place()
        async with engine(store, steps=1) as full:
            await full.start(working(YIELD * 4), id="long")
            await asyncio.sleep(0.2)
            execute(
                store.conninfo,
                f"INSERT INTO {store.schema}.executions (uid, namespace, id, partition, saga, version, status, cause,"
                " inbox_seq, wake_at, root, parent, parent_action, depth, created_at, updated_at, attributes, input)"
                " SELECT 'u' || n, 'default', 'x' || n, 0, 'balance.waiting', '', 'running', '', 0,"
                " extract(epoch FROM now()), 'u' || n, '', '', 0, 1, 1, '{}', '{}' FROM generate_series(1, 40) AS n",
            )
            await asyncio.sleep(YIELD / 2)
            assert sum(owned(store).values()) == 1
            await asyncio.sleep(YIELD * 2)
            assert sum(owned(store).values()) > 1  # nobody else came

    run(main)


def test_one_that_drains_hands_over_before_its_last_step_has_ended(
    place: Callable[[], PostgresStore],
) -> None:
    async def main() -> None:
        LET_GO[:] = [asyncio.Event()]
        leaving = engine(place(), steps=1, grace=50.0)
        async with engine(place()) as staying:
            await staying.close()
        async with leaving:
            last = await leaving.start(working(HELD), id="last")
            queued = [await leaving.start(working(0.01), id=f"q-{n}") for n in range(120)]
            idle = [await leaving.start(waiting(), id=f"i-{n}") for n in range(30)]
            await asyncio.sleep(0.2)
            async with engine(place()) as staying:
                closing = asyncio.ensure_future(leaving.close())
                for handle in queued:
                    await staying.handle(working, handle.id).result()
                for handle in idle:
                    await staying.handle(waiting, handle.id).send(go, "on")
                    assert await staying.handle(waiting, handle.id).result() == "on"
                assert not closing.done()
                LET_GO[0].set()
                await closing
                assert (await staying.handle(working, last.id).outcome()).status == "completed"
        assert set(ATTEMPTS.values()) == {1}

    run(main)


def test_a_message_that_comes_meanwhile_keeps_it_here(place: Callable[[], PostgresStore]) -> None:
    """The store refuses the release, and what was taken out of the queue stands in it again."""

    async def main() -> None:
        store = place()
        async with engine(store, steps=1) as only:
            await only.start(working(0.5), id="first")
            handle = await only.start(working(0.01), id="second")
            await asyncio.sleep(0.05)
            from amends.worker.handover import rebalance

            worker = only._worker
            assert worker is not None
            execute(
                store.conninfo,
                f"UPDATE {store.schema}.executions SET inbox_seq = inbox_seq + 1 WHERE id = 'second'",
            )
            assert rebalance(worker, 5) == 1
            await handle.result()
        assert set(ATTEMPTS.values()) == {1}

    run(main)
