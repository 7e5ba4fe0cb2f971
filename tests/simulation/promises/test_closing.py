"""A worker that drains still hears what those in memory are told, and whoever waits for it is not left waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Client, EngineClosed, Recovery, Rejected, Settings, StepFailed, saga

from .book import OK, ONCE, Call, hang
from .world import World

COUNT = 10
FEW = Settings(poll=0.1, grace=5.0, steps=3, threads=3)


async def closes(world: World, engine: Any, gate: asyncio.Event, meanwhile: Any = None) -> None:
    """Drain; what runs may end once the drain has begun (and `meanwhile` is done)."""
    closing = asyncio.create_task(engine.close())
    await world.passes(0.1)
    if meanwhile is not None:
        await meanwhile()
        await world.passes(0.3)
    gate.set()
    await closing


def gated(world: World) -> tuple[asyncio.Event, Any]:
    gate = asyncio.Event()

    async def answer(call: Call) -> None:
        await gate.wait()

    return gate, answer


def test_a_cancel_that_comes_in_a_drain_is_heeded(world: World) -> None:
    async def main() -> None:
        gate, answer = gated(world)
        work = world.book.step("work", answer)

        @saga(name="closing")
        async def one(number: int) -> str:
            return await work(str(number))

        async with world.engine(one, settings=FEW) as first:
            handles = [await first.start(one(number), id=f"s-{number}") for number in range(COUNT)]
            await world.book.begun("work", count=FEW.steps)

            async def cancels() -> None:
                for handle in handles:
                    await handle.cancel("enough")

            await closes(world, first, gate, cancels)
        async with world.engine(one, settings=FEW) as second:
            ends = [await second.handle(one, f"s-{number}").outcome() for number in range(COUNT)]
        assert {end.status for end in ends} == {"compensated"}
        assert len(world.book.of("work")) == FEW.steps, "what was never dispatched never is"
        assert {call.attempt for call in world.book.calls} == {1}
        world.book.audit()

    world.run(main)


def test_compensations_that_wait_in_line_are_handed_over_untried(world: World) -> None:
    async def main() -> None:
        gate, answer = gated(world)
        work = world.book.step("work", undo=(answer,), undo_options={"retry": ONCE})
        bad = world.book.step("bad", Rejected("no"))

        @saga(name="closing")
        async def one(number: int) -> str:
            await work(str(number))
            return await bad(str(number))

        async with world.engine(one, settings=FEW) as first:
            for number in range(COUNT):
                await first.start(one(number), id=f"s-{number}")
            await world.book.begun("work", "undo", count=FEW.steps)
            await closes(world, first, gate)
        assert len(world.book.of("work", "undo")) == FEW.steps
        async with world.engine(one, settings=FEW) as second:
            ends = [await second.handle(one, f"s-{number}").outcome() for number in range(COUNT)]
        assert {end.status for end in ends} == {"compensated"}
        assert [call.attempt for call in world.book.of("work", "undo")] == [1] * COUNT
        world.book.audit()

    world.run(main)


def test_a_backlog_of_nested_sagas_is_handed_over_untried(world: World) -> None:
    async def main() -> None:
        gate, wait = gated(world)

        async def answer(call: Call) -> None:
            if int(call.tag) >= FEW.steps:
                raise Rejected("no")
            await wait(call)

        work = world.book.step("work", answer)

        @saga(name="closing.child")
        async def child(number: int) -> str:
            try:
                return await work(str(number))
            except StepFailed as failed:
                return failed.outcome

        @saga(name="closing")
        async def one(number: int) -> str:
            return await child(number)

        async with world.engine(one, child, settings=FEW) as first:
            for number in range(COUNT):
                await first.start(one(number), id=f"s-{number}")
            await world.book.begun("work", count=FEW.steps)
            await closes(world, first, gate)
        async with world.engine(one, child, settings=FEW) as second:
            ends = [await second.handle(one, f"s-{number}").result() for number in range(COUNT)]
        assert ends == [f"work:{number}" for number in range(FEW.steps)] + ["rejected"] * (COUNT - FEW.steps)
        assert {call.attempt for call in world.book.calls} == {1}

    world.run(main)


def test_whoever_closes_it_as_well_waits_until_it_is_closed(world: World) -> None:
    async def main() -> None:
        gate, answer = gated(world)
        work = world.book.step("work", answer)

        @saga(name="closing")
        async def one() -> str:
            return await work()

        async with world.engine(one, settings=FEW) as engine:
            await engine.start(one(), id="one")
            await world.book.begun("work")
            also: list[Any] = []

            async def again() -> None:
                also.append(asyncio.create_task(engine.close()))
                await world.passes(1)
                assert not also[0].done()

            await closes(world, engine, gate, again)
            await also[0]
            assert world.book.of("work")[0].how == "ok"
            await engine.close()

    world.run(main)


@pytest.mark.parametrize("where", ["engine", "client"])
def test_whoever_waits_hears_that_it_is_closed(world: World, where: str) -> None:
    work = world.book.step("work", hang)

    @saga(name="closing")
    async def one() -> str:
        return await work()

    async def main() -> None:
        async with world.engine(one) as engine:
            handle = await engine.start(one(), id="one")
            await world.book.begun("work")
            if where == "engine":
                waiting = asyncio.create_task(handle.result())
                await world.passes(1)
                await engine.close()
            else:
                async with Client(world.store()) as client:
                    waiting = asyncio.create_task(client.handle(one, "one").result())
                    await world.passes(1)
            with pytest.raises(EngineClosed, match="closed while one was waited for"):
                await waiting

    world.run(main)


def test_what_ends_in_a_drain_is_told_to_whoever_waits(world: World) -> None:
    async def main() -> None:
        gate, answer = gated(world)
        work = world.book.step("work", answer)

        @saga(name="closing")
        async def one() -> str:
            return await work("x")

        async with world.engine(one) as engine:
            waiting = asyncio.create_task(engine.run(one(), id="one"))
            await world.book.begun("work")
            await closes(world, engine, gate)
            assert await waiting == "work:x"

    world.run(main)


def test_whoever_terminates_it_waits_for_that_and_not_for_what_was_parked_below(world: World) -> None:
    work = world.book.step("work", Rejected("no"), OK, recovery={Rejected: Recovery.ASK})

    @saga(name="closing.child")
    async def child() -> str:
        return await work()

    @saga(name="closing")
    async def one() -> str:
        return await child()

    async def main() -> None:
        async with world.engine(one, child) as engine:
            handle = await engine.start(one(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.terminate("enough")
            assert (await handle.outcome()).status == "terminated"

    world.run(main)
