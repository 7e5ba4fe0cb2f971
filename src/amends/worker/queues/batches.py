"""Batches: calls of one step that run here at the same time are run by one call of its batch function.

**Theory of operation.**  A task in a batch stays a task: it is an attempt like any other, with its own lease,
key, number, timeout, taint and report.  Only its function is another one: instead of calling the step's it
*joins* a batch and waits for its part of what comes of that.  So whatever is known of attempts (limits,
renewing, what is told when) holds of these without a word here, and neither store nor owner nor journal knows
of batches at all.

    join ─► gathering ── full, or waited long enough ─► running ── the function has ended ─► each its end
                │                                          │
        stopped: it leaves, nothing was done      stopped: it waits for that end all the same

* *Who goes together*: calls of one step and one timeout, and as far on in their attempts: a call that failed
  before goes with fewer others each time, in the end alone (`Batching.most`), since it may be the one that
  made them fail.
* *How long they wait*: as the step says, but never over half of what any of them has (its timeout, its
  silence); while a drain is on, not at all.
* *A call that is stopped* (cancelled, out of time, its lease gone) while the function runs has not ended: the
  function may be about to have its effect.  It is marked, and ends with the others; a result that comes after
  all counts, as that of a thread.  Once all calls are stopped, so is the function.
* *What comes back* is one end a call.  An exception of the whole function is the end of each; so is a list
  of another length, since nobody knows whose results these are.

The function itself runs as an attempt among attempts of its own, so that the calls which wait for it cannot
keep it from beginning.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ...clock import Clock
from ...definition.batch import BatchCall, Batching
from ...definition.context import Current
from ...definition.step import Step
from ...errors import PayloadError
from ..attempts import Attempt, Attempts
from ..conclusions import Interrupted
from ..settings import Settings

Ended = tuple[Any, BaseException | None]
"""What came of a call: its result, or why there is none."""

Group = tuple[str, int, float | None]
"""What goes together: step, how many at most, timeout."""


class Joining(msgspec.Struct):
    """A call that is to join. timeout: of the step (seconds).  left: seconds that this attempt has, in all or
    without a sign of life; None: any."""

    step: Step[..., Any]
    batching: Batching
    args: msgspec.Struct
    resources: dict[str, Any]
    current: Current
    timeout: float | None
    left: float | None


class Member(msgspec.Struct, eq=False):
    """A call in a batch."""

    call: BatchCall[Any]
    current: Current
    end: asyncio.Future[Ended]


class Batch(msgspec.Struct, eq=False):
    """Calls that go together. due: when they no longer wait for others (time of the loop)."""

    group: Group
    first: Joining
    members: list[Member]
    due: float
    timer: asyncio.Handle
    key: tuple[str, str, str] | None = None


class Batches:
    """See the module. Of one server."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._attempts = Attempts(clock, steps=settings.steps, threads=settings.threads)
        self._gathering: dict[Group, Batch] = {}
        self._numbers = itertools.count(1)
        self._hurried = False

    async def join(self, joining: Joining) -> Any:
        """Go with others, and return this call's result. Raises what the function says of this call."""
        batch, member = self._enter(joining)
        while True:
            try:
                value, error = await asyncio.shield(member.end)
                break
            except asyncio.CancelledError:
                self._stopped(batch, member)
        if error is None:
            return value
        if member.call.cancelled and isinstance(error, Interrupted):
            raise asyncio.CancelledError  # why it was stopped is known to its own attempt
        raise error

    def hurry(self) -> None:
        """From now on nobody waits for others."""
        self._hurried = True
        for batch in list(self._gathering.values()):
            self._begin(batch)

    async def close(self, grace: float) -> None:
        """Wait at most `grace` seconds for what runs."""
        await self._attempts.close(grace)

    def cut_off(self) -> list[asyncio.Future[Any]]:
        """Forget all, as a process that is killed (for simulations). What is to be cancelled?"""
        for batch in self._gathering.values():
            batch.timer.cancel()
        self._gathering.clear()
        return [attempt.task for attempt in self._attempts.running.values() if attempt.task is not None]

    # ------------------------------------------------------------ gathering

    def _enter(self, joining: Joining) -> tuple[Batch, Member]:
        current = joining.current
        most = min(joining.batching.most(current.attempt), self._settings.steps)
        group = (joining.step.name, most, joining.timeout)
        wait = 0.0 if self._hurried or most == 1 else joining.batching.within
        if joining.left is not None:
            wait = min(wait, joining.left / 2)
        due = self._loop.time() + wait
        batch = self._gathering.get(group)
        if batch is None:
            timer: asyncio.Handle = self._loop.call_at(due, self._ring, group)
            self._gathering[group] = batch = Batch(group, joining, [], due, timer)
        elif due < batch.due:
            batch.timer.cancel()
            batch.due, batch.timer = due, self._loop.call_at(due, self._ring, group)
        call: BatchCall[Any] = BatchCall(joining.args, current, beat=partial(_beat, batch, current))
        member = Member(call, current, self._loop.create_future())
        batch.members.append(member)
        if len(batch.members) >= most:
            del self._gathering[group]
            batch.timer.cancel()
            batch.timer = self._loop.call_soon(self._begin, batch)  # outside of the task that joins
        return batch, member

    def _ring(self, group: Group) -> None:
        self._begin(self._gathering[group])

    def _stopped(self, batch: Batch, member: Member) -> None:
        """Raises `Interrupted` if it leaves before anything was done."""
        member.call.cancelled = True
        if batch.key is None:
            batch.members.remove(member)
            leaving = Interrupted("stopped before its batch began")
            leaving.began = False
            raise leaving
        if all(each.call.cancelled for each in batch.members):
            self._attempts.stop(batch.key, Interrupted("nobody waits for any call of this batch"))

    # ------------------------------------------------------------ running

    def _begin(self, batch: Batch) -> None:
        if self._gathering.get(batch.group) is batch:
            del self._gathering[batch.group]
        batch.timer.cancel()
        if batch.key is not None or not batch.members:
            return
        batch.key = (str(next(self._numbers)), "batch", "do")
        first, calls = batch.first, [member.call for member in batch.members]
        leading = () if first.step.instance is None else (first.step.instance,)
        function: Callable[[], Any] = partial(first.batching.fn, *leading, calls, **first.resources)
        ended = partial(self._ended, batch)
        _beat_all(batch, None)  # waiting for others was no silence of the function
        self._attempts.start(Attempt(batch.key, function, _current_of(batch), ended, first.batching.is_async))

    def _ended(self, batch: Batch, _: Current, value: Any, error: BaseException | None) -> None:
        for member, end in zip(batch.members, ends_of(batch, value, error), strict=True):
            member.end.set_result(end)


