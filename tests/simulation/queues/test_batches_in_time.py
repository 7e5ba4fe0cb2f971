"""Batches and time, which is virtual: how long calls wait for others, time limits, signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from amends import BatchCall, Retry, Settings, StepFailed, saga, step
from amends.testing import world

LONG = 3600.0
BEGUN: list[int] = []
STOPPED: list[int] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    BEGUN.clear()
    STOPPED.clear()


@step(name="bt.hurry", queue="times", retry=Retry(attempts=1), schedule_to_close=100.0)
async def hurry(number: int) -> float:
    raise AssertionError


@hurry.batch(within=LONG)
async def hurry_all(calls: Sequence[BatchCall[int]]) -> list[float]:
    BEGUN.append(len(calls))
    return [asyncio.get_running_loop().time() for _ in calls]


@saga(name="bt.hasty")
async def hasty() -> float:
    return await hurry(1)


def test_nobody_waits_longer_than_half_of_what_it_has() -> None:
    async def main() -> float:
        async with world() as w, w.engine(sagas=[hasty], queues=["times"]) as engine:
            begun = asyncio.get_running_loop().time()
            return await engine.run(hasty(), id="h") - begun

    assert asyncio.run(main()) == pytest.approx(50.0, abs=2.0)
    assert BEGUN == [1]


@saga(name="bt.mixed")
async def mixed() -> list[float]:
    return list(
        await asyncio.gather(
            hurry(1).options(schedule_to_close=1000.0), hurry(2).options(schedule_to_close=40.0)
        )
    )


def test_who_has_least_time_decides() -> None:
    async def main() -> list[float]:
        async with world() as w, w.engine(sagas=[mixed], queues=["times"]) as engine:
            begun = asyncio.get_running_loop().time()
            return [end - begun for end in await engine.run(mixed(), id="m")]

    assert asyncio.run(main()) == pytest.approx([20.0, 20.0], abs=2.0)
    assert BEGUN == [2]


def test_it_does_not_wait_for_more_than_may_run_here() -> None:
    async def main() -> list[float]:
        settings = Settings(steps=2)
        async with world() as w, w.engine(sagas=[mixed], queues=["times"], settings=settings) as engine:
            begun = asyncio.get_running_loop().time()
            return [end - begun for end in await engine.run(mixed(), id="m")]

    assert asyncio.run(main()) == pytest.approx([0.0, 0.0], abs=2.0)
    assert BEGUN == [2]


@step(name="bt.wait", queue="times", retry=Retry(attempts=1))
async def wait(number: int) -> float:
    raise AssertionError


@wait.batch(size=3, within=20.0)
async def wait_all(calls: Sequence[BatchCall[int]]) -> list[float]:
    BEGUN.append(len(calls))
    return [asyncio.get_running_loop().time() for _ in calls]


@saga(name="bt.one")
async def one(number: int) -> float:
    return await wait(number)


def test_the_first_waits_no_longer_than_that_and_a_full_batch_does_not_wait() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        async with world() as w, w.engine(sagas=[one], queues=["times"]) as engine:
            first = loop.time()
            handles = [await engine.start(one(1), id="1")]
            await w.advance(15)
            handles.append(await engine.start(one(2), id="2"))
            ends = [await handle.result() - first for handle in handles]
            first = loop.time()
            handles = [await engine.start(one(number), id=str(number)) for number in range(3, 6)]
            return ends + [await handle.result() - first for handle in handles]

    ends = asyncio.run(main())
    assert ends[:2] == pytest.approx([20.0, 20.0], abs=2.0)
    assert ends[2:] == pytest.approx([0.0] * 3, abs=2.0)
    assert BEGUN == [2, 3]


@step(name="bt.slow", queue="times", timeout=60.0, retry=Retry(attempts=1))
async def slow(number: int) -> None:
    raise AssertionError


@slow.batch(within=5.0)
async def slow_all(calls: Sequence[BatchCall[int]]) -> list[None]:
    BEGUN.append(len(calls))
    try:
        await asyncio.sleep(LONG)
    finally:
        STOPPED.append(sum(call.cancelled for call in calls))
    return [None for _ in calls]


@saga(name="bt.timely")
async def timely(times: list[float]) -> list[str]:
    async def each(number: int, most: float) -> str:
        try:
            await slow(number).options(timeout=most)
        except StepFailed as error:
            return f"{error.type} {error.outcome}"
        return "done"

    return list(await asyncio.gather(*[each(number, most) for number, most in enumerate(times)]))


def test_a_timeout_of_all_stops_the_function() -> None:
    async def main() -> list[str]:
        async with world() as w, w.engine(sagas=[timely], queues=["times"]) as engine:
            return await engine.run(timely([60.0, 60.0]), id="t")

    assert asyncio.run(main()) == ["TimedOut unknown"] * 2
    assert (BEGUN, STOPPED) == ([2], [2])


def test_who_has_more_time_does_not_keep_others_waiting() -> None:
    async def main() -> list[str]:
        async with world() as w, w.engine(sagas=[timely], queues=["times"]) as engine:
            return await engine.run(timely([60.0, 2 * LONG]), id="t")

    assert asyncio.run(main()) == ["TimedOut unknown", "done"]
    assert (BEGUN, STOPPED) == ([1, 1], [1, 0])


@step(name="bt.beat", queue="times", heartbeat=10.0, retry=Retry(attempts=1))
async def beat(number: int) -> str:
    raise AssertionError


@beat.batch(within=5.0)
async def beat_all(calls: Sequence[BatchCall[int]]) -> list[str]:
    for _ in range(5):
        await asyncio.sleep(8.0)
        calls[0].heartbeat({"at": "work"})
    return ["silent" if call.cancelled else "alive" for call in calls]


@saga(name="bt.lively")
async def lively() -> list[str]:
    return list(await asyncio.gather(beat(1), beat(2)))


def test_a_sign_of_life_of_one_is_one_of_all_and_waiting_is_no_silence() -> None:
    async def main() -> list[str]:
        async with world() as w, w.engine(sagas=[lively], queues=["times"]) as engine:
            return await engine.run(lively(), id="l")

    assert asyncio.run(main()) == ["alive", "alive"]
