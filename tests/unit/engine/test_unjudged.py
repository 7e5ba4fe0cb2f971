"""A failure that cannot be looked at is no reason to wait without end: a person looks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Engine, Rejected, saga, step
from amends.store import MemoryStore
from amends.worker import conclusions, dispatcher

DONE: list[str] = []
BROKEN: list[bool] = []


@step(name="unjudged.pay")
async def pay() -> str:
    DONE.append("pay")
    return "payment"


@pay.compensation
async def refund(payment: str | None) -> None:
    DONE.append("refund")
    if BROKEN:
        raise OSError("the line is down")


@step(name="unjudged.ship")
async def ship() -> None:
    raise Rejected("no")


@saga(name="unjudged.order")
async def order() -> None:
    await pay()
    await ship()


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a class of the user's fails when it is asked")


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()
    BROKEN.clear()


def test_a_step_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "conclude", broken)

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[order]) as engine:
            handle = await engine.start(order(), id="one")
            assert (await handle.outcome()).status == "attention"
            (item,) = (await handle.status()).items
            assert (item["step"], item["why"], item["outcome"]) == ("unjudged.ship", "unjudged", "unknown")
            assert item["error"] == {"type": "Rejected", "message": "no"}
            monkeypatch.undo()
            await handle.cancel("give it up")
            assert (await handle.outcome()).status == "compensated"
        assert DONE == ["pay", "refund"]

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_compensation_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conclusions, "conclude_undo", broken)
    BROKEN.append(True)

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[order]) as engine:
            handle = await engine.start(order(), id="one")
            assert (await handle.outcome()).status == "attention"
            (item,) = (await handle.status()).items
            assert (item["step"], item["direction"]) == ("unjudged.pay", "undo")
            assert item["error"] == {"type": "OSError", "message": "the line is down"}
        assert DONE == ["pay", "refund"]

    asyncio.run(asyncio.wait_for(main(), 30))
