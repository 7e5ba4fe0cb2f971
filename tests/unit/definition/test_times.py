"""What lies beyond all calendars (a sleep for ever, damage) has no date, and nothing fails of that."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime

import pytest

import amends
from amends import Engine, saga, step
from amends.cli.render import text
from amends.definition.times import date_of
from amends.drawing.story import tell
from amends.participants import attempt

LATEST = datetime(9999, 12, 29, 23, tzinfo=UTC)
NO_DATES = [1e13, -1e13, 2.0**80, math.inf, math.nan, LATEST.timestamp() + 3 * 86400]


@pytest.mark.parametrize("date", [datetime(2026, 11, 27, 16, 5, 9, tzinfo=UTC), LATEST])
def test_a_moment_is_a_date(date: datetime) -> None:
    assert date_of(date.timestamp()) == date
    assert text.moment(date.timestamp()) == date.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize("at", NO_DATES)
def test_what_has_no_date_is_told_so(at: float) -> None:
    assert date_of(at) is None
    assert (text.moment(at), text.zone(at), text.utc(at)) == ("no date that a calendar has", "", None)


def test_a_picture_tells_so_too() -> None:
    timer = {"type": "timer", "id": "1", "due": 1e13}
    failed = {"type": "attempt_failed", "id": "1", "attempt": 1, "fault": ["E", ""], "retry_at": 1e13}
    rows = [
        {"position": 0, "now": 1.0, "events": [], "commands": [timer]},
        {"position": 1, "now": 2.0, "events": [failed], "commands": []},
    ]
    assert tell(rows[:1])[0].notes == ["until no date that a calendar has"]
    assert tell(rows)[0].notes[1] == "next at no date that a calendar has"


@step(name="times.told", timeout=1e13)
async def told() -> list[str]:
    assert amends.current().deadline is None
    return sorted(attempt.headers(amends.current()))


@saga(name="times.tells")
async def tells() -> list[str]:
    return await told()


def test_a_timeout_without_a_date_is_none_to_tell_of() -> None:
    async def main() -> list[str]:
        async with Engine("memory://", sagas=[tells]) as engine:
            return await engine.run(tells())

    names = asyncio.run(main())
    assert attempt.KEY in names
    assert attempt.DEADLINE not in names
