"""The peer's side of each workload, written as its documentation teaches: workflows and steps, async and
plain.

Same shape and same payloads as `bench/ours/work.py`: integers in, integers out.
"""

from __future__ import annotations

import asyncio
import time

from dbos import DBOS

from bench import book


@DBOS.step()
async def add(x: int) -> int:
    return x + 1


@DBOS.step()
async def refuse(x: int) -> int:
    raise ValueError("no")


@DBOS.step()
async def subtract(x: int) -> None:
    return None


@DBOS.step()
def add_plainly(x: int) -> int:
    return x + 1


@DBOS.step()
def refuse_plainly(x: int) -> int:
    raise ValueError("no")


@DBOS.step()
def subtract_plainly(x: int) -> None:
    return None


@DBOS.workflow()
async def five_steps(x: int) -> int:
    for _ in range(5):
        x = await add(x)
    return x


@DBOS.workflow()
def five_steps_plainly(x: int) -> int:
    for _ in range(5):
        x = add_plainly(x)
    return x


@DBOS.workflow()
async def four_and_back(x: int) -> int:
    done: list[int] = []
    try:
        for _ in range(4):
            x = await add(x)
            done.append(x)
        return await refuse(x)
    except ValueError:
        for value in reversed(done):
            await subtract(value)
        return -1


@DBOS.workflow()
def four_and_back_plainly(x: int) -> int:
    done: list[int] = []
    try:
        for _ in range(4):
            x = add_plainly(x)
            done.append(x)
        return refuse_plainly(x)
    except ValueError:
        for value in reversed(done):
            subtract_plainly(value)
        return -1


@DBOS.step()
async def work(path: str, saga: int, number: int, seconds: float) -> int:
    book.note(path, "+", saga, number)
    await asyncio.sleep(seconds)
    book.note(path, "-", saga, number)
    return number


@DBOS.workflow()
async def five_works(path: str, saga: int, seconds: float) -> int:
    for number in range(5):
        await work(path, saga, number, seconds)
    return saga


@DBOS.workflow()
async def sleeper(until: float) -> int:
    await DBOS.sleep_async(max(0.0, until - time.time()))
    return 1


class Gate:
    """Where `long_run` stops when it records, and passes when it replays. Not durable: that is the point."""

    open = False
    reached = 0


@DBOS.workflow()
async def long_run(x: int, steps: int) -> int:
    for _ in range(steps):
        x = await add(x)
    Gate.reached += 1
    while not Gate.open:  # noqa: ASYNC110 - a recovered workflow runs on another loop
        await asyncio.sleep(0.05)
    return x


ASYNC = {"throughput": five_steps, "latency": five_steps, "compensation": four_and_back}
PLAIN = {
    "throughput": five_steps_plainly,
    "latency": five_steps_plainly,
    "compensation": four_and_back_plainly,
}
EXPECTED = {"throughput": 5, "latency": 5, "compensation": -1}
