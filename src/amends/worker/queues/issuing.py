"""The owner's side, going out: attempts that become tasks, in the commit of the row that issues them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...definition.step import Step, StepOptions
from ...errors import AmendsError, CommitUnknown, PayloadError, StoreBusy, StoreFull
from ...kernel import entries as e
from ...kernel.actions import OPEN, REJECTED, UNDO_RUNNING, UNKNOWN, Action
from ...kernel.entries import Row
from ...kernel.failures import fault_of
from ...kernel.instance import Decision
from ...store.port import Verdict, Write
from ...store.queueing import Task, TaskKey
from .. import writes
from ..conclusions import Interrupted, refusal
from ..live import Live
from ..undoing import undo_of
from . import assignment
from .assignment import Policy

if TYPE_CHECKING:
    from ..worker import Worker


class Issuing:
    """See the package. Of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._missing: dict[str, list[tuple[Action, str]]] = {}
        self._doubted: dict[str, list[tuple[Action, bool]]] = {}
        self._never: set[TaskKey] = set()  # what certainly never had a task
        self._committed: Callable[[Live, Write, Decision | None, Verdict], None] | None = None

    def mind(self) -> None:
        """Once any step with a queue is known here, rows are looked through for them; before, none is."""
        worker = self._worker
        if self._committed is None and worker.registry.queues:
            self._committed = worker.committed
            worker.build, worker.committed = self.build, self.committed

    # ------------------------------------------------------------ with the row

    def build(self, live: Live, decision: Decision, row: Row, incarnation: int) -> Write:
        """`writes.build`, and the tasks: what goes to a queue leaves the decision, so that nothing else runs
        it."""
        write = writes.build(live, decision, row, incarnation)
        tasks: list[Task] = []
        if decision.run:
            decision.run = self._without_queued(live, decision.run, "do", row.now, tasks)
        if decision.undo:
            decision.undo = self._without_queued(live, decision.undo, "undo", row.now, tasks)
        write.tasks = list({(task.action, task.direction): task for task in tasks}.values())
        if decision.finished and live.away:  # terminated: whatever runs is nobody's business any more
            live.reported += sorted(live.away)
            live.away.clear()
        drop_reported(live, write)
        return write

    def committed(self, live: Live, write: Write, decision: Decision | None, verdict: Verdict) -> None:
        """What the worker does with a verdict; and who serves a queue in this process may look."""
        assert self._committed is not None
        self._committed(live, write, decision, verdict)
        if write.tasks:
            self._worker.on_tasks()

    def _without_queued(
        self, live: Live, actions: list[Action], direction: str, now: float, tasks: list[Task]
    ) -> list[Action]:
        here = []
        for action in actions:
            perhaps = (action.id, "do") in live.away or action.outcome == UNKNOWN
            if direction == "undo" and perhaps and self.is_queued(live, action):  # decided while it runs
                self._worker.spawn(self._cancel(live, action, "do"))
            try:
                task = self._task(live, action, direction, now)
            except AmendsError as error:  # the dispatcher meets it again, and a person is told
                self._worker.log.warning("[%s] %s cannot be queued: %r", live.header.id, action.name, error)
                self._never.add((live.header.uid, action.id, direction))
                task = None
            if task is None:
                here.append(action)
            else:
                tasks.append(task)
                live.away.add((action.id, direction))
        return here

    def _task(self, live: Live, action: Action, direction: str, now: float) -> Task | None:
        """The task of an action's next attempt; None: it runs here. Raises `AmendsError`."""
        if action.kind == "child" or action.hold:
            return None
        step, policy = self._worker.dispatcher.definition(live, action)
        if not step.options.queue:
            return None
        if direction == "do":
            args = step.signature.decode_args(action.args)
            attempt, not_before = action.attempts + 1, action.retry_at
            lost_until = live.lost.get(action.id, 0.0)
            limits = Policy(policy.timeout, policy.heartbeat, _close_at(action, policy), lost_until)
        else:
            undo = undo_of(step, action)
            if undo.transactional:  # with the journal, so where that is
                return None
            args = undo.args
            attempt = action.undo_attempts + 1
            not_before = max(action.undo_retry_at, live.lost.get(action.id, 0.0))
            limits = Policy(undo.timeout)
        delay = max(0.0, not_before - now) if not_before else 0.0
        if direction == "do" and attempt == 1 and not action.retry_at:
            delay = policy.delay
        key = "" if policy.key is None or action.kind == "adhoc" else _key_of(step, policy.key, args)
        return Task(
            uid=live.header.uid,
            action=action.id,
            direction=direction,
            namespace=live.header.namespace,
            queue=step.options.queue,
            step=step.name,
            call=assignment.write(live.header, action, direction, limits),
            attempt=attempt,
            key=key,
            pool=policy.pool,
            priority=policy.priority,
            at=now,
            delay=delay,
        )

    # ------------------------------------------------------------ without one

    def ensure(self, live: Live, action: Action, direction: str) -> None:
        """See to it that the task of an open action is there, in a commit of its own between two rows."""
        key = (action.id, direction)
        if key in live.away or key in live.reported:
            return
        live.away.add(key)
        missing = self._missing.setdefault(live.header.uid, [])
        missing.append((action, direction))
        if len(missing) == 1:
            live.exclusive.append(lambda: self._begin_adding(live))
            self._worker.schedule(live)

    def doubt(self, live: Live, action: Action, *, slept: bool) -> None:
        """Its owner died. If it has no task it ran there, before its step had a queue: then it is tainted."""
        self._doubted.setdefault(live.header.uid, []).append((action, slept))

    def _begin_adding(self, live: Live) -> None:
        doubted = self._doubted.pop(live.header.uid, [])
        if not doubted:
            self._add(live)
            return
        live.busy = True  # no row, until it is known
        self._worker.spawn(self._look_then_add(live, doubted))

    async def _look_then_add(self, live: Live, doubted: list[tuple[Action, bool]]) -> None:
        worker = self._worker
        there = {(task.action, task.direction) for task in await worker.store.tasks_of(live.header.uid)}
        for action, slept in doubted:
            if (action.id, "do") not in there and _wanted(action, "do"):
                worker.loader.taint(live, action, worker.clock.now(), slept=slept)
        live.busy = False
        if not live.instance.dead:
            self._add(live)

    def _add(self, live: Live) -> None:
        worker = self._worker
        now = worker.clock.now()
        tasks = []
        stands = worker.pausing.stands(live)
        for action, direction in self._missing.pop(live.header.uid, []):
            wanted = not stands and _wanted(action, direction)
            try:
                task = self._task(live, action, direction, now) if wanted else None
            except AmendsError as error:
                self._refuse(live, action, direction, error)
                task = None
            if task is None:
                live.away.discard((action.id, direction))
            else:
                tasks.append(task)
        if not tasks or worker.draining:
            worker.go_on(live)
            return
        worker.submit(live, Write(live.header.uid, tasks=tasks), None)
        worker.loop.call_soon(worker.committer.flush)

    def _refuse(self, live: Live, action: Action, direction: str, error: AmendsError) -> None:
        """It can go to no queue: a person must look, the outcome is what is known. (Of what an owner before
        this one issued, a task may be there, and run.)"""
        key: TaskKey = (live.header.uid, action.id, direction)
        never = key in self._never
        self._never.discard(key)
        if direction == "undo":
            self._worker.deliver(live, e.UndoFailed(action.id, fault_of(error)))
            return
        outcome = REJECTED if never and not action.tainted else UNKNOWN
        self._worker.deliver(live, e.Failed(action.id, fault_of(error), outcome, refusal(error)))

    def forget(self, live: Live) -> None:
        """The execution leaves memory."""
        self._doubted.pop(live.header.uid, None)
        self._missing.pop(live.header.uid, None)
        if self._never:
            self._never = {key for key in self._never if key[0] != live.header.uid}

    # ------------------------------------------------------------ no longer wanted

    def recall(self, live: Live, action: Action, direction: str) -> bool:
        """End an attempt that the saga no longer waits for. False: it is not in a queue."""
        if (action.id, direction) not in live.away and not self.is_queued(live, action):
            return False
        self._worker.spawn(self._cancel(live, action, direction))
        return True

    def is_queued(self, live: Live, action: Action) -> bool:
        """Do attempts of this action go to a queue?"""
        if action.kind != "step":
            return False
        try:
            return bool(self._worker.dispatcher.definition(live, action)[0].options.queue)
        except AmendsError:
            return False

    async def _cancel(self, live: Live, action: Action, direction: str) -> None:
        """Its end comes as a report; if it never was in the queue, this is its end."""
        worker = self._worker
        key: TaskKey = (live.header.uid, action.id, direction)
        pause = 0.05
        while True:
            try:
                found = (await worker.store.cancel_tasks([key]))[0]
                break
            except (StoreBusy, StoreFull, CommitUnknown) as error:
                worker.log.warning("[%s] cannot cancel %s yet: %s", live.header.id, action.name, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        worker.stir.set()
        if not found and not live.instance.dead and direction == "do" and action.interrupted:
            live.away.discard((action.id, direction))
            worker.dispatcher.give_up(live, action, Interrupted("the saga no longer waits for this step"))


def _key_of(step: Step[..., Any], function: Callable[..., Any], args: Any) -> str:
    """What a call's `key` says. Raises `PayloadError`: code of the user's, and it is the arguments that it
    cannot take."""
    try:
        return str(step.call_with(function, args))
    except Exception as error:
        raise PayloadError(
            f"{step.name}: its key cannot be told of these arguments: {type(error).__name__}: {error}",
            hint="retry it when the key= of the step can take them, or with others",
        ) from error


def drop_reported(live: Live, write: Write) -> None:
    """Tasks whose end this write keeps are done with."""
    if live.reported:
        write.dropped, live.reported = live.reported, []


def _wanted(action: Action, direction: str) -> bool:
    if direction == "undo":
        return action.undo_state == UNDO_RUNNING
    return action.outcome == OPEN and not (action.interrupted or action.hold)


def _close_at(action: Action, policy: StepOptions) -> float | None:
    if policy.schedule_to_close is None:
        return None
    return action.opened_at + policy.schedule_to_close
