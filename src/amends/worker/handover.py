"""Giving executions away while this worker lives: to those with less to do, and at the beginning of a drain.

**Theory of operation.**  What may go is what nothing is in doubt of: no row on its way, nothing that came and
is not journaled, no attempt that runs here or died with an earlier worker.  Attempts that wait for a slot
were never dispatched, so they are taken out of the queue *before* the release is sent; while it is under way
nothing can begin.  If the store refuses the release (a message came), they stand in the queue again.  The
next owner finds open commands that nobody dispatched, as after a drain, and sends them.

It goes in slices, so that the others are not flooded and the commits of this worker stay small.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ..kernel.phases import FINISHED
from ..store.port import Release, Verdict, Write
from .attempts import Attempt
from .live import Live

if TYPE_CHECKING:
    from .worker import Worker

SLICE = 100


def rebalance(worker: Worker, most: int) -> int:
    """Give away at most so many of the executions that only wait for a slot, the last in line first."""
    queued = worker.attempts.only_queued()
    given = 0
    for uid in reversed(queued):
        live = worker.lives.get(uid)
        if given == most:
            break
        if live is not None and _free(live):
            _give(worker, live, queued[uid], worker.clock.now())
            given += 1
    if given:
        worker.log.info("gave %d waiting executions to workers with less to do", given)
        worker.committer.flush()
    return given


async def hand_over(worker: Worker) -> None:
    """Give away all that nothing runs of, a slice at a time; what runs may end meanwhile."""
    queued = worker.attempts.only_queued()
    busy = worker.attempts.executions() - queued.keys()
    given = 0
    for uid, live in list(worker.lives.items()):
        if worker.dead:
            return
        if uid in busy or not _free(live):
            continue
        attempts = queued.get(uid, [])
        wake_at = worker.clock.now() if attempts else worker.residency.wake_at(live)
        _give(worker, live, attempts, wake_at)
        given += 1
        if given % SLICE == 0:
            worker.committer.flush()
            await asyncio.sleep(0)
            await worker.committer.settle()
    worker.committer.flush()


def _free(live: Live) -> bool:
    under_way = live.busy or live.fresh or live.queued or live.events or live.exclusive or live.consumed
    doubtful = live.lost or live.instance.dead or live.instance.deferred
    return not (under_way or doubtful or live.instance.ledger.phase == FINISHED)


def _give(worker: Worker, live: Live, attempts: list[Attempt], wake_at: float | None) -> None:
    worker.attempts.withdraw(attempts)
    worker.residency.wanted(live)
    write = Write(live.header.uid, release=Release(wake_at, live.inbox_seq))
    live.busy = live.leaving = True
    worker.committer.add(write, partial(_given, worker, live, write, attempts))


def _given(worker: Worker, live: Live, write: Write, attempts: list[Attempt], verdict: Verdict) -> None:
    worker.committed(live, write, None, verdict)
    if worker.lives.get(live.header.uid) is live and not worker.draining:
        for attempt in attempts:
            worker.attempts.start(attempt)