def ends_of(batch: Batch, value: Any, error: BaseException | None) -> Sequence[Ended]:
    """What a batch's function has said of each call."""
    first, count = batch.first, len(batch.members)
    if error is None:
        try:
            ends = first.batching.ends(first.step.name, count, value)
        except PayloadError as unreadable:
            error = unreadable
    if error is not None:
        return [(None, error)] * count
    return [(None, each) if isinstance(each, BaseException) else (each, None) for each in ends]


def _beat(batch: Batch, current: Current, progress: Any) -> None:
    """The function is alive, so every call is; the progress is one's own."""
    current.heartbeat(progress)
    for member in batch.members:
        if member.current is not current:
            member.current.heartbeat()


def _beat_all(batch: Batch, progress: Any) -> None:
    for member in batch.members:
        member.current.heartbeat(progress)


def _current_of(batch: Batch) -> Current:
    """What `amends.current()` says in the function: of none of its executions; a key that is the same for the
    same calls."""
    keys = "\n".join(member.call.idempotency_key for member in batch.members)
    uid = hashlib.sha256(keys.encode()).hexdigest()[:32]
    current = Current("", uid, 0, "", batch.first.step.name, "batch", batch.first.current.attempt)
    ends = [member.current.deadline_at for member in batch.members]
    current.deadline_at = min((end for end in ends if end is not None), default=None)
    current._beat = partial(_beat_all, batch)
    return current
