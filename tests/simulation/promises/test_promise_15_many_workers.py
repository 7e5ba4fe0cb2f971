"""Promise 15 where several workers serve one store: each execution has one owner, whoever else is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends import Engine, Settings, saga
from tests.stores import new_schema

from .world import World

pytestmark = pytest.mark.soak


@pytest.fixture
def world(postgres: str, tmp_path: Path) -> Iterator[World]:
    made = World("postgres", tmp_path)
    made.url = postgres
    with new_schema(postgres) as made.schema:
        yield made


def incarnation(engine: Engine) -> int:
    assert engine._worker is not None
    return engine._worker.incarnation


def test_a_second_engine_works_and_touches_nothing_of_the_first(world: World) -> None:
    a, slow = world.book.step("a"), world.book.step("slow", lambda call: asyncio.sleep(50))

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await slow()

    async def main() -> None:
        async with world.engine(shop) as first:
            handle = await first.start(shop(), id="one")
            async with world.engine(shop) as second:
                other = await second.start(shop(), id="two")
                await asyncio.sleep(10)
                assert first.working
                assert second.working
                assert (await world.header("one")).owner == incarnation(first)
                assert (await world.header("two")).owner == incarnation(second)
                assert await handle.result() == await other.result() == "slow:"

    world.run(main)
    world.book.audit()


@pytest.mark.parametrize("end", ["drain", "crash"])
def test_another_takes_over_when_the_owner_is_gone_and_not_before(world: World, end: str) -> None:
    world.settings = Settings(grace=60)
    steps = [world.book.step(f"s{n}", lambda call: asyncio.sleep(10)) for n in range(5)]

    @saga(name="promise15")
    async def shop() -> str:
        for step in steps:
            await step()
        return "done"

    async def main() -> None:
        first = world.build(shop)
        await first.__aenter__()
        async with world.engine(shop) as second:
            for number in range(5):
                await first.start(shop(), id=f"{number}")
            await asyncio.sleep(25)
            assert {(await world.header(f"{n}")).owner for n in range(5)} == {incarnation(first)}
            if end == "drain":
                await first.close()
            else:
                await world.crash(first)
                await second.store._keeper.find_estates(world.clock.now())  # type: ignore[attr-defined]
            for number in range(5):
                assert await second.handle(shop, f"{number}").result() == "done"

    world.run(main)
    world.book.audit(crashes=1 if end == "crash" else 0)


def test_one_after_the_other_goes_and_the_last_has_it_all(world: World) -> None:
    world.settings = Settings(grace=60)
    a = world.book.step("a", lambda call: asyncio.sleep(10))

    @saga(name="promise15")
    async def shop() -> str:
        return await a()

    async def main() -> None:
        engines = [world.build(shop) for _ in range(6)]
        for engine in engines:
            await engine.__aenter__()
        last = engines[-1]
        for number, engine in enumerate(engines[:-1]):
            await engine.start(shop(), id=f"{number}")
            await asyncio.sleep(5)
            assert (await world.header(f"{number}")).owner == incarnation(engine)
            if number % 2:
                await world.crash(engine)
                await last.store._keeper.find_estates(world.clock.now())  # type: ignore[attr-defined]
            else:
                await engine.close()
        for number in range(5):
            assert await last.handle(shop, f"{number}").result() == "a:"
        await last.close()

    world.run(main)
    assert len({call.uid for call in world.book.calls}) == 5
    world.book.audit(crashes=1)
