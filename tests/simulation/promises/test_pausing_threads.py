"""A paused execution begins nothing of what waits for a thread or for the store, either."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import amends
from amends import Engine, Handle, Resource, Settings, injected, saga
from amends.store.port import Transaction

from .world import World

SETTINGS = Settings(poll=0.1, grace=5.0, threads=1)


class Threads:
    """One thread, in which `a` is while `b` waits for it. `go`: the first may return."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside = threading.Event()
        self.called: list[str] = []
        self.undone: list[str] = []

    def saga(self) -> Any:
        @amends.step(name="paused.plain")
        def plain(tag: str) -> None:
            self.called.append(tag)
            self.inside.set()
            self.go.wait(20)

        @plain.compensation
        def undo(_: None, tag: str) -> None:
            self.undone.append(tag)

        @saga(name="paused.threads")
        async def threads(tag: str) -> str:
            await plain(tag)
            return tag

        return threads


@asynccontextmanager
async def both_started(
    world: World, threads: Threads
) -> AsyncIterator[tuple[Engine, Handle[str], Handle[str]]]:
    both = threads.saga()
    async with world.engine(both, settings=SETTINGS) as engine:
        a = await engine.start(both("a"), id="a")
        while not threads.inside.is_set():
            await asyncio.sleep(0.005)
        b = await engine.start(both("b"), id="b")
        while ("b", "1", "do") not in under_way(engine):
            await asyncio.sleep(0.005)
        yield engine, a, b
        threads.go.set()


def under_way(engine: Engine) -> set[tuple[str, str, str]]:
    """The attempts, by the ids of their executions."""
    worker = engine._worker
    assert worker is not None
    ids = {uid: live.header.id for uid, live in worker.lives.items()}
    return {(ids.get(uid, ""), action, what) for uid, action, what in worker.attempts.running}


async def heard(engine: Engine, id: str) -> None:
    """Wait until its owner knows that it is to stand still."""
    worker = engine._worker
    assert worker is not None
    while not any(live.header.id == id and live.paused for live in worker.lives.values()):
        await asyncio.sleep(0.005)


async def standing(handle: Handle[Any]) -> None:
    while (await handle.status()).paused is None:
        await asyncio.sleep(0.005)


def test_what_waits_for_a_thread_is_turned_away_and_sent_again(real_world: World) -> None:
    async def main() -> None:
        threads = Threads()
        async with both_started(real_world, threads) as (engine, a, b):
            await b.pause("not now")
            await heard(engine, "b")
            threads.go.set()
            assert await a.result() == "a"
            await standing(b)
            assert threads.called == ["a"]
            await b.resume()
            assert await b.result() == "b"
            assert threads.called == ["a", "b"]
            assert "attempt_failed" not in str([entry["events"] for entry in await b.history()])

    real_world.run(main)


def test_a_pause_that_ends_before_there_is_a_thread(real_world: World) -> None:
    async def main() -> None:
        threads = Threads()
        async with both_started(real_world, threads) as (engine, a, b):
            await b.pause("not now")
            await heard(engine, "b")
            await b.resume()
            threads.go.set()
            assert [await a.result(), await b.result()] == ["a", "b"]
            assert threads.called == ["a", "b"]

    real_world.run(main)


def test_what_never_began_is_not_undone(real_world: World) -> None:
    """A cancel ends the pause before there is a thread."""

    async def main() -> None:
        threads = Threads()
        async with both_started(real_world, threads) as (engine, a, b):
            await b.pause("not now")
            await heard(engine, "b")
            await b.cancel("no more")
            await asyncio.sleep(0.05)
            threads.go.set()
            assert (await b.outcome()).status == "compensated"
            assert await a.result() == "a"
            assert (threads.called, threads.undone) == (["a"], [])

    real_world.run(main)


def test_a_transaction_that_waits_for_the_store_is_turned_away(tmp_path: Any) -> None:
    world = World("sqlite", tmp_path)

    async def main() -> None:
        called: list[int] = []

        @amends.step(name="paused.transactional", transaction=True)
        def transactional(tx: Resource[Transaction] = injected) -> None:
            called.append(1)

        @saga(name="paused.transactional")
        async def together() -> str:
            await transactional()
            return "done"

        wire = world.wire()
        async with world.engine(together, wire=wire) as engine:
            transact, waits = wire.inner.transact, [True]

            async def late(incarnation: int, uid: str, body: Any) -> Any:
                if waits:  # heard while it waits for its turn
                    waits.pop()
                    await engine.handle(together, "p").pause("not now")
                    await heard(engine, "p")
                return await transact(incarnation, uid, body)

            wire.inner.transact = late
            handle = await engine.start(together(), id="p")
            await standing(handle)
            assert (called, waits) == ([], [])
            await handle.resume()
            assert await handle.result() == "done"
            assert called == [1]

    world.run(main)
