"""Tasks behind envelopes: what whoever serves a queue is told, and what he tells.

A task's envelopes name their key, so it needs nothing of its execution to be opened.  Where the key is out of
reach for now, tasks are given back; where it is gone, the arguments are a placeholder, and are refused by
whoever would run it (`unopened_task`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ...encryption import envelope
from ...encryption.payloads import Hand
from ...errors import StoreBusy, Unopened
from ...kernel.entries import NULL
from ..queueing import PAYLOADS, Ask, Lease, Pulse, Standing, Taken, Task, TaskReport, TaskStatus
from . import rows as r
from .core import Core, key_in
from .hands import Found, Opening, error_of

_call = msgspec.json.Decoder(dict[str, msgspec.Raw])


class TaskPart(Core):
    """What queues need (see `queueing`)."""

    async def take_tasks(self, ask: Ask, now: float) -> Taken:
        """See the port. Raises `KeyUnavailable`; nothing is taken then."""
        taken = await self.kept.take_tasks(ask, now)
        if not any(r.SIGN in lease.task.call for lease in taken.leases):
            return taken

        def opened(keys: Mapping[str, Found], missing: set[str]) -> list[Lease]:
            return [self._opened_lease(lease, keys, missing) for lease in taken.leases]

        try:
            leases = await self._with_keys(opened, ())
        except StoreBusy:
            await self.kept.return_tasks([lease.token for lease in taken.leases])
            raise
        return msgspec.structs.replace(taken, leases=leases)

    async def renew_tasks(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """See the port. Progress is a payload of its execution."""
        return await self.kept.renew_tasks([await self._enclosed_pulse(each) for each in pulses], lease, now)

    async def report_tasks(self, reports: Sequence[TaskReport]) -> list[bool]:
        """See the port."""
        return await self.kept.report_tasks([await self._enclosed_report(each) for each in reports])

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """See the port."""
        found = await self.kept.tasks_of(uid)

        def opened(keys: Mapping[str, Found], missing: set[str]) -> list[TaskStatus]:
            hand = Opening(self._codec, uid, keys, missing)
            return [_with_progress(status, hand) for status in found]

        return await self._with_keys(opened, ())

    def _opened_lease(self, lease: Lease, keys: Mapping[str, Found], missing: set[str]) -> Lease:
        self._know(lease.task)
        hand = Opening(self._codec, lease.task.uid, keys, missing)
        task = task_passed(lease.task, hand)
        if hand.trouble is not None:
            closed = {"args": msgspec.Raw(envelope.missing_raw(hand.trouble.why, hand.trouble.id))}
            task.call = msgspec.json.encode(_call.decode(task.call) | closed).decode()
        return msgspec.structs.replace(lease, task=task)

    def _know(self, task: Task) -> None:
        """With which key its report is to be enclosed."""
        if id := key_in(bytes(_call.decode(task.call)["args"]).decode()):
            self._know_key(task.uid, id)

    async def _enclosed_pulse(self, pulse: Pulse) -> Pulse:
        if pulse.progress is None:
            return pulse
        try:
            key = await self._key_of(pulse.uid)
        except StoreBusy:  # the lease matters more than how far it is
            return msgspec.structs.replace(pulse, progress=None)
        hand = self._closing(pulse.uid, key)
        said = hand.raw(_place(pulse.uid), pulse.progress.encode()).decode()
        return msgspec.structs.replace(pulse, progress=said)

    async def _enclosed_report(self, report: TaskReport) -> TaskReport:
        hand = self._closing(report.uid, await self._key_of(report.uid))
        return msgspec.structs.replace(report, end=r.end_passed(report.end, hand))


def task_passed(task: Task, hand: Hand) -> Task:
    """The task, with the payloads that whoever runs it is given as the hand made them."""
    given = _call.decode(task.call)
    place = f"task/{task.action}/{task.direction}/{task.attempt}"
    for name in PAYLOADS:
        if name in given and given[name] != NULL:
            given[name] = msgspec.Raw(hand.raw(f"{place}/{name}", bytes(given[name])))
    return msgspec.structs.replace(task, call=msgspec.json.encode(given).decode())


def unopened_task(task: Task) -> Unopened | None:
    """Why whoever took this task cannot run it; None: what it is given is open.

    (Arguments are a JSON object whose keys are names of parameters, so nobody can pass off his data as an
    envelope there.)
    """
    why = envelope.why_of(bytes(_call.decode(task.call).get("args", NULL)))
    return None if why is None else error_of(why, f"{task.step} of {task.uid}")


def _place(uid: str) -> str:
    return f"progress/{uid}"


def _with_progress(status: TaskStatus, hand: Opening) -> TaskStatus:
    if status.progress is None:
        return status
    said = hand.raw(_place(hand.uid), status.progress.encode()).decode()
    return msgspec.structs.replace(status, progress=said)
