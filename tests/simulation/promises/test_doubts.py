"""An attempt that was lost leaves a doubt, and a worker that loses what it owned and has it again keeps that doubt."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from amends import Engine, Rejected, Retry, Settings, saga, step
from amends.errors import AmendsError

from .world import World


class Acts:
    """A step whose first attempt has its effect and is lost; each later one is rejected as soon as it may be."""

    def __init__(self) -> None:
        self.began = 0
        self.go = asyncio.Event()
        self.undone: list[Any] = []

    def saga(self) -> Any:
        @step(name="doubts.act", retry=Retry(attempts=3))
        async def act() -> None:
            self.began += 1
            await (asyncio.Event() if self.began == 1 else self.go).wait()
            raise Rejected("no")

        @act.compensation
        async def undo(value: None) -> None:
            self.undone.append(value)

        @saga(name="doubts.saga")
        async def acts() -> None:
            await act()

        return acts


async def loses(engine: Engine) -> None:
    """What it owned, and has it again a moment later."""
    worker = engine._worker
    assert worker is not None
    worker.lost(AmendsError("as if its lease had run out"))
    while engine._worker is worker or engine._worker is None or not engine._worker.lives:
        await asyncio.sleep(0.01)


def test_who_runs_on_does_not_answer_for_one_that_was_lost(world: World) -> None:
    async def main() -> None:
        acts = Acts()
        body = acts.saga()
        async with world.engine(body) as engine:
            await engine.start(body(), id="a")
            while acts.began < 1:
                await asyncio.sleep(0.01)
            await world.crash(engine)
        async with world.engine(body) as engine:
            while acts.began < 2:
                await asyncio.sleep(0.01)
            await loses(engine)
            acts.go.set()
            assert (await engine.handle(body, "a").outcome()).status == "compensated"
        assert (acts.began, acts.undone) == (2, [None])

    world.run(main)


def test_what_will_not_begin_answers_for_nothing(real_world: World) -> None:
    """It waited for a thread when its worker lost it; and by the time that has it again another one may have acted."""
    inside, go, called = threading.Event(), threading.Event(), []

    @step(name="doubts.plain")
    def plain(tag: str) -> None:
        called.append(tag)
        inside.set()
        go.wait(20)
        if tag == "b":
            raise Rejected("no")

    undone: list[str] = []

    @plain.compensation
    def undo(_: None, tag: str) -> None:
        undone.append(tag)

    @saga(name="doubts.threads")
    async def threads(tag: str) -> None:
        await plain(tag)

    async def main() -> None:
        settings = Settings(poll=0.1, grace=0.2, threads=1)
        async with real_world.engine(threads, settings=settings) as engine:
            await engine.start(threads("a"), id="a")
            while not inside.is_set():
                await asyncio.sleep(0.005)
            b = await engine.start(threads("b"), id="b")
            while engine._worker is None or len(engine._worker.attempts) < 2:
                await asyncio.sleep(0.005)
            await loses(engine)
            go.set()
            assert (await b.outcome()).status == "compensated"
        assert (called, undone) == (["a", "b"], ["b"])

    real_world.run(main)
