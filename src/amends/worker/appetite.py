"""How much a worker claims at a time, so that several share what is due.

Batches are bounded by `Settings.claim` and by the room in memory, and where several workers serve a store
they are of random size, so that workers that woke together do not go on in step.  A worker whose slots are
all taken leaves what is freshly due to others: it asks rarely, for little, and only for what has waited
`YIELD` seconds, so that nothing waits for ever when all workers are full.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from ..store.port import is_shared

if TYPE_CHECKING:
    from .worker import Worker

YIELD = 2.0


class Appetite:
    """Of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._shared = worker.store if is_shared(worker.store) else None
        self._chance = random.Random(worker.incarnation)
        self._full_until = -math.inf

    def bite(self, now: float) -> tuple[int, float]:
        """How many executions to claim now (0: none), and due by when."""
        settings = self._worker.settings
        room = min(settings.claim, settings.live - len(self._worker.lives))
        if room <= 0 or self._shared is None:
            return max(room, 0), now
        room = math.ceil(room * self._chance.uniform(0.5, 1.0))
        if len(self._worker.attempts) < settings.steps:
            return room, now
        if now < self._full_until:
            return 0, now
        self._full_until = now + YIELD * self._chance.uniform(0.8, 1.2)
        return math.ceil(room / 8), now - YIELD

    def surplus(self) -> int:
        """How many executions workers with less to do could take from this one."""
        return 0 if self._shared is None else self._shared.surplus()
