"""Several engines on one PostgreSQL, of which not each has every definition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from amends import Client, Engine, Saga, Settings, Status, saga, step
from amends.definition.registry import Registry
from amends.store.port import Message
from amends.store.postgres import PostgresStore
from tests.stores import execute, new_schema

UNDONE: list[str] = []


@step(name="serving.charge")
async def charge(order: str) -> str:
    return f"charged {order}"


@charge.compensation
async def refund(done: str | None, order: str) -> None:
    UNDONE.append(order)


@saga(name="serving.order", version="1")
async def old_order(order: str) -> str:
    return f"old {await charge(order)}"


@saga(name="serving.order", version="2")
async def new_order(order: str) -> str:
    return f"new {await charge(order)}"


@saga(name="serving.report")
async def report(order: str) -> str:
    return await charge(order)


@saga(name="serving.sleeping", version="1")
async def sleeping(order: str) -> str:
    await charge(order)
    await asyncio.sleep(3600)
    return order


@pytest.fixture
def place(postgres: str) -> Iterator[Callable[..., PostgresStore]]:
    UNDONE.clear()
    with new_schema(postgres) as schema:

        def store(**options: Any) -> PostgresStore:
            chosen = {"lease": 0.3, "look": 0.05, "orphaned": 0.3, "unsafe": True, **options}
            return PostgresStore(postgres, schema=schema, **chosen)

        yield store


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(guarded())


def engine(store: PostgresStore, *sagas: Saga[..., Any], **settings: Any) -> Engine:
    """A process that has only this code."""
    made = Engine(store, settings=Settings(poll=0.02, **settings))
    made._registry = Registry(None)
    made._registry.add_step(charge)
    for each in sagas:
        made._registry.add_saga(each)
    return made


async def becomes(client: Client, id: str, status: str) -> Status:
    while (found := await client.handle(old_order, id).status()).status != status:
        await asyncio.sleep(0.02)
    return found


def test_old_code_drains_old_executions_beside_new_code(place: Callable[..., PostgresStore]) -> None:
    async def main() -> None:
        async with (
            Client(place()) as client,
            engine(place(), old_order, claim=3) as before,
            engine(place(), new_order, claim=3) as after,
        ):
            old = [await client.start(old_order(str(n)), id=f"old-{n}") for n in range(20)]
            new = [await client.start(new_order(str(n)), id=f"new-{n}") for n in range(20)]
            assert [await handle.result() for handle in old] == [f"old charged {n}" for n in range(20)]
            assert [await handle.result() for handle in new] == [f"new charged {n}" for n in range(20)]
            assert before.stats()["rows"] == after.stats()["rows"] == 20 * 2  # nobody did another's work

    run(main)


def test_what_nobody_has_waits_and_goes_on_when_its_code_comes(place: Callable[..., PostgresStore]) -> None:
    """It is not parked while there is still time for a deployment."""

    async def main() -> None:
        async with Client(place()) as client, engine(place(orphaned=60), new_order):
            handle = await client.start(old_order("7"), id="x")
            await asyncio.sleep(0.8)
            found = await client._store.find("default", "x")
            assert found is not None
            assert (found.status, found.owner) == ("running", None)
            async with engine(place(), old_order):
                assert await handle.result() == "old charged 7"

    run(main)


def test_what_nobody_has_for_long_is_parked_and_goes_on_by_itself(
    place: Callable[..., PostgresStore],
) -> None:
    async def main() -> None:
        async with Client(place()) as client, engine(place(), new_order):
            await client.start(old_order("7"), id="x")
            assert (await becomes(client, "x", "attention")).cause == "missing_definition"
            async with engine(place(), old_order):
                await becomes(client, "x", "completed")
            execute_adopted = await client.list()
            assert [each.status for each in execute_adopted] == ["completed"]

    run(main)


def test_what_nobody_has_can_be_cancelled(place: Callable[..., PostgresStore]) -> None:
    """It is undone from its journal by a worker that has its steps."""

    async def main() -> None:
        async with Client(place()) as client:
            async with engine(place(), sleeping, linger=0.0):
                await client.start(sleeping("7"), id="x")
                while (await client._store.find("default", "x")).wake_at in (None, 0.0):  # type: ignore[union-attr]
                    await asyncio.sleep(0.02)
            async with engine(place(), new_order):
                await client.handle(sleeping, "x").cancel("gone")
                await becomes(client, "x", "compensated")
        assert UNDONE == ["7"]

    run(main)


def test_another_version_is_nearer_than_another_saga(place: Callable[..., PostgresStore]) -> None:
    """Of two workers that lack it, the one that has the saga in another version adopts it."""

    async def main() -> None:
        async with Client(place()) as client, engine(place(), report) as far:
            async with engine(place(), new_order) as near:
                await client.start(old_order("7"), id="x")
                await becomes(client, "x", "attention")
                rows = execute(
                    far.store.conninfo,  # type: ignore[attr-defined]
                    f"SELECT incarnation FROM {place().schema}.served WHERE adopted",
                )
                assert rows == [(near._worker.incarnation,)]  # type: ignore[union-attr]
            await client.start(old_order("8"), id="y")  # now nobody is nearer
            await becomes(client, "y", "attention")

    run(main)


def test_nothing_is_adopted_beside_a_worker_that_has_not_said_what_it_has(
    place: Callable[..., PostgresStore],
) -> None:
    """A worker of an earlier release says nothing, and may have the code."""

    async def main() -> None:
        earlier = place(lease=30)
        await earlier.open()
        silent = await earlier.register(0.0, wait=False)
        assert silent is not None
        async with Client(place()) as client, engine(place(), new_order):
            await client.start(old_order("7"), id="x")
            await asyncio.sleep(1.2)
            assert (await client.handle(old_order, "x").status()).status == "running"
            assert [claim.header.id for claim in await earlier.claim(silent, 1e12, 10)] == ["x"]
            await earlier.retire(silent)
            await becomes(client, "x", "attention")
        await earlier.close()

    run(main)


def test_a_saga_that_becomes_known_later_is_served(place: Callable[..., PostgresStore]) -> None:
    async def main() -> None:
        async with Client(place()) as client, engine(place(orphaned=60), report) as one:
            handle = await client.start(old_order("7"), id="x")
            await asyncio.sleep(0.3)
            one._registry.add_saga(old_order)
            assert await handle.result() == "old charged 7"

    run(main)


def test_messages_do_not_bring_it_to_a_worker_that_lacks_it(place: Callable[..., PostgresStore]) -> None:
    async def main() -> None:
        async with Client(place()) as client, engine(place(orphaned=60), new_order) as one:
            handle = await client.start(old_order("7"), id="x")
            header = await client._store.find("default", "x")
            assert header is not None
            await client._store.send([Message(header.uid, '["fired","1"]')])
            await asyncio.sleep(0.5)
            assert one.stats()["resident"] == 0
            assert (await handle.status()).status == "running"

    run(main)
