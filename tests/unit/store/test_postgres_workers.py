"""Engines on one PostgreSQL: they share the work, hear of each other, and stay quiet when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from amends import Client, Engine, Settings, Signal, saga, step
from amends.store.postgres import PostgresStore
from tests.stores import execute, new_schema

approved = Signal[str]("workers.approved")


@step(name="workers.add")
async def add(number: int) -> int:
    return number + 1


@saga(name="workers.adding")
async def adding(number: int) -> int:
    for _ in range(3):
        number = await add(number)
    return number


@saga(name="workers.sleeping")
async def sleeping(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return await approved.receive()


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(guarded())


def engine(postgres: str, schema: str, **settings: Any) -> Engine:
    store = PostgresStore(postgres, schema=schema, unsafe=True)
    return Engine(store, sagas=[adding, sleeping], settings=Settings(**settings))


def test_two_engines_share_the_work(postgres: str, schema: str) -> None:
    """Started by a client, claimed by two: each takes at most `claim` at a time."""

    async def main() -> None:
        async with Client(PostgresStore(postgres, schema=schema, unsafe=True)) as client:
            handles = [await client.start(adding(n), id=f"a-{n}") for n in range(60)]
            async with engine(postgres, schema, claim=5), engine(postgres, schema, claim=5):
                assert [await handle.result() for handle in handles] == [n + 3 for n in range(60)]
        owners = execute(postgres, f"SELECT count(*) FROM {schema}.executions WHERE status <> 'completed'")
        assert owners == [(0,)]

    run(main)


def test_what_one_lets_go_another_ends(postgres: str, schema: str) -> None:
    """A saga begun here sleeps, is taken by the other engine, and ends there: whoever waits here hears it."""

    async def main() -> None:
        here = engine(postgres, schema, linger=0.0, poll=30.0)  # it looks for no work of itself
        async with here:
            handle = await here.start(sleeping(0.3), id="s")
            waiting = asyncio.ensure_future(handle.result())
            async with engine(postgres, schema, poll=0.05) as there:
                while (await there.store.find("default", "s")).owner is not None:  # type: ignore[union-attr]
                    await asyncio.sleep(0.01)
                here._worker.draining = True  # type: ignore[union-attr]  # it claims no more
                await there.handle(sleeping, "s").send(approved, "yes")
                assert await waiting == "yes"
                head = await there.store.find("default", "s")
                assert head is not None
                assert head.status == "completed"

    run(main)


def test_an_idle_worker_is_quiet(postgres: str, schema: str) -> None:
    """Without work it asks less than five times a second (counted by the store, not by the clock)."""

    async def main() -> None:
        async with engine(postgres, schema) as quiet:
            store = quiet.store
            assert isinstance(store, PostgresStore)
            await quiet.run(adding(1))
            asked = 0
            fetch = store._control.fetch

            async def counted(*given: Any) -> Any:
                nonlocal asked
                asked += 1
                return await fetch(*given)

            store._control.fetch = counted  # type: ignore[method-assign]
            await asyncio.sleep(3.0)
            assert 0 < asked < 15

    run(main)


def test_notified_of_a_start(postgres: str, schema: str) -> None:
    """A notification brings a worker that would look only much later."""

    async def main() -> None:
        store = PostgresStore(postgres, schema=schema, unsafe=True, look=1_000.0)
        async with Engine(store, sagas=[adding]) as worker:
            await worker.run(adding(1))  # by now it listens, and has looked
            await asyncio.sleep(0.5)
            async with Client(PostgresStore(postgres, schema=schema, unsafe=True)) as client:
                handle = await client.start(adding(5), id="later")
                assert await handle.result() == 8

    run(main)


def test_fenced_while_it_works(postgres: str, schema: str) -> None:
    """A worker that others have retired hears it, reads everything again, and ends what it had begun."""

    async def main() -> None:
        store = PostgresStore(postgres, schema=schema, unsafe=True, lease=0.6)
        async with Engine(store, sagas=[adding, sleeping]) as worker:
            handle = await worker.start(sleeping(0.0), id="s")
            first = worker._worker.incarnation  # type: ignore[union-attr]
            execute(postgres, f"UPDATE {schema}.fences SET retired = true")
            while worker._worker is None or worker._worker.incarnation == first:
                await asyncio.sleep(0.02)
            await handle.send(approved, "still")
            assert await handle.result() == "still"

    run(main)


def test_connections_are_few(postgres: str, schema: str) -> None:
    """A worker has three: one writes, one asks, one listens. A client has one."""

    def count() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        return int(execute(postgres, query, schema)[0][0])

    async def main() -> None:
        url = f"{postgres}{'&' if '?' in postgres else '?'}application_name={schema}"
        async with Engine(PostgresStore(url, schema=schema, unsafe=True), sagas=[adding]) as worker:
            await asyncio.gather(*(worker.run(adding(n)) for n in range(50)))
            assert count() == 3
            async with Client(PostgresStore(url, schema=schema, unsafe=True)) as client:
                await asyncio.gather(*(client.start(adding(n), id=f"c-{n}") for n in range(50)))
                assert count() == 4

    run(main)
