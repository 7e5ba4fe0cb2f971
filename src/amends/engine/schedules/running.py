"""The saga that a schedule is, and the two steps it takes for each tick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from ...definition.flow import continue_as_new, now
from ...definition.policy import Retry
from ...definition.resource import Resource, injected
from ...definition.saga import saga
from ...definition.signal import Signal
from ...definition.step import step
from ...store.port import FINAL
from ..backend import new_header
from .spec import LATE, Spec, last_tick, next_tick, run_id

if TYPE_CHECKING:
    from ..backend import Backend

PER_RUN = 100
"""Ticks (and changes) after which the journal begins anew."""

WAIT = 60.0
"""Seconds between looks at a run that the next one waits for."""


class Change(msgspec.Struct, frozen=True):
    """What is done to a schedule while it stands."""

    do: Literal["pause", "resume", "remove", "replace"]
    spec: Spec | None = None


class Ticked(msgspec.Struct, frozen=True):
    """What became of a tick. `after`: where to go on; `started`: an id; `waits`: for the run before."""

    after: float
    started: str = ""
    waits: bool = False


control = Signal[Change]("amends.schedule.control")


class Starter:
    """What the steps get of their engine: the means to start an execution."""

    def __init__(self, backend: Backend, stir: Callable[[], None]) -> None:
        self._backend = backend
        self._stir = stir

    async def runs(self, spec: Spec) -> bool:
        """Has what was started last not ended?"""
        header = await self._backend.store.find(spec.namespace, spec.last) if spec.last else None
        return header is not None and header.status not in FINAL

    async def start(self, spec: Spec, tick: float) -> str:
        """Start the run of a tick, unless it was started before."""
        id = run_id(spec, tick)
        ours = {"schedule": spec.name, "tick": datetime.fromtimestamp(tick, UTC).isoformat()}
        header = new_header(
            self._backend,
            spec.saga,
            spec.version,
            spec.input,
            id=id,
            attributes={**ours, **spec.attributes},
            deadline=spec.deadline,
            namespace=spec.namespace,
        )
        if await self._backend.store.create(header):
            self._stir()
        return id


_STEADY = Retry(attempts=None)


@step(name="amends.schedule.next", retry=_STEADY)
async def upcoming(spec: Spec) -> float | None:
    """The next tick; None while it is paused. (Its arguments say how the schedule stands.)"""
    return None if spec.paused else next_tick(spec, spec.after or 0.0)


@step(name="amends.schedule.tick", retry=_STEADY)
async def tick(spec: Spec, due: float, at: float, starter: Resource[Starter] = injected) -> Ticked:
    """Do what the policies say about a tick that is due, and about those that were missed."""
    if spec.catch_up == "skip" and at - due > LATE:
        missed = last_tick(spec, due, at - LATE)
        return Ticked(missed)
    chosen = last_tick(spec, due, at) if spec.catch_up == "last" else due
    if spec.overlap != "allow" and await starter.runs(spec):
        return Ticked(spec.after or 0.0, waits=True) if spec.overlap == "wait" else Ticked(chosen)
    return Ticked(chosen, await starter.start(spec, chosen))


@saga(name="amends.schedule")
async def schedule(spec: Spec) -> None:
    """Start what is scheduled, tick after tick, until it is removed."""
    begun = now().timestamp()
    if spec.after is None:
        spec = msgspec.structs.replace(spec, anchor=begun, after=begun)
    for _ in range(PER_RUN):
        due = await upcoming(spec)
        change = await _until(due)
        if change is None and due is not None:
            done = await tick(spec, due, now().timestamp())
            spec = msgspec.structs.replace(spec, after=done.after, last=done.started or spec.last)
            if not done.waits:
                continue
            change = await _until(now().timestamp() + WAIT)
        if change is None:
            continue
        if change.do == "remove":
            return
        spec = _changed(spec, change, now().timestamp())
    await continue_as_new(spec)


async def _until(moment: float | None) -> Change | None:
    """A change that comes before that moment."""
    if moment is None:
        return await control.receive()
    left = moment - now().timestamp()
    if left <= 0:
        return None
    try:
        return await control.receive(timeout=timedelta(seconds=left))
    except TimeoutError:
        return None


def _changed(spec: Spec, change: Change, moment: float) -> Spec:
    """Ticks of a pause are not caught up with; what replaces it goes on from here."""
    if change.do == "replace" and change.spec is not None:
        anchor = spec.anchor if change.spec.every == spec.every else moment
        kept = {"anchor": anchor, "after": moment, "last": spec.last, "paused": spec.paused}
        return msgspec.structs.replace(change.spec, **kept)
    paused = change.do == "pause"
    return msgspec.structs.replace(spec, paused=paused, after=spec.after if paused else moment)
