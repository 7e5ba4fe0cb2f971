"""The pieces of the simulation: processes, time, order, threads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from amends.testing import Stuck
from amends.testing.schedule import Fifo, Pct, Uniform
from amends.testing.simulation import Process, Simulation


def test_time_jumps_and_nothing_waits() -> None:
    simulation = Simulation(1)

    async def main() -> float:
        await asyncio.sleep(86_400)
        return simulation.now

    assert simulation.run(main()) == 86_400


def test_a_killed_process_runs_no_more_and_says_no_farewell() -> None:
    simulation = Simulation(1)
    seen: list[str] = []

    async def victim() -> None:
        try:
            seen.append("begun")
            await asyncio.sleep(10)
            seen.append("never")
        finally:
            seen.append("finally")

    async def main() -> None:
        process = simulation.process("victim", Fifo())
        process.start(victim())
        await asyncio.sleep(5)
        process.kill()
        await asyncio.sleep(50)
        assert seen == ["begun"]

    simulation.run(main())
    simulation.close()


def test_a_paused_process_runs_later_while_the_others_go_on() -> None:
    simulation = Simulation(1)
    rung: list[tuple[str, float]] = []

    async def ring(name: str) -> None:
        await asyncio.sleep(1)
        rung.append((name, simulation.now))

    async def main() -> None:
        for name in ("paused", "other"):
            process = simulation.process(name, Fifo())
            process.start(ring(name))
            if name == "paused":
                simulation.outside.loop.call_later(0.5, process.pause, 10.0)
        await asyncio.sleep(20)

    simulation.run(main())
    assert rung == [("other", 1.0), ("paused", 10.5)]


def test_where_nothing_can_happen_it_is_said() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="nothing can happen"):
        Simulation(1).run(main())


def test_what_goes_on_for_ever_is_ended() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="still running after 100"):
        Simulation(1, turns=100).run(main())


def order_of(make: Callable[[random.Random], object], seed: int) -> tuple[str, list[int]]:
    """The trace of a run, and the order in which five tasks came to their ends."""
    simulation = Simulation(seed)
    order: list[int] = []

    async def task(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(number)

    async def main() -> None:
        process: Process = simulation.process("one", make(random.Random(seed)))  # type: ignore[arg-type]
        for number in range(5):
            process.start(task(number))
        await asyncio.sleep(1)

    simulation.run(main())
    return simulation.trace, order


@pytest.mark.parametrize("make", [Uniform, Pct])
def test_the_order_follows_from_the_seed(make: Callable[[random.Random], object]) -> None:
    assert order_of(make, 3) == order_of(make, 3)
    assert len({tuple(order_of(make, seed)[1]) for seed in range(20)}) > 5


def test_in_order_of_arrival() -> None:
    assert order_of(lambda _: Fifo(), 3)[1] == [0, 1, 2, 3, 4]


def test_callbacks_of_one_object_keep_their_order() -> None:
    class Actor:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def call(self, number: int) -> None:
            self.seen.append(number)

    for seed in range(20):
        simulation = Simulation(seed)
        actors = [Actor(), Actor()]
        process = simulation.process("one", Uniform(random.Random(seed)))
        for number in range(10):
            for actor in actors:
                process.loop.call_soon(actor.call, number)

        simulation.run(asyncio.sleep(1, None))
        assert [actor.seen for actor in actors] == [list(range(10))] * 2


def test_an_actor_that_spins_does_not_starve_the_others() -> None:
    for seed in range(10):
        simulation = Simulation(seed)
        process = simulation.process("one", Pct(random.Random(seed)))
        done: list[bool] = []

        async def spin(done: list[bool] = done) -> None:
            while not done:
                await asyncio.sleep(0)

        async def work(done: list[bool] = done) -> None:
            done.append(True)

        process.start(spin())
        process.start(work())
        simulation.run(asyncio.sleep(1, None))
        assert done


def test_functions_for_threads_run_outside_of_the_loop_and_dropped_ones_do_not() -> None:
    simulation = Simulation(1)

    def look() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    async def main() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            inside = await loop.run_in_executor(pool, look)
            late = loop.run_in_executor(pool, look)
            pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.sleep(1)
            return inside, late.cancelled()

    assert simulation.run(main()) == (False, True)
