"""Back-pressure: who starts sagas is held back while a queue that they fill is as deep as it may be.

The limit is one of the queue (`QueueLimits.depth`), set by who operates it; which sagas heed it is said once,
by who writes them (``@saga(room="emails")``), and not by each starter.  It is a soft one: many starters in
many processes look at the same moment, and a started saga fills the queue only when it comes to its step.  So
that not each start asks the store, one look gives leave to as many starts as there was room for, for a short
time.  Only starts from outside are held back.  What sagas and schedules start is not: the one may be what
empties the queue, the other has a policy of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..clock import Clock
from ..definition.saga import SagaCall
from ..errors import QueueFull
from ..store.queueing import QueueStatus
from .backend import check_id, must_be_call

if TYPE_CHECKING:
    from .backend import Backend
    from .queues import Queues

LOOK_FIRST, LOOK_LONGEST = 0.05, 1.0
LEAVE = 0.25
"""Seconds for which a look gives leave to further starts."""
PATIENCE = 30.0
"""Seconds that a start waits for room."""


class Room:
    """Room in one queue, as far as it is known in this process."""

    def __init__(self, look: Callable[[], Awaitable[QueueStatus]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._turn = asyncio.Lock()  # one looks, the others wait in line
        self._leave, self._until = 0.0, 0.0
        self._seen = "it could not be looked at"

    def at_once(self) -> bool:
        """Take one place of those that the last look has seen, if that was just now."""
        if self._leave < 1 or self._clock.monotonic() >= self._until:
            return False
        self._leave -= 1
        return True

    def forget(self) -> None:
        """What was seen no longer counts."""
        self._leave = 0.0

    async def wait(self, timeout: float | None) -> None:
        """Take a place as soon as there is one. timeout: seconds; at 0 it looks once. Raises `QueueFull`."""
        if timeout is not None and timeout <= 0:
            if not await self._is_there():
                raise self._full("now")
            return
        pause = LOOK_FIRST
        try:
            async with asyncio.timeout(timeout), self._turn:
                while not (self.at_once() or await self._is_there()):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LOOK_LONGEST)
        except TimeoutError:
            raise self._full(f"within {timeout:g} s") from None

    async def _is_there(self) -> bool:
        status = await self._look()
        waiting, depth = status.waiting + status.delayed, status.limits.depth
        self._seen = f"{waiting} tasks wait in {status.name!r}, its depth is {depth}"
        self._leave = math.inf if depth is None else depth - waiting
        self._until = self._clock.monotonic() + LEAVE
        if self._leave < 1:
            return False
        self._leave -= 1
        return True

    def _full(self, when: str) -> QueueFull:
        return QueueFull(
            f"no room {when}: {self._seen}",
            hint="start again later, serve it with more workers, or give it more depth (amends queue limit)",
        )


async def hold_back(
    backend: Backend, queues: Queues, call: SagaCall[Any], id: str | None, *, waits: bool = True
) -> None:
    """Wait until there is room for what this saga does, if it says that it needs some.

    What exists already is not held back, nor is it started.  waits: if not, it is told at once that there is
    no room.  Raises `QueueFull`, and `Refused` for what is no call, or an id that cannot be.
    """
    must_be_call(call)
    name = call.saga.options.room
    if not name:
        return
    if id is not None:
        check_id(id)
    room = queues.room_in(name)
    if room.at_once() or (id is not None and await backend.store.find(backend.namespace, id) is not None):
        return
    await room.wait(PATIENCE if waits else 0.0)
