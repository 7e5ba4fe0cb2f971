"""Our measuring process: amends with default settings on a SQLite file (WAL, synchronous=FULL).

Why it is fair.  The same load loop as the peer's, the same client call a user would write (`engine.run`,
`engine.start`), default settings, results awaited, warm-up first.  Nothing here reaches below the public
interface.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from amends import Compensated

from ..driving import Window, answer, asked, in_flight
from ..measure import summary
from . import work
from .session import Meter, configuration, engine_on
from .sleeping import sleepers

WARM_UP = 100


async def load(what: str, path: str, count: int, width: int) -> dict[str, Any]:
    """throughput, latency and compensation."""
    async with engine_on(path) as engine:

        async def forward(number: int) -> None:
            assert await engine.run(work.five_steps(0), id=f"{label}-{number}") == 5

        async def backward(number: int) -> None:
            try:
                await engine.run(work.four_and_back(0), id=f"{label}-{number}")
            except Compensated:
                return
            raise AssertionError("not compensated")

        one = backward if what == "compensation" else forward
        label = "warm"
        await in_flight(WARM_UP, width, one, Window())
        label, meter, window = "run", Meter(engine), Window()
        with window:
            await in_flight(count, width, one, window)
        return {
            "seconds": window.seconds,
            "cpu": window.cpu,
            "each": window.each,
            "sagas": count,
            "commits": meter.commits(),
            "rows": meter.rows(),
            "commit": summary(meter.commit_seconds()),
            "configuration": configuration(path, engine),
        }


async def crash(path: str, notes: str, count: int, seconds: float) -> dict[str, Any]:
    """Start `count` executions at once and run until killed."""
    async with engine_on(path) as engine:
        calls = (work.five_works(notes, number, seconds) for number in range(count))
        runs = (engine.run(call, id=f"crash-{number}") for number, call in enumerate(calls))
        await asyncio.gather(*runs)
    return {"complete": count}


async def recover(path: str, notes: str, count: int) -> dict[str, Any]:
    """Open the killed process's file, which recovers by itself, and wait until all are complete."""
    del notes
    async with engine_on(path) as engine:
        handles = [engine.handle(work.five_works, f"crash-{number}") for number in range(count)]
        results = await asyncio.gather(*(handle.result() for handle in handles))
        return {
            "complete": sum(result == n for n, result in enumerate(results)),
            "configuration": configuration(path, engine),
        }


async def record(path: str, count: int, steps: int) -> dict[str, Any]:
    """Fill `count` journals with `steps` results each, and leave them waiting for a signal."""
    async with engine_on(path) as engine:
        for number in range(count):
            await engine.start(work.long_run(0, steps), id=f"long-{number}")
        waiting = set(range(count))
        while waiting:
            await asyncio.sleep(0.1)
            for number in sorted(waiting):
                history = await engine.handle(work.long_run, f"long-{number}").history()
                if len(history) > steps:
                    waiting.discard(number)
    return {"rows": count * steps}


async def replay(path: str, count: int, steps: int) -> dict[str, Any]:
    """Signal them all: each is loaded, replayed from its recorded results and run to its end."""
    began = time.perf_counter()
    async with engine_on(path) as engine:
        handles = [engine.handle(work.long_run, f"long-{number}") for number in range(count)]
        for handle in handles:
            await handle.send(work.go, 1)
        for handle in handles:
            assert await handle.result() == steps
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "rows": count * steps, "configuration": configuration(path, engine)}


PROGRAMS: dict[str, Any] = {
    "crash": crash,
    "recover": recover,
    "sleepers": sleepers,
    "record": record,
    "replay": replay,
}


def main() -> None:
    what, given = asked()
    if what in PROGRAMS:
        answer(asyncio.run(PROGRAMS[what](**given)))
    else:
        answer(asyncio.run(load(what, **given)))


if __name__ == "__main__":
    main()
