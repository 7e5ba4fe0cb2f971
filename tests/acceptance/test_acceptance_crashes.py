"""Workers and clients that kill themselves at every named point, or are killed at random: nothing is lost, repeated
in vain, disordered or silent."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from amends.engine import crashes
from tests.figures import record

from .crashing import CLERKS, DRAINS, WORKERS, Crashing, Figures
from .processes import shop_in


def crash(
    folder: Path, seed: int, lives: Callable[[Crashing], Awaitable[None]], *, often: int = 4, **settings: Any
) -> Figures:
    """Let workers live and die as `lives` says, finish, and audit."""
    with shop_in(folder) as shop:

        async def main() -> Crashing:
            async with Crashing(shop, seed, often=often, **settings) as run:
                await lives(run)
                await run.finish()
                return run

        return asyncio.run(main()).figures()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_every_named_point(tmp_path: Path, part: int) -> None:
    points = [*WORKERS, *DRAINS, *CLERKS][part::3]

    async def lives(run: Crashing) -> None:
        for name in points:
            await run.at_point(name)

    found = crash(tmp_path, part, lives)
    record("crash points", **found.numbers())
    assert found.clean, found
    assert set(found.points) == set(points)
    assert found.kills >= len(points) - len(CLERKS)
    assert found.again, "some crash met a step"


@pytest.mark.slow
def test_random_moments(tmp_path: Path) -> None:
    async def lives(run: Crashing) -> None:
        for _ in range(12):
            await run.at_random()

    found = crash(tmp_path, 7, lives)
    record("random kills", **found.numbers())
    assert found.clean, found
    assert found.kills == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        ("a_key_for_each_attempt", "has two keys"),
        ("no_order", "was undone before"),
        ("lost_attempts_are_forgotten", "was not undone"),
    ],
)
def test_without_a_safeguard_the_audit_finds_it(tmp_path: Path, sabotage: str, said: str) -> None:
    async def lives(run: Crashing) -> None:
        await run.at_point("action.reported")
        await run.while_refusing()

    found = crash(tmp_path, 1, lives, sabotage=sabotage)
    assert not found.clean
    assert any(said in finding for finding in found.wrong + found.disordered), found


@pytest.mark.soak
def test_kills_for_a_long_time(tmp_path: Path) -> None:
    """For SOAK_MINUTES (default 5) and at least 200 kills: random moments and all points in turn."""
    until = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "5"))
    names = itertools.cycle([*WORKERS, *DRAINS, *CLERKS])
    kills, points, shops = 0, set[str](), 0

    async def lives(run: Crashing) -> None:
        for _ in range(20):
            await run.at_random()
            await run.at_point(name := next(names))
            points.add(name)

    while kills < 200 or len(points) < len(crashes.POINTS) or time.monotonic() < until:
        shops += 1
        folder = tmp_path / str(shops)
        folder.mkdir()
        found = crash(folder, shops, lives, often=40)
        record("kills, soak", **found.numbers())
        assert found.clean, found
        kills += found.kills
        shutil.rmtree(folder)
    print(f"{kills} kills in {shops} shops, {len(points)} of {len(crashes.POINTS)} points")


def test_each_point_belongs_to_some_life() -> None:
    assert sorted([*WORKERS, *DRAINS, *CLERKS]) == sorted(crashes.POINTS)
