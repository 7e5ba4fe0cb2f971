"""Which executions stay in memory, and when those that stay are due.

Sleepers cost nothing (DESIGN §4): an execution with nothing to do for longer than `linger` gives up
its owner in the commit of its last row and leaves.  One that may be needed soon stays a while, the
least recently used leaving first.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..kernel.actions import OPEN, UNDO_RUNNING, Action
from ..kernel.phases import FINISHED
from ..store.port import Release
from .attempts import PROBE
from .live import Live

if TYPE_CHECKING:
    from .worker import Worker


class Residency:
    """Timers and idle executions of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._heap: list[tuple[float, str]] = []
        self._idle: OrderedDict[str, float] = OrderedDict()

    # ------------------------------------------------------------ timers

    def plan(self, live: Live) -> None:
        """Remember when the execution is due by itself."""
        due = live.instance.next_wake
        if due is not None and due != live.wake_at:
            heapq.heappush(self._heap, (due, live.header.uid))
        live.wake_at = due

    def due(self, now: float) -> list[Live]:
        """Executions with something due by `now`."""
        found: dict[str, Live] = {}
        while self._heap and self._heap[0][0] <= now:
            due, uid = heapq.heappop(self._heap)
            live = self._worker.lives.get(uid)
            if live is not None and live.wake_at == due:
                live.wake_at = None
                found[uid] = live
        return list(found.values())

    @property
    def next_due(self) -> float | None:
        """The earliest time at which a resident execution may be due."""
        return self._heap[0][0] if self._heap else None

    # ------------------------------------------------------------ idle executions

    def wanted(self, live: Live) -> None:
        """It has work: it is not idle."""
        live.resting = False
        self._idle.pop(live.header.uid, None)

    def rest(self, live: Live, now: float) -> None:
        """It has nothing to do at the moment."""
        live.resting = True
        self._idle[live.header.uid] = now

    def release_now(self, live: Live, now: float) -> Release | None:
        """Should the execution sleep with the row that is being written? When it has long to wait."""
        if not self.quiet(live):
            return None
        wake = self.wake_at(live)
        ledger = live.instance.ledger
        if wake is None and not ledger.parked():
            return None
        if wake is not None and wake - now <= self._worker.settings.linger:
            return None
        return Release(wake, live.inbox_seq, bool(live.lost))

    def quiet(self, live: Live) -> bool:
        """Is there nothing that this worker does for it right now?"""
        if live.events or live.exclusive or live.instance.deferred:
            return False
        uid = live.header.uid
        running = self._worker.attempts
        for action in live.instance.ledger.actions.values():
            if live.away and is_away(live, action):
                continue
            if action.outcome == OPEN and not action.hold:
                if action.kind == "child" or not action.retry_at or action.interrupted:
                    return False
                if running.adopt((uid, action.id, "do")):
                    return False
            elif (action.undo_state == UNDO_RUNNING and not action.undo_retry_at) or (
                action.undo_state == UNDO_RUNNING and running.adopt((uid, action.id, "undo"))
            ):
                return False
        return True

    def wake_at(self, live: Live) -> float | None:
        """When the execution must be claimed again: timers, deadline, waiting retries."""
        ledger = live.instance.ledger
        if ledger.phase == FINISHED:
            return None
        dues = [] if live.instance.next_wake is None else [live.instance.next_wake]
        for action in ledger.actions.values():
            if live.away and is_away(live, action):
                continue
            if action.outcome == OPEN and action.kind == "step" and not action.hold:
                dues.append(action.retry_at)
            elif action.undo_state == UNDO_RUNNING and action.kind != "child":
                dues.append(max(action.undo_retry_at, live.lost.get(action.id, 0.0)))
        return min(dues, default=None)

    def expired(self, now: float) -> list[Live]:
        """Idle executions that should leave now: past `linger`, or over the number that may stay."""
        settings = self._worker.settings
        leaving: list[Live] = []
        while self._idle:
            uid, since = next(iter(self._idle.items()))
            if now - since < settings.linger and len(self._idle) <= settings.resident:
                break
            del self._idle[uid]
            live = self._worker.lives.get(uid)
            if live is not None:
                live.resting = False
            if live is not None and not live.busy and not live.queued and self.evictable(live):
                leaving.append(live)
        return leaving

    def evictable(self, live: Live) -> bool:
        """Quiet, or only waiting for children (their end is a message, which wakes it)."""
        if live.events or live.exclusive or live.instance.ledger.phase == FINISHED:
            return False
        uid = live.header.uid
        running = self._worker.attempts
        return not any(
            running.adopt((uid, a.id, direction))
            for a in live.instance.ledger.actions.values()
            for direction in ("do", "undo", PROBE)
        ) and not any(
            (a.outcome == OPEN and a.kind == "step" and not a.hold and (a.interrupted or not a.retry_at))
            or (a.undo_state == UNDO_RUNNING and a.kind != "child" and not a.undo_retry_at)
            for a in live.instance.ledger.actions.values()
            if not is_away(live, a)
        )


def is_away(live: Live, action: Action) -> bool:
    """Is its attempt with a queue? (Its end is a message, which wakes the execution.)"""
    return (action.id, "do" if action.outcome == OPEN else "undo") in live.away
