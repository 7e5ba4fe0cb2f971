"""Many executions asleep in one file: what they weigh, and how evenly they wake.

They are started 100 at a time and no handle is kept.  The moment at which all wake is set so far ahead
(from a trial) that the last one, too, has left memory before it comes.  Waking is over when the engine's
statistics show one more row for each; that is checked afterwards against the store.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from amends import Engine

from ..driving import Window, in_flight, resident_kib
from ..measure import summary
from . import work
from .session import Meter, configuration, engine_on

WARM_UP = 2000
TRIAL = 1000
WIDTH = 100
SETTLE = 3.0
PATIENCE = 30.0
"""Seconds without a single commit after which waking has failed."""


async def put_to_sleep(engine: Engine, label: str, count: int, until: float) -> Window:
    """Start `count` sleepers; the window says how long that took."""

    async def one(number: int) -> None:
        await engine.start(work.sleeper(until), id=f"{label}-{number}")

    window = Window()
    with window:
        await in_flight(count, WIDTH, one, window)
    return window


async def warm_up(engine: Engine) -> None:
    """Fill caches and pools, so that they are not taken for the sleepers' memory."""

    async def one(number: int) -> None:
        await engine.run(work.five_steps(0), id=f"warm-{number}")

    await in_flight(WARM_UP, WIDTH, one, Window())


async def all_awake(meter: Meter, count: int) -> float:
    """When the last one had woken; gives up after `PATIENCE` seconds without progress."""
    seen, since = -1, time.time()
    while meter.rows() < count and time.time() - since < PATIENCE:
        if meter.rows() != seen:
            seen, since = meter.rows(), time.time()
        await asyncio.sleep(0.05)
    return since if meter.rows() < count else time.time()


async def sleepers(path: str, count: int) -> dict[str, Any]:
    """Memory of `count` sleeping executions; then all wake at one moment, and the commits are timed."""
    async with engine_on(path) as engine:
        await warm_up(engine)
        idle = resident_kib()
        trial = await put_to_sleep(engine, "trial", TRIAL, time.time() + 1e6)
        margin = engine.settings.linger + 2 * SETTLE
        until = time.time() + margin + 1.5 * trial.seconds * count / TRIAL
        window = await put_to_sleep(engine, "sleep", count, until)
        late = time.time() + engine.settings.linger + SETTLE > until
        await asyncio.sleep(max(0.0, min(SETTLE, until - time.time() - 1)))
        asleep, resident = resident_kib(), engine.stats()["resident"]
        await asyncio.sleep(max(0.0, until - time.time() - 0.5))
        meter = Meter(engine)
        woken = await all_awake(meter, count) - until
        left = await engine.list(status="running", id_prefix="sleep-", limit=count)
        return {
            "idle_kib": idle,
            "grown_kib": asleep - idle,
            "resident": resident,
            "late": late,
            "complete": count - len(left),
            "started_per_second": count / window.seconds,
            "awake_seconds": woken,
            "commits": meter.commits(),
            "rows": meter.rows(),
            "commit": summary(meter.commit_seconds()),
            "configuration": configuration(path, engine),
        }
