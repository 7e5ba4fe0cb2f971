"""A worker that has lost what it owned begins nothing more of it, until it owns it again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from amends import Engine, Settings, saga, step
from amends.errors import AmendsError
from amends.store.memory import MemoryStore

BEGAN: list[str] = []
GO = threading.Event()


async def until_told() -> None:
    while not GO.is_set():
        await asyncio.sleep(0.001)


@step(name="lost.async")
async def in_the_loop(name: str) -> str:
    BEGAN.append(name)
    await until_told()
    return name


@step(name="lost.thread")
def in_a_thread(name: str) -> str:
    BEGAN.append(name)
    GO.wait(20)
    return name


@saga(name="lost.async_both")
async def both(first: str, second: str) -> list[str]:
    return list(await asyncio.gather(in_the_loop(first), in_the_loop(second)))


@saga(name="lost.thread_both")
async def both_in_threads(first: str, second: str) -> list[str]:
    return list(await asyncio.gather(in_a_thread(first), in_a_thread(second)))


class Reluctant(MemoryStore):
    """Nobody becomes a worker again before the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def register(self, now: float, *, wait: bool) -> int | None:
        await self.gate.wait()
        return await super().register(now, wait=wait)


@pytest.mark.parametrize("body", [both, both_in_threads], ids=["waits for a slot", "waits for a thread"])
def test_what_had_not_begun_begins_only_under_its_next_owner(body: object) -> None:
    limits = Settings(steps=1) if body is both else Settings(threads=1)

    async def main() -> None:
        BEGAN.clear()
        GO.clear()
        store = Reluctant()
        async with Engine(store, sagas=[both, both_in_threads], settings=limits) as engine:
            handle = await engine.start(body("a", "b"), id="one")  # type: ignore[operator]
            while not BEGAN:
                await asyncio.sleep(0.001)
            worker = engine._posts[0].worker
            assert worker is not None
            store.gate.clear()
            worker.lost(AmendsError("as if its lease had run out"))
            GO.set()
            await asyncio.sleep(0.1)
            assert BEGAN == ["a"]
            store.gate.set()
            assert await handle.result() == ["a", "b"]
            assert BEGAN.count("b") == 1

    asyncio.run(asyncio.wait_for(main(), 30))
