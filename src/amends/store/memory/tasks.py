"""Queued tasks in memory: the semantics of `queueing` with dictionaries."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..port import Message, Write
from ..queueing import (
    POOL,
    PROMOTED,
    Ask,
    Bucket,
    End,
    Gate,
    Lease,
    Pulse,
    QueueLimits,
    QueueStatus,
    Standing,
    Taken,
    Task,
    TaskKey,
    TaskReport,
    TaskStatus,
    Token,
    encode_end,
    free_places,
    message_key,
    soonest,
)

if TYPE_CHECKING:
    from .state import State

DELAYED, WAITING, LEASED, DONE = "delayed", "waiting", "leased", "done"


class Kept(msgspec.Struct, eq=False):
    """A task with what became of it."""

    num: int
    task: Task
    state: str
    due: float
    tries: int = 0
    lapses: int = 0
    lapsed_at: float = 0.0
    cancelled: bool = False
    holder: str = ""
    progress: str | None = None


class Settings(msgspec.Struct):
    """What is kept of a queue itself."""

    paused: bool = False
    limits: QueueLimits = QueueLimits()
    bucket: Bucket | None = None


class Tasks:
    """All tasks and queues of one store."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._numbers = 0
        self.changes = 0
        self._by_num: dict[int, Kept] = {}
        self._by_key: dict[TaskKey, Kept] = {}
        self._by_queue: dict[tuple[str, str], dict[int, Kept]] = {}
        self._settings: dict[tuple[str, str], Settings] = {}

    # ------------------------------------------------------------ the owner's commits

    def written(self, write: Write) -> None:
        """Drop and add what a commit says."""
        self.changes += bool(write.tasks)
        for action, direction in write.dropped:
            self._drop((write.uid, action, direction))
        for task in write.tasks:
            self._add(copy.copy(task))

    def forget(self, uid: str) -> None:
        """An execution is deleted."""
        for key in [key for key in self._by_key if key[0] == uid]:
            self._drop(key)

    def _add(self, task: Task) -> None:
        key = (task.uid, task.action, task.direction)
        there = self._by_key.get(key)
        if there is not None:
            if there.state == DELAYED and task.delay <= 0:
                there.state, there.due = WAITING, task.at
            return
        self._numbers += 1
        kept = Kept(self._numbers, task, DELAYED if task.delay > 0 else WAITING, task.at + task.delay)
        self._by_key[key] = self._by_num[kept.num] = kept
        self._by_queue.setdefault((task.namespace, task.queue), {})[kept.num] = kept

    def _drop(self, key: TaskKey) -> None:
        kept = self._by_key.pop(key, None)
        if kept is not None:
            del self._by_num[kept.num], self._by_queue[kept.task.namespace, kept.task.queue][kept.num]

    # ------------------------------------------------------------ who serves a queue

    def take(self, ask: Ask, now: float) -> Taken:
        """See `Queueing.take_tasks`."""
        queue = self._by_queue.get((ask.namespace, ask.queue), {})
        ended = self._promote(queue.values(), ask.deaths, now)
        settings = self._settings.get((ask.namespace, ask.queue), Settings())
        running = Counter(kept.task.key for kept in queue.values() if kept.state == LEASED)
        gate = Gate(settings.limits, running.items(), settings.bucket, now)
        if settings.paused:
            return Taken(ended=ended)
        waiting = [kept for kept in queue.values() if kept.state == WAITING and self._may_run(kept)]
        waiting.sort(key=lambda kept: (-kept.task.priority, kept.num))
        candidates = [(kept.num, kept.task.key, kept.task.pool) for kept in waiting]
        places = self._free_places(ask.namespace, {pool for *_, pool in candidates if pool})
        chosen = gate.choose(candidates, gate.room(ask.limit), places)
        if settings.limits.rate is not None:
            settings.bucket = gate.left
        leases = [self._lease(queue[num], ask, now) for num in chosen]
        dues = [kept.due - now for kept in queue.values() if kept.state in (DELAYED, LEASED)]
        return Taken(
            leases,
            soonest(min(dues, default=None), gate.wait if len(waiting) > len(chosen) else None),
            ended,
        )

    def _free_places(self, namespace: str, pools: set[str]) -> dict[str, int]:
        kept = [(POOL + pool, self._settings.get((namespace, POOL + pool))) for pool in pools]
        settings = [
            (name, each.paused, msgspec.json.encode(each.limits).decode())
            for name, each in kept
            if each is not None
        ]
        leased = [each.task for each in self._by_num.values() if each.state == LEASED and pools]
        return free_places(settings, Counter(t.pool for t in leased if t.namespace == namespace).items())

    def _promote(self, queue: Iterable[Kept], deaths: int, now: float) -> int:
        ended = 0
        due = [kept for kept in queue if kept.state in (DELAYED, LEASED) and kept.due <= now]
        for kept in sorted(due, key=lambda kept: kept.due)[:PROMOTED]:
            if kept.state == LEASED:
                kept.lapses += 1
                kept.lapsed_at = kept.due
            kept.state = WAITING
            if kept.cancelled or kept.lapses >= deaths:
                self._end(kept, "withdrawn" if kept.cancelled else "dead")
                ended += 1
        return ended

    def _may_run(self, kept: Kept) -> bool:
        """A compensation waits for its action's own task."""
        own = self._by_key.get((kept.task.uid, kept.task.action, "do"))
        return kept.task.direction != "undo" or own is None or own.state == DONE

    def _lease(self, kept: Kept, ask: Ask, now: float) -> Lease:
        kept.state, kept.due, kept.holder = LEASED, now + ask.lease, ask.holder
        kept.tries += 1
        return Lease(kept.num, kept.tries, copy.copy(kept.task), kept.lapses, kept.lapsed_at)

    def renew(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """See `Queueing.renew_tasks`."""
        return [self._renew(pulse, lease, now) for pulse in pulses]

    def _renew(self, pulse: Pulse, lease: float, now: float) -> Standing:
        kept = self._held(pulse.token)
        if kept is None:
            return Standing.LOST
        kept.due = now + lease
        if pulse.progress is not None:
            kept.progress = pulse.progress
        return Standing.CANCELLED if kept.cancelled else Standing.HELD

    def _held(self, token: Token) -> Kept | None:
        kept = self._by_num.get(token[0])
        return kept if kept is not None and (kept.tries, kept.state) == (token[1], LEASED) else None

    def report(self, reports: Sequence[TaskReport]) -> list[bool]:
        """See `Queueing.report_tasks`."""
        return [self._report(report) for report in reports]

    def _report(self, report: TaskReport) -> bool:
        kept = self._by_num.get(report.token[0])
        if kept is None or kept.tries != report.token[1] or kept.state not in (LEASED, DONE):
            return False
        if kept.state == LEASED:
            self._finish(kept, encode_end(report.end))
        return True

    def give_back(self, tokens: Sequence[Token]) -> None:
        """See `Queueing.return_tasks`."""
        for kept in filter(None, map(self._held, tokens)):
            kept.state, kept.holder = WAITING, ""
            if kept.cancelled:
                self._end(kept, "withdrawn")

    def cancel(self, keys: Sequence[TaskKey]) -> list[bool]:
        """See `Queueing.cancel_tasks`."""
        for key in keys:
            kept = self._by_key.get(key)
            if kept is not None:
                kept.cancelled = True
                if kept.state in (DELAYED, WAITING):
                    self._end(kept, "withdrawn")
        return [key in self._by_key for key in keys]

    def _end(self, kept: Kept, how: str) -> None:
        task = kept.task
        end = End(
            task.action, task.direction, task.attempt, how, lapses=kept.lapses, lapsed_at=kept.lapsed_at
        )
        self._finish(kept, encode_end(end))

    def _finish(self, kept: Kept, event: str) -> None:
        kept.state = DONE
        if kept.task.uid in self._state.executions:
            self._state.put(Message(kept.task.uid, event, message_key(kept.num, kept.tries)))

    # ------------------------------------------------------------ people

    def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """See `Queueing.queues`."""
        used = [
            key for key, kept in self._by_queue.items() if any(each.state != DONE for each in kept.values())
        ]
        names = {name for of, name in (*used, *self._settings) if of == namespace}
        return [self._status(namespace, name, now) for name in sorted(names)]

    def _status(self, namespace: str, name: str, now: float) -> QueueStatus:
        kept = self._by_queue.get((namespace, name), {}).values()
        settings = self._settings.get((namespace, name), Settings())
        counts = Counter(each.state for each in kept)
        since = min((each.due for each in kept if each.state == WAITING), default=now)
        return QueueStatus(
            name=name,
            waiting=counts[WAITING],
            delayed=counts[DELAYED],
            running=counts[LEASED],
            oldest=max(0.0, now - since),
            paused=settings.paused,
            limits=settings.limits,
        )

    def set(self, namespace: str, name: str, paused: bool | None, limits: QueueLimits | None) -> None:
        """See `Queueing.set_queue`."""
        settings = self._settings.setdefault((namespace, name), Settings())
        if paused is not None:
            settings.paused = paused
        if limits is not None:
            settings.limits, settings.bucket = limits, None

    def of(self, uid: str) -> list[TaskStatus]:
        """See `Queueing.tasks_of`."""
        return [
            TaskStatus(
                action=kept.task.action,
                direction=kept.task.direction,
                queue=kept.task.queue,
                step=kept.task.step,
                attempt=kept.task.attempt,
                state=kept.state,
                lapses=kept.lapses,
                holder=kept.holder if kept.state == LEASED else "",
                progress=kept.progress,
                cancelled=kept.cancelled,
            )
            for kept in self._by_num.values()
            if kept.task.uid == uid
        ]
