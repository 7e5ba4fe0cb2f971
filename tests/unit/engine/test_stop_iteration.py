"""`next()` where nothing is left, in a plain function: a future cannot carry that, so nobody would hear of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends import Engine, Rejected, Resource, Retry, StepFailed, Transaction, injected, saga, step

ONCE = Retry(attempts=1)
SAID = "RuntimeError: a plain function raised StopIteration"
tried: list[str] = []


@step(name="stop.first", retry=ONCE)
def first(names: list[str]) -> str:
    return next(iter(names))


@step(name="stop.entered", retry=ONCE, transaction=True)
def entered(names: list[str], tx: Resource[Transaction] = injected) -> str:
    return next(iter(names))


@step(name="stop.booked")
async def booked() -> None: ...


@booked.compensation(retry=Retry(attempts=2, delay=0.01))
def unbook(result: None) -> None:
    tried.append("unbook")
    next(iter(range(len(tried) - 1)))


@booked.verify
async def is_unbooked(result: None) -> bool:
    return True


@step(name="stop.no", retry=ONCE)
async def no() -> None:
    raise Rejected("no")


@saga(name="stop.takes")
async def takes(transaction: bool) -> str:
    try:
        return await (entered([]) if transaction else first([]))
    except StepFailed as failure:
        return str(failure)


@saga(name="stop.goes_back")
async def goes_back() -> None:
    await booked()
    await no()


def ended(folder: Path, called: Any) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(20), Engine(f"sqlite:///{folder}/stop.db", sagas=[called.saga]) as engine:
            return await (await engine.start(called, id="one")).outcome()

    return asyncio.run(main())


@pytest.mark.parametrize("transaction", [False, True])
def test_a_step_that_finds_nothing_has_failed(tmp_path: Path, transaction: bool) -> None:
    assert SAID in ended(tmp_path, takes(transaction)).value


def test_a_compensation_with_a_check_is_tried_again(tmp_path: Path) -> None:
    tried.clear()
    assert (ended(tmp_path, goes_back()).status, tried) == ("compensated", ["unbook", "unbook"])


def test_a_step_that_just_runs_says_so() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(asyncio.wait_for(first([]), 20))
