"""Schedules from outside: add, list, pause, resume, remove, preview."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from ...definition.saga import SagaCall
from ...errors import Refused, UnknownName, did_you_mean
from ...kernel import entries as e
from ...store.port import FINAL, Header, Query
from ..family import OPEN
from ..handle import Handle
from .running import Change, control, schedule, upcoming
from .spec import CatchUp, Overlap, Spec, check, preview

if TYPE_CHECKING:
    from ..backend import Backend

MOST = 10_000
_NAME = re.compile(r"[\w.\-]{1,200}")


class ScheduleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a schedule stands. `next`: when its next tick is due (None: paused, or not known yet); `last`: the
    id that it started last.  `execution`: its own id."""

    name: str
    execution: str
    saga: str
    cron: str
    every: float
    zone: str
    catch_up: str
    overlap: str
    paused: bool
    next: datetime | None
    last: str


def _nobody() -> None:
    """There is no worker in this process."""


class Schedules:
    """The schedules of an engine's namespace. See docs/operations.md."""

    def __init__(self, backend: Backend, stir: Callable[[], None] = _nobody) -> None:
        self._backend = backend
        self._stir = stir  # a worker of this process may look at once

    async def add(
        self,
        name: str,
        call: SagaCall[Any],
        *,
        cron: str = "",
        every: timedelta | float = 0.0,
        zone: str = "UTC",
        catch_up: CatchUp = "last",
        overlap: Overlap = "skip",
        attributes: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> None:
        """Start the saga at each tick, with the id ``name@tick`` (UTC), until it is removed.

        It is durable when this returns.

        cron: five fields, read in the time `zone`.  every: seconds or timedelta between ticks.  catch_up: of
        ticks that were missed while nobody worked, start the ``last`` one, ``all``, or none (``skip``: those
        over a minute late).  overlap: while the run before has not ended, ``skip`` the tick, ``allow`` both,
        or ``wait`` for its end.  attributes: of each run, besides ``schedule`` and ``tick``.

        The same schedule again is the same; another one of that name is `Refused`, unless `replace`. Raises
        `Refused` for what has no ticks, `PayloadError`.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Refused(
                f"a schedule's name is letters, digits and ._-, got {name!r}", hint='"nightly-report"'
            )
        header = self._backend.header_for(call, None, attributes)  # what cannot be started is refused now
        spec = Spec(
            namespace=header.namespace, name=name, saga=header.saga, version=header.version,
            input=header.input, attributes=dict(attributes or {}), deadline=call.deadline,
            cron=cron, every=_length(every), zone=zone, catch_up=catch_up, overlap=overlap,
        )  # fmt: skip
        check(spec)
        newest = await self._newest(name)
        if newest is not None and newest.status not in FINAL:
            await self._again(newest, spec, replace=replace)
            return
        count = int(newest.id.rpartition(":")[2]) + 1 if newest is not None else 1
        made = self._backend.header_for(schedule(spec), f"{_prefix(name)}{count}", None)
        if await self._backend.store.create(made):
            self._stir()
        else:  # somebody else made one in this moment
            await self._again(await self._backend.find(made.id), spec, replace=replace)

    async def list(self) -> list[ScheduleStatus]:
        """All schedules, by name."""
        query = open_schedules(self._backend.namespace)
        found = [await self._status(header) for header in await self._backend.store.headers(query)]
        return sorted(found, key=lambda status: status.name)

    async def pause(self, name: str) -> None:
        """No tick starts anything until `resume`; ticks in between are not caught up with."""
        await self._tell(name, Change("pause"))

    async def resume(self, name: str) -> None:
        """Go on with the first tick from now on."""
        await self._tell(name, Change("resume"))

    async def remove(self, name: str) -> None:
        """End the schedule; what it started goes on."""
        await self._tell(name, Change("remove"))

    def preview(
        self, *, cron: str = "", every: timedelta | float = 0.0, zone: str = "UTC", count: int = 5
    ) -> Sequence[datetime]:
        """The next ticks that such a schedule would have. Raises `Refused`."""
        now = self._backend.clock.now()
        spec = Spec(cron=cron, every=_length(every), zone=zone, anchor=now)
        check(spec)
        return preview(spec, now, count)

    # ------------------------------------------------------------ inside

    async def _again(self, header: Header, spec: Spec, *, replace: bool) -> None:
        there, _ = await self._spec(header)
        if there.same(spec):
            return
        if not replace:
            raise Refused(
                f"there is another schedule {spec.name!r}: {there.saga}, {there.cron or there.every}",
                hint="replace=True puts this one in its place",
            )
        await self._send(header, Change("replace", spec))

    async def _tell(self, name: str, change: Change) -> None:
        header = await self._newest(name)
        if header is None or header.status in FINAL:
            known = [status.name for status in await self.list()]
            raise UnknownName(f"there is no schedule {name!r}", hint=did_you_mean(name, known))
        await self._send(header, change)

    async def _send(self, header: Header, change: Change) -> None:
        await Handle(self._backend, schedule, header.id, header.uid, local=False).send(control, change)
        self._stir()

    async def _newest(self, name: str) -> Header | None:
        query = Query(namespace=self._backend.namespace, id_prefix=_prefix(name), saga=schedule.name, limit=1)
        found = await self._backend.store.headers(query)
        return found[0] if found else None

    async def _spec(self, header: Header) -> tuple[Spec, float | None]:
        """What it says by now, and its next tick: the last question for it stands in the journal."""
        found = await self._backend.store.read(header.uid)
        ended: dict[str, Any] = {}
        for row in reversed(found[1] if found else []):
            for event in e.decode_events(row.events):
                if isinstance(event, e.Completed):
                    ended[event.id] = event.value
            for command in reversed(e.decode_commands(row.commands)):
                if isinstance(command, e.RunStep) and command.step == upcoming.name:
                    args: Any = upcoming.signature.decode_args(command.args)
                    tick = ended.get(command.id)
                    return args.spec, None if tick is None else msgspec.json.decode(tick, type=float | None)
        first: Any = schedule.signature.decode_args(header.input.encode())
        return first.spec, None

    async def _status(self, header: Header) -> ScheduleStatus:
        spec, due = await self._spec(header)
        return ScheduleStatus(
            name=spec.name, execution=header.id, saga=spec.saga, cron=spec.cron, every=spec.every,
            zone=spec.zone, catch_up=spec.catch_up, overlap=spec.overlap, paused=spec.paused, last=spec.last,
            next=None if due is None else datetime.fromtimestamp(due, UTC),
        )  # fmt: skip


def open_schedules(namespace: str) -> Query:
    """Those that have not been removed. (By their ids, which have an index; sagas have none.)"""
    return Query(namespace=namespace, id_prefix=_prefix(), saga=schedule.name, statuses=OPEN, limit=MOST)


def _length(every: timedelta | float) -> float:
    return every.total_seconds() if isinstance(every, timedelta) else float(every)


def _prefix(name: str = "") -> str:
    """How the ids of a schedule's own executions begin (no name: those of all)."""
    return f"schedule:{name}:" if name else "schedule:"
