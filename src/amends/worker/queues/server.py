"""Serving queues: taking tasks, running them, and telling their owners.

One task of the event loop takes, one renews and one tells, so that a slow store in one of them does not stop
the others.  What is taken runs at once: no more is taken than there is room for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ... import codec
from ...clock import Clock
from ...definition.context import Current
from ...definition.registry import Registry
from ...definition.step import Step
from ...errors import AmendsError, Fenced, PayloadError, StoreError
from ...store.enclosed.tasks import unopened_task
from ...store.port import Store
from ...store.queueing import Ask, End, Lease, Pulse, Standing, TaskReport, Token, soonest
from ..attempts import Attempt, Attempts
from ..calling import encoded
from ..conclusions import Interrupted, told_of
from ..resources import Resources
from ..settings import Settings
from ..undoing import undo_of
from . import assignment
from .batches import Batches, Joining

_log = logging.getLogger("amends.worker.queues")

BITE = 32
"""Tasks taken at once."""
SHOWN = 1.0
"""Seconds between two looks at what progress has been told."""


class Held(msgspec.Struct, eq=False):
    """A task that runs here. until: monotonic time at which the lease is over for us."""

    lease: Lease
    until: float
    renew_at: float
    progress: str | None = None
    lost_until: float = 0.0


class Server:
    """Serves queues of one namespace. `told`: called when owners in this process may have news."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        resources: Resources,
        clock: Clock,
        settings: Settings,
        queues: Sequence[str],
        *,
        namespace: str,
        holder: str,
        told: Callable[[], None],
    ) -> None:
        self.queues = list(queues)
        self.stir = asyncio.Event()
        self.draining = False
        self._store = store
        self._registry = registry
        self._resources = resources
        self._clock = clock
        self._settings = settings
        self._namespace = namespace
        self._holder = holder
        self._told = told
        self._attempts = Attempts(clock, steps=settings.steps, threads=settings.threads)
        self._batches = Batches(clock, settings)
        self._held: dict[Token, Held] = {}
        self._ends: list[TaskReport] = []
        self._ended = asyncio.Event()
        self._renewed = asyncio.Event()
        self._all_told = asyncio.Event()
        self._all_told.set()

    async def run(self) -> None:
        """Serve until `drain`, or until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_all())
            group.create_task(self._renew_all())
            group.create_task(self._tell_all())

    async def drain(self, grace: float) -> None:
        """Take nothing more, let what runs end, and tell it. What does not end in time lapses."""
        self.draining = True
        self.stir.set()
        self._batches.hurry()
        await self._attempts.close(grace)
        await self._batches.close(0.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._all_told.wait()

    def cut_off(self) -> list[asyncio.Future[Any]]:
        """Forget all that runs, as a process that is killed (for simulations). What is to be cancelled?"""
        self.draining = True
        self._held.clear()
        self._ends.clear()
        running = self._batches.cut_off()
        return running + [a.task for a in self._attempts.running.values() if a.task is not None]

    @property
    def running(self) -> int:
        """How many tasks run here."""
        return len(self._held)

    # ------------------------------------------------------------ taking

    async def _take_all(self) -> None:
        due: float | None = 0.0
        while not self.draining:
            stirred = self.stir.is_set()
            self.stir.clear()
            now = self._clock.monotonic()
            try:
                if stirred or (due is not None and due <= now) or await self._changed():
                    due = await self._take()
            except StoreError as error:
                _log.warning("cannot take from %s yet: %s", ", ".join(self.queues), error)
                due = now + 10 * self._settings.poll
            await self._sleep(due)

    async def _changed(self) -> bool:
        try:
            return await self._store.changed()
        except Fenced:  # of the worker beside us; it sees to that itself
            return True

    async def _take(self) -> float | None:
        """Take what there is room for, queue by queue. When something may be due (monotonic time)."""
        waits: list[float] = []
        for name in list(self.queues):
            wait: float | None = None
            while room := min(BITE, self._settings.steps - len(self._attempts)):
                ask = Ask(
                    queue=name,
                    holder=self._holder,
                    namespace=self._namespace,
                    limit=room,
                    lease=self._settings.lease,
                    deaths=self._settings.limits.deaths,
                )
                asked = self._clock.monotonic()
                taken = await self._store.take_tasks(ask, self._clock.now())
                for lease in taken.leases:
                    self._begin(lease, asked)
                wait = taken.wait
                if taken.ended:
                    self._told()
                if len(taken.leases) < room or self.draining:
                    break
            if wait is not None:
                waits.append(wait)
        self.queues.append(self.queues.pop(0))  # another one is first the next time
        return self._clock.monotonic() + max(0.0, min(waits)) if waits else None

    async def _sleep(self, due: float | None) -> None:
        wait = self._settings.poll
        if due is not None:
            wait = min(wait, max(0.001, due - self._clock.monotonic()))
        try:
            async with asyncio.timeout(wait):
                await self.stir.wait()
        except TimeoutError:
            return

    # ------------------------------------------------------------ running

    def _begin(self, lease: Lease, asked: float) -> None:
        span = self._settings.lease
        self._held[lease.token] = held = Held(lease, asked + span, asked + span / 3)
        self._renewed.set()
        try:
            if (closed := unopened_task(lease.task)) is not None:
                raise closed
            given = assignment.read(lease.task)
            held.lost_until = given.lost_until
            attempt = self._attempt(lease, given)
        except (AmendsError, msgspec.ValidationError, msgspec.DecodeError) as error:
            self._end(lease, how="refused", error=error)
            return
        self._attempts.start(attempt)

    def _attempt(self, lease: Lease, given: assignment.Assignment) -> Attempt:
        """Raises `AmendsError` for what is not defined here, arguments that do not fit, a missing
        resource."""
        task = lease.task
        step = self._registry.step(task.step)
        current = assignment.current_of(lease, given)
        current._beat = partial(self._progress, lease.token)
        key = (str(lease.num), task.action, task.direction)
        if task.direction == "undo":
            undo = undo_of(step, assignment.action_of(task, given))
            resources = self._resources.for_function(undo.signature)
            is_async = undo.undo_is_async or undo.check_is_async
            function: Callable[[], Any] = partial(
                undo.asynchronously if is_async else undo.plainly, resources
            )

            def undone(_: Current, __: Any, error: BaseException | None) -> None:
                self._end(lease, error=error)

            return Attempt(key, function, current, undone, is_async, given.timeout)

        def ended(_: Current, value: Any, error: BaseException | None) -> None:
            raw = None
            if error is None:
                try:
                    raw = encoded(step, value, self._settings.limits.payload)
                except PayloadError as unreadable:
                    error = unreadable
            self._end(lease, value=raw, error=error)

        timeout = given.timeout
        if given.close_at is not None:
            left = max(0.001, given.close_at - self._clock.now())
            timeout = left if timeout is None else min(left, timeout)
        function, is_async = self._function(step, given, current, timeout)
        return Attempt(key, function, current, ended, is_async, timeout, given.heartbeat)

    def _function(
        self, step: Step[..., Any], given: assignment.Assignment, current: Current, timeout: float | None
    ) -> tuple[Callable[[], Any], bool]:
        """What runs an attempt, and whether that is async: the step itself, or a batch that it joins."""
        args = step.signature.decode_args(given.args)
        resources = self._resources.for_function(step.signature)
        if step.batching is None:
            return step.bound(args, resources), step.is_async
        left = soonest(timeout, given.heartbeat)
        joining = Joining(step, step.batching, args, resources or {}, current, given.timeout, left)
        return partial(self._batches.join, joining), True

    def _progress(self, token: Token, progress: Any) -> None:
        """From the step, perhaps in a thread."""
        held = self._held.get(token)
        if held is not None and progress is not None:
            held.progress = codec.encode(progress, "progress").decode()

    def _end(
        self, lease: Lease, *, value: Any = None, error: BaseException | None = None, how: str = ""
    ) -> None:
        """An attempt is over. Of one whose lease was lost nobody wants to hear."""
        held = self._held.pop(lease.token, None)
        if held is None:
            return
        task = lease.task
        end = End(
            task.action, task.direction, task.attempt, how or ("completed" if error is None else "failed")
        )
        end.lapses, end.lapsed_at, end.lost_until = lease.lapses, lease.lapsed_at, held.lost_until
        if value is not None:
            end.value = value
        if error is not None:
            end.error = told_of(error)
        self._ends.append(TaskReport(lease.token, end, task.uid))
        self._ended.set()
        self._all_told.clear()
        self.stir.set()  # there is room

    # ------------------------------------------------------------ renewing

    async def _renew_all(self) -> None:
        while True:
            if not self._held:
                self._renewed.clear()
                await self._renewed.wait()
            await asyncio.sleep(min(SHOWN, self._settings.lease / 3))
            now = self._clock.monotonic()
            due = [held for held in self._held.values() if held.renew_at <= now or held.progress is not None]
            if due:
                await self._renew(due, now)
            for held in [held for held in self._held.values() if held.until <= self._clock.monotonic()]:
                self._lose(held, "its lease ran out here, since the store could not be reached")

    async def _renew(self, due: list[Held], now: float) -> None:
        span = self._settings.lease
        pulses = [Pulse(held.lease.token, held.progress, held.lease.task.uid) for held in due]
        for held in due:
            held.progress = None
        try:
            stands = await self._store.renew_tasks(pulses, span, self._clock.now())
        except StoreError as error:
            _log.warning("cannot renew %d leases yet: %s", len(due), error)
            for held, pulse in zip(due, pulses, strict=True):  # unless there is news by now
                held.progress = pulse.progress if held.progress is None else held.progress
            return
        for held, standing in zip(due, stands, strict=True):
            held.until, held.renew_at = now + span, now + span / 3
            if standing is Standing.CANCELLED:
                self._attempts.stop(_key(held.lease), Interrupted("the saga no longer waits for this step"))
            elif standing is Standing.LOST and self._held.get(held.lease.token) is held:
                self._lose(held, "its lease is another's")

    def _lose(self, held: Held, why: str) -> None:
        """Stop at once: somebody else may have begun it."""
        task = held.lease.task
        _log.warning("%s (%s, %s): %s", task.step, task.uid, task.action, why)
        del self._held[held.lease.token]
        self._attempts.stop(_key(held.lease), Interrupted(why))

    # ------------------------------------------------------------ telling

    async def _tell_all(self) -> None:
        pause = 0.05
        while True:
            await self._ended.wait()
            self._ended.clear()
            while ends := self._ends[:BITE]:
                try:
                    heard = await self._store.report_tasks(ends)
                except StoreError as error:
                    _log.warning("cannot tell %d ends yet: %s", len(ends), error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 2.0)
                    continue
                pause = 0.05
                del self._ends[: len(ends)]
                self._told()
                for report, was in zip(ends, heard, strict=True):
                    if not was:
                        _log.warning("the end of task %d came too late: it is another's", report.token[0])
            self._all_told.set()


def _key(lease: Lease) -> tuple[str, str, str]:
    return str(lease.num), lease.task.action, lease.task.direction
