"""A step's `key` is code of the user's: what it raises concerns the one call, and no other saga."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends import Engine, Rejected, Saga, Settings, Status, saga, step

SETTINGS = Settings(poll=0.01, grace=0.2)
CUSTOMERS: set[str] = set()


@pytest.fixture(autouse=True)
def _forget() -> None:
    CUSTOMERS.clear()


def customer(order: str) -> str:
    if order not in CUSTOMERS:
        raise LookupError(f"no customer has {order}")
    return order


@step(name="keyed.send", queue="keyed", key=customer)
async def send(order: str) -> str:
    return f"mail-{order}"


@send.compensation
async def recall(mail: str | None, order: str) -> None: ...


@step(name="keyed.refuses")
async def refuses() -> None:
    CUSTOMERS.clear()
    raise Rejected("no")


@step(name="keyed.plain")
async def plain() -> int:
    return 1


@saga(name="keyed.sends")
async def sends(order: str) -> str:
    return await send(order)


@saga(name="keyed.undone")
async def undone(order: str) -> None:
    await send(order)
    await refuses()


@saga(name="keyed.other")
async def other() -> int:
    return await plain()


def engine(url: str, *, queues: tuple[str, ...] = ()) -> Engine:
    return Engine(url, sagas=[sends, undone, other], queues=queues, settings=SETTINGS)


async def held(engine: Engine, of: Saga[..., Any] = sends) -> Status:
    """How the execution stands that a person must look at; the others go on meanwhile."""
    async with asyncio.timeout(20):
        outcome = await engine.handle(of, "x").outcome()
        assert outcome.status == "attention"
        assert await engine.run(other()) == 1
    assert engine.state == "working"
    return await engine.handle(of, "x").status()


def test_a_key_that_raises_parks_its_action_alone_and_a_retry_goes_on() -> None:
    async def main() -> str:
        async with engine("memory://", queues=("keyed",)) as running:
            handle = await running.start(sends("o-1"), id="x")
            (item,) = (await held(running)).items
            assert (item["why"], item["outcome"]) == ("arguments", "rejected"), "it never was in a queue"
            assert "keyed.send: its key cannot be told" in item["error"]["message"]
            CUSTOMERS.add("o-1")
            await handle.retry()
            async with asyncio.timeout(20):
                return await handle.result()

    assert asyncio.run(main()) == "mail-o-1"


def test_a_key_that_raises_when_another_worker_takes_over_leaves_it_open_what_became_of_the_task(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/x.db"

    async def before() -> None:
        async with engine(url) as running:
            await running.start(sends("o-1"), id="x")
            while not (await running.queues.status("keyed")).waiting:
                await asyncio.sleep(0.01)

    async def after() -> None:
        async with engine(url) as running:
            (item,) = (await held(running)).items
            assert (item["why"], item["outcome"]) == ("arguments", "unknown"), "its task may run"

    CUSTOMERS.add("o-1")
    asyncio.run(before())
    CUSTOMERS.clear()
    asyncio.run(after())


def test_a_key_that_raises_for_a_compensation_parks_that() -> None:
    async def main() -> str:
        async with engine("memory://", queues=("keyed",)) as running:
            CUSTOMERS.add("o-1")
            handle = await running.start(undone("o-1"), id="x")
            (item,) = (await held(running, undone)).items
            assert (item["direction"], item["step"]) == ("undo", "keyed.send")
            assert "its key cannot be told" in item["error"]["message"]
            CUSTOMERS.add("o-1")
            await handle.retry()
            async with asyncio.timeout(20):
                return (await handle.outcome()).status

    assert asyncio.run(main()) == "compensated"
