"""A drain hands over what it never dispatched as if nothing had been tried: no taint, no attempt counted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from amends import Engine, Rejected, Settings, StepFailed, saga

from .book import OK, Call
from .world import World

COUNT = 20
FEW = Settings(poll=0.1, grace=5.0, steps=3, threads=3)


def backlog(world: World, work: Any) -> Any:
    @saga(name="drain.backlog")
    async def one(number: int) -> str:
        try:
            await work(str(number))
        except StepFailed as failed:
            return failed.outcome
        return "done"

    return one


async def begin(engine: Engine, one: Any) -> None:
    for number in range(COUNT):
        await engine.start(one(number), id=f"s-{number}")


async def ends(world: World, engine: Engine, one: Any) -> list[str]:
    return [await engine.handle(one, f"s-{number}").result() for number in range(COUNT)]


def gated(go: asyncio.Event) -> Any:
    """The first three answer once they may; all others are rejected."""

    async def answer(call: Call) -> None:
        if int(call.tag) < FEW.steps:
            await go.wait()
        else:
            raise Rejected("no")

    return answer


def test_what_a_drain_never_dispatched_is_tried_for_the_first_time_afterwards(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        one = backlog(world, world.book.step("drain.work", gated(go)))
        async with world.engine(one, settings=FEW) as first:
            await begin(first, one)
            await world.book.begun("drain.work", count=FEW.steps)
            closing = asyncio.create_task(first.close())
            await asyncio.sleep(0.1)
            go.set()
            await closing
        assert len(world.book.calls) == FEW.steps, "the rest was never dispatched"
        async with world.engine(one, settings=FEW) as second:
            assert await ends(world, second, one) == ["done"] * 3 + ["rejected"] * (COUNT - 3)
        assert {call.attempt for call in world.book.calls} == {1}
        world.book.audit()

    world.run(main)


def test_what_still_ran_at_the_end_of_the_grace_stays_lost_and_only_that(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        one = backlog(world, world.book.step("drain.work", gated(go)))
        async with world.engine(one, settings=FEW) as first:
            await begin(first, one)
            await world.book.begun("drain.work", count=FEW.steps)
            await first.close()
            go.set()
        async with world.engine(one, settings=FEW) as second:
            await ends(world, second, one)
        attempts = {int(call.tag): call.attempt for call in world.book.calls}
        assert [attempts[number] for number in range(COUNT)] == [2] * 3 + [1] * (COUNT - 3)

    world.run(main)


def test_steps_that_wait_for_a_thread_are_not_run_for_the_sake_of_a_drain(real_world: World) -> None:
    world, go = real_world, threading.Event()
    many = Settings(grace=30.0, threads=1, steps=100)

    def answer(call: Call) -> None:
        go.wait(30)

    one = backlog(world, world.book.step("drain.plain", answer, plain=True))

    async def main() -> None:
        async with world.engine(one, settings=many) as first:
            await begin(first, one)
            await world.book.begun("drain.plain")
            closing = asyncio.create_task(first.close())
            worker = first._worker
            assert worker is not None
            while not worker.draining:
                await asyncio.sleep(0)
            go.set()
            await closing
        assert len(world.book.calls) == 1
        async with world.engine(one, settings=many) as second:
            assert set(await ends(world, second, one)) == {"done"}
        assert {call.attempt for call in world.book.calls} == {1}

    world.run(main)


def test_an_unclear_end_during_a_drain_is_probed_by_whoever_takes_over(world: World) -> None:
    asked: list[str] = []

    async def main() -> None:
        go = asyncio.Event()

        async def vanish(call: Call) -> None:
            await go.wait()
            raise ConnectionResetError("gone")

        work = world.book.step("drain.probed", vanish, OK)

        @work.probe
        async def probe(tag: str) -> str:
            asked.append(tag)
            return "found"

        one = backlog(world, work)
        async with world.engine(one) as first:
            await first.start(one(0), id="s-0")
            await world.book.begun("drain.probed")
            closing = asyncio.create_task(first.close())
            await asyncio.sleep(0.1)
            go.set()
            await closing
        assert not asked
        async with world.engine(one) as second:
            assert await second.handle(one, "s-0").result() == "done"
        assert [call.attempt for call in world.book.calls] == [1, 2]

    world.run(main)
