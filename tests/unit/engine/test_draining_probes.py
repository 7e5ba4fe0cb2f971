"""A drain that finds a probe waiting for its turn: the attempt that it asks about is not forgotten."""

from __future__ import annotations

import asyncio
import threading

import pytest

from amends import UNRESOLVED, Engine, Rejected, Retry, Settings, saga, step
from amends.store import MemoryStore
from amends.worker import attempts

from .waiting import until

LOG: list[str] = []
FAIL, GO = threading.Event(), threading.Event()


@step(name="drain.pay", retry=Retry(attempts=1))
def pay() -> str:
    LOG.append("pay")
    FAIL.wait(20)
    if LOG.count("pay") == 1:
        raise TimeoutError("who knows")
    raise Rejected("no money")


@pay.compensation
async def refund(payment: str | None) -> None:
    LOG.append("refund")


@pay.probe
def ask() -> object:
    LOG.append("ask")
    return UNRESOLVED


@step(name="drain.block")
def block() -> None:
    LOG.append("block")
    GO.wait(20)


@saga(name="drain.buy")
async def buy() -> None:
    await pay()


@saga(name="drain.other")
async def other() -> None:
    await block()


def engine_on(store: MemoryStore | str) -> Engine:
    return Engine(store, sagas=[buy, other], settings=Settings(threads=1, grace=2.0, lease=30.0))


def bought_through_a_drain(store: MemoryStore | str) -> list[str]:
    """The probe of the first attempt stands behind another step, for the only thread, when the worker drains."""
    for clear in (LOG, FAIL, GO):
        clear.clear()

    async def main() -> None:
        async with engine_on(store) as engine:
            await engine.start(buy(), id="a")
            await until(lambda: "pay" in LOG)
            await engine.start(other(), id="b")
            FAIL.set()
            await until(lambda: "block" in LOG)
            await asyncio.sleep(0.05)  # the probe is in line now
            asyncio.get_running_loop().call_later(0.1, GO.set)
        assert LOG == ["pay", "block"]
        async with engine_on(store) as engine:
            result = await engine.handle(buy, "a").outcome()
            assert result.status == "compensated"

    asyncio.run(main())
    return LOG


def test_the_attempt_leaves_its_taint(store: MemoryStore | str) -> None:
    """A rejection after it does not prove that nothing was done."""
    assert bought_through_a_drain(store) == ["pay", "block", "pay", "ask", "refund"]


def test_dropped_like_what_was_never_dispatched_it_would_be_forgotten(
    store: MemoryStore | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ablation: nothing is a probe to the drain."""
    monkeypatch.setattr(attempts, "PROBE", "nothing")
    assert bought_through_a_drain(store) == ["pay", "block", "pay"]
