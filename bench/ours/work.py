"""Our side of each workload, written as the README teaches. Same shape and payloads as
`bench/peers/dbos_work.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import amends
from amends import Rejected, Saga, Signal, saga, step

from .. import book


@step(name="bench.add")
async def add(x: int) -> int:
    return x + 1


@add.compensation
async def subtract(result: int | None, x: int) -> None:
    return None


@step(name="bench.refuse")
async def refuse(x: int) -> int:
    raise Rejected("no")


@saga(name="bench.five_steps")
async def five_steps(x: int) -> int:
    for _ in range(5):
        x = await add(x)
    return x


@saga(name="bench.four_and_back")
async def four_and_back(x: int) -> int:
    for _ in range(4):
        x = await add(x)
    return await refuse(x)


@step(name="bench.work")
async def work(
    path: str, saga: int, number: int, seconds: float
) -> int:  # amends: ignore[AM101] a book of attempts
    book.note(path, "+", saga, number)
    await asyncio.sleep(seconds)
    book.note(path, "-", saga, number)
    return number


@saga(name="bench.five_works")
async def five_works(path: str, number: int, seconds: float) -> int:
    for each in range(5):
        await work(path, number, each, seconds)
    return number


@saga(name="bench.sleeper")
async def sleeper(until: float) -> int:
    await asyncio.sleep(max(0.0, until - amends.now().timestamp()))
    return 1


go = Signal[int]("bench.go")


@saga(name="bench.long_run")
async def long_run(x: int, steps: int) -> int:
    for _ in range(steps):
        x = await add(x)
    await go.receive()
    return x


SAGAS: list[Saga[..., Any]] = [five_steps, four_and_back, five_works, sleeper, long_run]
