"""Queued tasks on SQLite: each call is one short write transaction, by any process that has the file open."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ..queueing import (
    KEPT,
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
    statuses,
)
from .commit import post
from .core import Core
from .tasks import SQL


class QueuePart(Core):
    """What queues need of the store."""

    async def take_tasks(self, ask: Ask, now: float) -> Taken:
        """Lease tasks of a queue: the highest priority first, the oldest of these first."""
        waiting, due = self._read(
            lambda db: db.execute(SQL["glance"], (ask.namespace, ask.queue)).fetchall()[0]
        )
        if not waiting and due > now:
            return Taken([], None if math.isinf(due) else due - now)
        taken = await self._writer.soon(lambda db: _take(db, ask, now))
        self._generation += taken.ended
        return taken

    async def renew_tasks(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """Move leases on by `lease` seconds from now, where they are still held."""
        return await self._writer.soon(lambda db: [_renew(db, pulse, now + lease) for pulse in pulses])

    async def report_tasks(self, reports: Sequence[TaskReport]) -> list[bool]:
        """Tell owners of ends, where the lease is still held."""
        told = await self._writer.soon(lambda db: [_report(db, report) for report in reports])
        self._generation += 1
        return told

    async def return_tasks(self, tokens: Sequence[Token]) -> None:
        """Give back what was taken and not begun."""

        def work(db: apsw.Connection) -> None:
            for token in tokens:
                given: Any = db.execute(SQL["give_back"], token).fetchall()
                for num, cancelled in given:
                    if cancelled:
                        _end(db, num, "withdrawn")

        await self._writer.soon(work)
        self._generation += 1

    async def cancel_tasks(self, keys: Sequence[TaskKey]) -> list[bool]:
        """End what nobody has taken; holders of the rest hear it when they renew."""
        found = await self._writer.soon(lambda db: [_cancel(db, key) for key in keys])
        self._generation += 1
        return found

    async def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """All queues that have tasks or settings, by name."""

        def look(db: apsw.Connection) -> Any:
            counts = db.execute(SQL["queues"], (namespace,)).fetchall()
            return counts, db.execute(SQL["all_settings"], (namespace,)).fetchall()

        counts, settings = self._read(look)
        return statuses(counts, settings, now)

    async def set_queue(
        self, namespace: str, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None
    ) -> None:
        """Change what is given (None: as it is)."""
        text = None if limits is None else msgspec.json.encode(limits).decode()
        await self._writer.soon(lambda db: db.execute(SQL["set"], (namespace, name, paused, text)).fetchall())
        self._generation += 1

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """The tasks of an execution, oldest first."""
        found = self._read(lambda db: db.execute(SQL["of"], (uid,)).fetchall())
        fields = TaskStatus.__struct_fields__
        return [TaskStatus(**dict(zip(fields, (*row[:-1], bool(row[-1])), strict=True))) for row in found]


def _take(db: apsw.Connection, ask: Ask, now: float) -> Taken:
    queue = (ask.namespace, ask.queue)
    due = (*queue, now, PROMOTED, ask.deaths)
    promoted: Any = db.execute(SQL["promote"], due).fetchall()
    over = {
        num: "withdrawn" if cancelled else "dead" for num, cancelled, dead in promoted if cancelled or dead
    }
    for num, how in over.items():
        _end(db, num, how)
    settings: Any = db.execute(SQL["settings"], queue).fetchall()
    row: tuple[Any, ...] = settings[0] if settings else (0, "{}", None, None)
    paused, text, tokens, filled_at = row
    if paused:
        return Taken(ended=len(over))
    limits = msgspec.json.decode(text, type=QueueLimits)
    running: Any = db.execute(SQL["running"], queue).fetchall() if limits.counts else []
    bucket = None if tokens is None else Bucket(tokens, filled_at)
    gate = Gate(limits, running, bucket, now)
    room = gate.room(ask.limit)
    wanted = (*queue, json.dumps(gate.saturated), 4 * ask.limit)
    found: Any = db.execute(SQL["candidates"], wanted).fetchall()
    chosen = gate.choose(found, room, _free_places(db, ask.namespace, {pool for *_, pool in found if pool}))
    leases = []
    if chosen:
        rows: Any = db.execute(SQL["lease"], (json.dumps(chosen), now + ask.lease, ask.holder)).fetchall()
        place = {num: index for index, num in enumerate(chosen)}
        leases = [lease_of(row) for row in sorted(rows, key=lambda row: place[row[0]])]
    if limits.rate is not None:
        db.execute(SQL["save"], (*queue, gate.left.tokens, gate.left.at))
    due_at: Any = db.execute(SQL["glance"], queue).fetchall()[0][1]
    held_up = gate.wait if len(found) > len(chosen) else None
    return Taken(leases, soonest(None if math.isinf(due_at) else due_at - now, held_up), len(over))


def _free_places(db: apsw.Connection, namespace: str, pools: set[str]) -> dict[str, int]:
    if not pools:
        return {}
    named: Any = (namespace, json.dumps(sorted(pools)))
    settings: Any = db.execute(SQL["pools"], named).fetchall()
    running: Any = db.execute(SQL["in_pools"], named).fetchall() if settings else []
    return free_places(settings, running)


def lease_of(row: Sequence[Any]) -> Lease:
    """From a row of the statement `lease`."""
    num, tries, lapses, lapsed_at, *task = row
    return Lease(num, tries, Task(**dict(zip(KEPT, task, strict=True))), lapses, lapsed_at)


def _renew(db: apsw.Connection, pulse: Pulse, until: float) -> Standing:
    found: Any = db.execute(SQL["renew"], (*pulse.token, until, pulse.progress)).fetchall()
    if not found:
        return Standing.LOST
    return Standing.CANCELLED if found[0][0] else Standing.HELD


def _report(db: apsw.Connection, report: TaskReport) -> bool:
    found: Any = db.execute(SQL["held"], report.token).fetchall()
    if found and found[0][1] == "leased":
        db.execute(SQL["finish"], (report.token[0],)).fetchall()
        _tell(db, found[0][0], encode_end(report.end), message_key(*report.token))
    return bool(found)


def _cancel(db: apsw.Connection, key: TaskKey) -> bool:
    found: Any = db.execute(SQL["cancel"], key).fetchall()
    for num, state in found:
        if state in ("delayed", "waiting"):
            _end(db, num, "withdrawn")
    return bool(found)


def _end(db: apsw.Connection, num: int, how: str) -> None:
    """A task ends without anybody having run it to its end."""
    row: Any = db.execute(SQL["finish"], (num,)).fetchall()[0]
    _, tries, uid, action, direction, attempt, lapses, lapsed_at = row
    end = End(action, direction, attempt, how, lapses=lapses, lapsed_at=lapsed_at)
    _tell(db, uid, encode_end(end), message_key(num, tries))


def _tell(db: apsw.Connection, uid: str, event: str, key: str) -> None:
    if db.execute(SQL["known"], (uid,)).fetchall():
        post(db, [(uid, key, event)], lambda _: None)
