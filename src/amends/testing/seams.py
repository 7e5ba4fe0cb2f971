"""What an engine is handed instead of the machine's clock, chance, identifiers and threads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from ..engine.engine import Engine
from ..engine.post import Post
from ..errors import AmendsError
from ..worker.intake import intake
from ..worker.worker import Worker
from .marks import sometimes

EPOCH = 1_800_000_000.0
"""What the clock says at the begin of virtual time (January 2027), seconds since the epoch."""


class VirtualClock:
    """A clock on virtual time. `skew` seconds are added to what is written down, not to what is measured."""

    def __init__(self, moment: Callable[[], float]) -> None:
        self._moment = moment
        self.skew = 0.0

    def now(self) -> float:
        """Virtual seconds since the epoch."""
        return EPOCH + self._moment() + self.skew

    def monotonic(self) -> float:
        """Virtual seconds since the begin."""
        return self._moment()


class SeededIds:
    """Identifiers from a seed, ordered by time as real ones."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uid(self, now: float) -> str:
        """32 hex digits."""
        return f"{int(now * 1000):012x}{self._chance.getrandbits(80):020x}"


class LoopExecutor:
    """Runs a SQLite store's jobs on an event loop instead of in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` after those submitted before."""
        self._loop.call_soon(job)

    def stop(self) -> None:
        """Nothing to stop."""


class VirtualPost(Post):
    """Where a `VirtualEngine` works."""

    def _lost(self, error: AmendsError) -> None:
        sometimes(f"a worker gave up: {error.code}")
        super()._lost(error)

    def _set_to_work(self, worker: Worker) -> None:
        assert isinstance(self._engine, VirtualEngine)
        worker.dispatcher.chance = self._engine.chance
        self._spawn(intake(worker))


class VirtualEngine(Engine):
    """An engine without threads of its own, whose jitter comes from a seed.

    (Its watchdog would measure virtual time, which stands still while saga code runs.)
    """

    _post = VirtualPost

    def __init__(self, *args: Any, chance: random.Random, **options: Any) -> None:
        super().__init__(*args, **options)
        self.chance = chance
