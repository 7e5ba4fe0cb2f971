"""Queued tasks on PostgreSQL. Who finds nothing to take asks once and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ...errors import CommitUnknown
from ..queueing import (
    KEPT,
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
    statuses,
)
from . import columns
from .client_side import ClientPart
from .faults import Lost
from .link import Run
from .literals import get, maybe_texts, numbers, put, texts

T = TypeVar("T")


class QueuePart(ClientPart):
    """What queues need of the store."""

    async def take_tasks(self, ask: Ask, now: float) -> Taken:
        """Lease tasks of a queue: the highest priority first, the oldest of these first."""
        if self._listener.idle and not self.pooled:  # no worker, but it is told of tasks all the same
            self._control.check_open()
            self._listener.start(0)
        queue = {"namespace": put(ask.namespace), "queue": put(ask.queue)}
        waiting, due = (await self._read("task_glance", **queue))[0]
        if not waiting and (due is None or due > 0):
            return Taken([], due)
        taken = await self._at_once(lambda run: self._take(run, ask, queue))
        if taken.ended:
            self._wrote()
        return taken

    async def _take(self, run: Run, ask: Ask, queue: dict[str, Any]) -> Taken:
        sql = self._sql
        due = await run(sql["task_promote"], {**queue, "most": PROMOTED, "deaths": ask.deaths})
        ended = {
            num: "withdrawn" if cancelled else "dead" for num, cancelled, dead in due if cancelled or dead
        }
        await self._end(run, ended)
        paused, text, tokens, filled_at, now = ((await run(sql["task_settings"], queue)) or [_PLAIN])[0]
        if paused:
            return Taken(ended=len(ended))
        limits = msgspec.json.decode(text, type=QueueLimits)
        running = await run(sql["task_running"], queue) if limits.counts else []
        gate = Gate(limits, running, None if tokens is None else Bucket(tokens, filled_at), now)
        wanted = {**queue, "saturated": maybe_texts(gate.saturated), "limit": 4 * ask.limit}
        room = gate.room(ask.limit)
        found: Any = await run(sql["task_candidates"], wanted) if room else []
        places = await self._free_places(run, queue["namespace"], {pool for *_, pool in found if pool})
        chosen = gate.choose(found, room, places)
        leases: list[Lease] = []
        if chosen:
            values = {"nums": numbers(chosen), "lease": ask.lease, "holder": put(ask.holder)}
            rows = await run(sql["task_lease"], values)
            place = {num: index for index, num in enumerate(chosen)}
            leases = [_lease(row) for row in sorted(rows, key=lambda row: place[row[0]])]
        if limits.rate is not None:
            await run(sql["task_save"], {**queue, "tokens": gate.left.tokens, "at": gate.left.at})
        wait = (await run(sql["task_glance"], queue))[0][1]
        return Taken(leases, soonest(wait, gate.wait), len(ended))

    async def _free_places(self, run: Run, namespace: str, pools: set[str]) -> dict[str, int]:
        """By pools as they are stored. Who looks at a pool holds its settings until it has taken."""
        if not pools:
            return {}
        values = {"namespace": namespace, "pools": maybe_texts(sorted(pools))}
        values["names"] = maybe_texts(sorted(POOL + pool for pool in pools))
        settings = await run(self._sql["task_pools"], values)
        return free_places(settings, await run(self._sql["task_in_pools"], values) if settings else [])

    async def renew_tasks(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """Move leases on by `lease` seconds from now, where they are still held."""
        progress = maybe_texts(pulse.progress for pulse in pulses)
        values = {**_tokens([pulse.token for pulse in pulses]), "progress": progress, "lease": lease}
        found = await self._at_once(lambda run: run(self._sql["task_renew"], values))
        held: dict[Token, bool] = {(num, tries): cancelled for num, tries, cancelled in found}
        stands = {True: Standing.CANCELLED, False: Standing.HELD, None: Standing.LOST}
        return [stands[held.get(pulse.token)] for pulse in pulses]

    async def report_tasks(self, reports: Sequence[TaskReport]) -> list[bool]:
        """Tell owners of ends, where the lease is still held."""
        given = {report.token: report for report in reports}

        async def work(run: Run) -> set[Token]:
            held = await run(self._sql["task_held"], _tokens([report.token for report in reports]))
            fresh = {(num, tries): get(uid) for num, tries, uid, state in held if state == "leased"}
            if fresh:
                await run(self._sql["task_finish"], {"nums": numbers(num for num, _ in fresh)})
                messages = [
                    (uid, message_key(*token), encode_end(given[token].end)) for token, uid in fresh.items()
                ]
                await self._tell(run, messages)
            return {(num, tries) for num, tries, _, _ in held}

        told = await self._at_once(work)
        self._wrote()
        return [report.token in told for report in reports]

    async def return_tasks(self, tokens: Sequence[Token]) -> None:
        """Give back what was taken and not begun."""

        async def work(run: Run) -> None:
            given = await run(self._sql["task_give_back"], _tokens(tokens))
            await self._end(run, {num: "withdrawn" for num, cancelled, _ in given if cancelled})

        await self._at_once(work)
        self._wrote()

    async def cancel_tasks(self, keys: Sequence[TaskKey]) -> list[bool]:
        """End what nobody has taken; holders of the rest hear it when they renew."""
        columns_ = zip(("uids", "actions", "directions"), zip(*keys, strict=True), strict=True)
        values = {name: texts([put(each) for each in column]) for name, column in columns_}

        async def work(run: Run) -> set[TaskKey]:
            found = await run(self._sql["task_cancel"], values)
            await self._end(
                run, {num: "withdrawn" for num, state, *_ in found if state in ("delayed", "waiting")}
            )
            return {(get(uid), get(action), direction) for _, _, uid, action, direction in found}

        known = await self._at_once(work)
        self._wrote()
        return [key in known for key in keys]

    async def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """All queues that have tasks or settings, by name."""
        counts = [
            (get(row[0]), *row[1:]) for row in await self._read("task_queues", namespace=put(namespace))
        ]
        settings = [
            (get(row[0]), *row[1:]) for row in await self._read("task_all_settings", namespace=put(namespace))
        ]
        return statuses(counts, settings, (await self._read("task_clock"))[0][0])

    async def set_queue(
        self, namespace: str, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None
    ) -> None:
        """Change what is given (None: as it is)."""
        text = None if limits is None else msgspec.json.encode(limits).decode()
        values = {"namespace": put(namespace), "queue": put(name), "paused": paused, "limits": text}
        await self._at_once(lambda run: run(self._sql["task_set"], values))
        self._wrote()

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """The tasks of an execution, oldest first."""
        fields = TaskStatus.__struct_fields__
        found = await self._read("task_of", uid=put(uid))
        return [TaskStatus(**dict(zip(fields, map(_got, row), strict=True))) for row in found]

    async def _end(self, run: Run, ended: dict[int, str]) -> None:
        """Tasks end without anybody having run them to their end."""
        if not ended:
            return
        messages = []
        for num, tries, uid, action, direction, attempt, lapses, lapsed_at in await run(
            self._sql["task_finish"], {"nums": numbers(ended)}
        ):
            how = ended[num]
            end = End(get(action), direction, attempt, how, lapses=lapses, lapsed_at=lapsed_at)
            messages.append((get(uid), message_key(num, tries), encode_end(end)))
        await self._tell(run, messages)

    async def _tell(self, run: Run, messages: Sequence[tuple[str, str, str]]) -> None:
        """Put reports into the inboxes of those owners that (still) exist."""
        uids = texts([put(uid) for uid, _, _ in messages])
        known = {get(uid) for (uid,) in await run(self._sql["task_known"], {"uids": uids})}
        posted = [(uid, key, event, None) for uid, key, event in messages if uid in known]
        if posted:
            values = {"me": "0", "channel": self._channel}
            columns.POSTED.put(values, posted)
            columns.HEADS.put(values, ())
            statement = self._sql.write(("locked", "posted", "news", "heads"), fenced=False)
            await run(statement.text, values)

    async def _at_once(self, work: Callable[[Run], Awaitable[T]]) -> T:
        """One transaction. All that queues ask may be asked again."""
        try:
            return await self._control.transact(work)
        except Lost as error:
            raise CommitUnknown(f"the connection was lost: {error}", hint="it is asked again") from error
        except Exception as error:
            raise self._said(error) from error


_PLAIN = (False, "{}", None, None, 0.0)


def _tokens(tokens: Sequence[Token]) -> dict[str, str]:
    return {"nums": numbers(num for num, _ in tokens), "tries": numbers(tries for _, tries in tokens)}


def _lease(row: Sequence[Any]) -> Lease:
    num, tries, lapses, lapsed_at, *task = row
    return Lease(num, tries, Task(**dict(zip(KEPT, map(_got, task), strict=True))), lapses, lapsed_at)


def _got(value: Any) -> Any:
    return get(value) if isinstance(value, str) else value
