"""An attempt that waited for its turn and never began certainly had no effect: nothing is undone for it."""

from __future__ import annotations

import asyncio

from amends import Settings, saga, step

from .world import World


def test_interrupted_in_the_queue_is_not_undone(world: World) -> None:
    begun: list[str] = []
    undone: list[str] = []
    free = asyncio.Event()

    @step(name="queued.act")
    async def act(name: str) -> str:
        begun.append(name)
        await free.wait()
        return name

    @act.compensation
    async def undo(done: str | None, name: str) -> None:
        undone.append(name)

    @saga(name="queued.one")
    async def one(name: str) -> str:
        return await act(name)

    async def main() -> None:
        async with world.engine(one, settings=Settings(steps=1)) as engine:
            first = await engine.start(one("first"), id="first")
            await asyncio.sleep(0.1)
            second = await engine.start(one("second"), id="second")
            await asyncio.sleep(0.1)
            assert begun == ["first"]
            await second.cancel("changed my mind")
            assert (await second.outcome()).status == "compensated"
            free.set()
            assert await first.result() == "first"
            (failed,) = [
                event
                for row in await second.history()
                for event in row["events"]
                if event["type"] == "failed"
            ]
            assert failed["outcome"] == "rejected"

    world.run(main)
    assert (begun, undone) == (["first"], [])
