"""What comes from the store: executions to claim, messages, and the passing of time.

One task, so that news is never read between claiming an execution and having it in memory.  It
sleeps until something stirs it, a timer is due, or the poll ceiling is reached (another process may
have written).  Claims come in batches, and pause while enough executions are in memory, so that a
hundred thousand that wake at once do not become one burst.

A store that is busy or full has done nothing.  What could not be read is read with the next turn, after a
pause; what is in memory goes on.  (To give up everything then and read it again would ask most of a database
just when it has least to give.)
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence

from ..errors import StoreBusy, StoreFull
from ..store.port import Claim
from .appetite import Appetite
from .handover import rebalance
from .worker import Worker

_log = logging.getLogger("amends.worker")
_FIRST, _LONGEST = 0.05, 2.0
"""The pauses of a store that cannot answer, in seconds."""


async def intake(worker: Worker) -> None:
    """Feed the worker. While it drains it claims nothing more, but hears what those in memory are told."""
    feeding = _Feeding(worker)
    pause = _FIRST
    while not worker.dead:
        try:
            await feeding.turn()
        except (StoreBusy, StoreFull) as error:
            _log.warning("the store cannot be read just now; looking again in %g s: %s", pause, error)
            await asyncio.sleep(_until_due(worker, pause))
            pause = min(2 * pause, _LONGEST)
        else:
            pause = _FIRST
            await _sleep(worker, feeding.next_wake)


class _Feeding:
    """What is known of the store, and how far. behind: something there has not been looked at."""

    def __init__(self, worker: Worker) -> None:
        self.next_wake: float | None = 0.0
        self._worker = worker
        self._cursor = 0
        self._served = -1
        self._behind = False
        self._quiet: tuple[int, float] = (0, 0.0)
        self._appetite = Appetite(worker)

    async def turn(self) -> None:
        """Look at what there is, and take what may be taken.

        Raises `StoreBusy` and `StoreFull`: the next turn looks at all that this one did not.
        """
        worker = self._worker
        stirred = worker.stir.is_set()
        worker.stir.clear()
        _ring(worker, worker.clock.now())
        behind, self._behind = self._behind, True
        if self._served != worker.registry.count:
            self._served, stirred = await _serve(worker), True
        changed = await worker.store.changed() or behind
        if changed:
            await _learn(worker)
        if stirred or changed:
            self._cursor = await _news(worker, self._cursor)
            self.next_wake = await worker.store.next_wake()
        await self._take()
        self._behind = False
        if (surplus := self._appetite.surplus()) and not worker.draining:
            rebalance(worker, surplus)
        _evict(worker, worker.clock.now())
        self._quiet = await _tidy(worker, self._quiet)

    async def _take(self) -> None:
        """Claim what is due, for as long as there is room."""
        worker = self._worker
        while self.next_wake is not None and self.next_wake <= worker.clock.now():
            room, due_by = self._appetite.bite(worker.clock.now())
            if not room or worker.dead or worker.draining:
                break
            worker.claimed.clear()
            try:
                claimed = await _claim(worker, room, due_by)
            finally:
                worker.claimed.set()
            self.next_wake = await worker.store.next_wake()
            if not claimed:  # another worker is taking it just now
                break


async def _serve(worker: Worker) -> int:
    """Say what this worker has the code of. How many sagas are known?"""
    count = worker.registry.count
    worker.queued.mind()
    definitions = worker.registry.definitions()
    await worker.store.serve(worker.incarnation, definitions, worker.settings.shares)
    return count


def _ring(worker: Worker, now: float) -> None:
    """Deliver what is due by itself."""
    for live in worker.residency.due(now):
        for event in () if worker.pausing.stands(live) else live.instance.due(now):
            worker.deliver(live, event)


async def _learn(worker: Worker) -> None:
    """What stands still?"""
    pauses = await worker.store.pauses()
    if not worker.dead:  # else its successor knows better
        worker.holds.learn(pauses)


async def _news(worker: Worker, cursor: int) -> int:
    messages = await worker.store.news(worker.incarnation, cursor)
    worker.receive(messages)
    return max((m.seq for m in messages), default=cursor)


async def _claim(worker: Worker, room: int, due_by: float) -> int:
    """How many executions were taken?"""
    claims = await worker.store.claim(worker.incarnation, due_by, room)
    if any(worker.holds.cover(claim.header) for claim in claims):  # by now its pause is over
        try:
            await _learn(worker)
        except (StoreBusy, StoreFull):
            await _adopt(worker, claims)  # they are ours; until it can be learned they stand still
            raise
    return await _adopt(worker, claims)


async def _adopt(worker: Worker, claims: Sequence[Claim]) -> int:
    for place, claim in enumerate(claims):
        if worker.dead:
            return place
        # a release that is durable already and is carried out next
        while claim.header.uid in worker.lives and not worker.dead:  # noqa: ASYNC110 - one turn
            await asyncio.sleep(0)
        worker.loader.adopt(claim)
        if place % 32 == 31:  # replay runs in slices: others go on in between
            await asyncio.sleep(0)
    return len(claims)


def _evict(worker: Worker, now: float) -> None:
    for live in worker.residency.expired(now):
        worker.put_to_sleep(live)
    worker.committer.flush()


async def _tidy(worker: Worker, quiet: tuple[int, float]) -> tuple[int, float]:
    """Once after each stretch of work, when nothing was committed for `linger`, the store tidies up.

    `quiet` is the number of commits seen, and since when (infinity: tidied since).
    """
    commits, now = worker.committer.statistics.commits, worker.clock.monotonic()
    seen, since = quiet
    if commits != seen:
        return commits, now
    if now - since < worker.settings.linger or not worker.committer.idle:
        return quiet
    await worker.store.tidy()
    return commits, math.inf


def _until_due(worker: Worker, pause: float) -> float:
    """A pause that no timer waits for, for long."""
    due = worker.residency.next_due
    return pause if due is None else min(pause, max(_FIRST, due - worker.clock.now()))


async def _sleep(worker: Worker, next_wake: float | None) -> None:
    wait = worker.settings.poll
    now = worker.clock.now()
    for due in (next_wake, worker.residency.next_due):
        if due is not None:
            wait = min(wait, max(0.0, due - now))
    if next_wake is not None and next_wake <= now:
        wait = worker.settings.poll / 10
    if wait <= 0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(wait):
            await worker.stir.wait()
    except TimeoutError:
        return
