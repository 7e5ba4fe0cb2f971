"""Waiting without an end: a journal has no infinity, and an execution that waits for ever must still be readable."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends import DefinitionError, Signal, saga
from amends.kernel import entries as e

from .lives import Life

news: Signal[int] = Signal("never.news")


async def sleeps() -> None:
    forever = asyncio.create_task(asyncio.sleep(math.inf))
    await news.receive()
    forever.cancel()


async def waits() -> None:
    await asyncio.wait_for(news.receive(), math.inf)


async def has_time() -> None:
    async with asyncio.timeout(math.inf):
        await news.receive()


@pytest.mark.parametrize("body", [sleeps, waits, has_time])
def test_a_wait_without_end_is_replayed_and_ends(body: Callable[[], Awaitable[Any]]) -> None:
    life = Life(saga(name=f"never.{body.__name__}")(body))  # type: ignore[arg-type]
    for instance in (life.replayed(), life.folded()):
        assert instance.ledger.timers == life.live.ledger.timers
    life.live = life.replayed()
    life.tell(e.Signalled("never.news", e.Raw(b"1")))
    assert life.live.ledger.status == "completed"
    assert life.live.ledger.timers == {}


def test_who_sleeps_for_ever_can_be_cancelled() -> None:
    async def sleeps_for_ever() -> None:
        await asyncio.sleep(math.inf)

    life = Life(saga(name="never.for_ever")(sleeps_for_ever))
    life.live = life.replayed()
    life.tell(e.CancelRequested("enough"))
    assert life.live.ledger.status == "compensated"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_limit_is_not_given_as_a_number(value: float) -> None:
    with pytest.raises(DefinitionError, match="leave it out"):
        amends.step(name="never.step", timeout=value)
