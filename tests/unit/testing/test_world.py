"""Time-skipping tests: what users do with `amends.testing.world`."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import amends
import amends.testing
from amends import Refused, Rejected, Retry, Signal, saga, step
from amends.testing import Stuck, World

Run = Callable[[Callable[[World], Coroutine[Any, Any, Any]]], Any]

sent: list[str] = []
approved = Signal[str]("world.approved")


@step(name="world.remind", retry=Retry(attempts=1))
async def remind(what: str) -> str:
    sent.append(what)
    return what


@step(name="world.file")
def file(what: str) -> str:
    assert threading.current_thread() is not threading.main_thread()
    time.sleep(0.05)  # real time, in which virtual time must stand still
    sent.append(what)
    return what


@remind.compensation
async def forget(result: str | None, what: str) -> None:
    sent.append(f"undo {what}")


@saga(name="world.subscription")
async def subscription(times: int) -> int:
    for number in range(times):
        await asyncio.sleep(10 * 86_400)
        await remind(f"day {10 * (number + 1)}")
    return times


@saga(name="world.approval")
async def approval() -> str:
    await remind("asked")
    try:
        return await approved.receive(timeout=timedelta(days=3))
    except TimeoutError:
        raise Rejected("nobody answered") from None


@saga(name="world.filing")
async def filing() -> str:
    return await file("filed")


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    sent.clear()
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/world.db"

    def run(main: Callable[[World], Coroutine[Any, Any, Any]]) -> Any:
        async def within() -> Any:
            async with amends.testing.world(url) as w:
                return await main(w)

        return asyncio.run(within())

    return run


def test_time_passes_only_as_it_is_told(run: Run) -> None:
    async def main(w: World) -> None:
        began = w.now
        async with w.engine(sagas=[subscription]) as engine:
            handle = await engine.start(subscription(3), id="s")
            await w.advance(days=25)
            assert sent == ["day 10", "day 20"]
            assert w.now - began == timedelta(days=25)
            assert (await handle.status()).status == "running"
            await w.advance(timedelta(days=4), hours=23)
            assert len(sent) == 2
            await w.advance(hours=2)
            assert len(sent) == 3
            assert await handle.result() == 3

    run(main)


def test_whoever_waits_lets_it_pass(run: Run) -> None:
    async def main(w: World) -> None:
        async with w.engine(sagas=[subscription]) as engine:
            assert await engine.run(subscription(30), id="s") == 30
        assert w.elapsed == timedelta(days=300)

    run(main)


def test_a_signal_in_time_and_none(run: Run) -> None:
    async def main(w: World) -> None:
        async with w.engine(sagas=[approval]) as engine:
            handle = await engine.start(approval(), id="yes")
            await w.advance(days=2)
            await handle.send(approved, "fine")
            assert await handle.result() == "fine"
            late = await engine.start(approval(), id="no")
            assert (await late.outcome()).status == "compensated"
        assert sent == ["asked", "asked", "undo asked"]

    run(main)


def test_a_crash_loses_nothing_that_was_durable(run: Run) -> None:
    async def main(w: World) -> None:
        async with w.engine(sagas=[subscription]) as engine:
            await engine.start(subscription(2), id="s")
            await w.advance(days=15)
            await w.crash(engine)
        await w.advance(days=30)
        assert sent == ["day 10"]
        async with w.engine(sagas=[subscription]) as engine:
            assert await engine.handle(subscription, "s").result() == 2
        assert sent == ["day 10", "day 20"]

    run(main)


def test_time_stands_still_while_a_thread_works(run: Run) -> None:
    async def main(w: World) -> None:
        async with w.engine(sagas=[filing]) as engine:
            assert await engine.run(filing(), id="f") == "filed"
        assert w.elapsed == timedelta(0)

    run(main)


def test_the_same_seed_gives_the_same_identifiers() -> None:
    async def uids(seed: int) -> str:
        async with (
            amends.testing.world(seed=seed) as w,
            w.engine(sagas=[filing]) as engine,
        ):
            handle = await engine.start(filing(), id="f")
            await handle.result()
            return (await handle.status()).uid

    assert asyncio.run(uids(1)) == asyncio.run(uids(1)) != asyncio.run(uids(2))


def test_waiting_for_what_nobody_brings_is_said(run: Run) -> None:
    async def main(w: World) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing can happen any more"):
        run(main)


def test_time_does_not_go_back(run: Run) -> None:
    async def main(w: World) -> None:
        with pytest.raises(Refused, match="does not go back"):
            await w.advance(-1)

    run(main)


def test_sockets_are_waited_for() -> None:
    """A reply that takes real time comes before a timeout of hours."""

    async def main() -> float:
        here, there = socket.socketpair()
        here.setblocking(False)
        async with amends.testing.world(patience=30) as w:
            threading.Timer(0.05, there.send, [b"x"]).start()
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().sock_recv(here, 1)
            elapsed = w.elapsed
        here.close()
        there.close()
        return elapsed.total_seconds()

    assert asyncio.run(main()) == 0


def test_time_is_real_again_afterwards() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = dict(loop.__dict__)
        async with amends.testing.world() as w:
            await w.advance(days=1_000)
        after = dict(loop.__dict__)
        assert {name for name in after if before.get(name) is not after[name]} <= {
            "_ready",
            "_scheduled",
            "_current_handle",
        }
        assert abs(loop.time() - time.monotonic()) < 1_000

    asyncio.run(main())


def test_other_loops_are_refused() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        kept, loop._selector = loop._selector, None
        try:
            async with amends.testing.world():
                pass
        finally:
            loop._selector = kept

    with pytest.raises(Refused, match="asyncio's own"):
        asyncio.run(main())
