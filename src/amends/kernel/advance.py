"""What follows from the ledger once an activation's events are applied and the saga's code is quiet.

Each rule looks at the ledger and issues commands; none waits, and each is repeated until nothing follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ..errors import Parked, PayloadError, Refused, Stuck
from . import entries as e
from .actions import OPEN, UNDO_PARKED, UNDO_RUNNING, Action, within
from .backward import Plan
from .entries import Fault
from .failures import fault_of
from .phases import BACKWARD, FINISHED, FORWARD, RETURNED, UNWINDING
from .reactions import deliver_failure, release_parked

PARENT_TERMINATED = "the parent was terminated"
"""Why a nested saga may not pass its pivot any more."""

if TYPE_CHECKING:
    from .instance import Decision, Instance


def step(self: Instance) -> None:
    """Apply the rules until nothing more follows."""
    ledger, program = self.ledger, self.program
    if (
        program is not None
        and self.decision.run  # type: ignore[union-attr]
        and ledger.phase is FORWARD
        and ledger.terminated is None
        and program.next_args is None
        and not (ledger.asked_by or self.rollbacks)
        and not program.root.done()  # type: ignore[union-attr]
    ):
        return  # the common case: the body runs, has issued a step, and nothing else follows
    if ledger.terminated is not None and ledger.phase != FINISHED:
        _terminate(self)
        return
    while True:
        if self.rollbacks:
            _roll_back(self)
        program = self.program
        if program is not None and program.loop.waiting:
            program.loop.drain()
            continue
        if ledger.phase == FORWARD and program is not None:
            if not _body_ended(self):
                break
            continue  # the tasks it cancelled may be what a rollback waited for
        if ledger.phase in (RETURNED, UNWINDING) and not _tasks_ended(self):
            break
        if ledger.phase == BACKWARD:
            _compensate(self)
        break
    if ledger.asked_by and ledger.phase != FINISHED:
        _answer_children(self)
    _refuse_to_hang(self)


# ---------------------------------------------------------------- the body's end


def _body_ended(self: Instance) -> bool:
    """Record how the body ended, if it did. True: go on with the rules."""
    program, ledger = self.program, self.ledger
    assert program is not None
    root = program.root
    if ledger.asking:
        return False  # undecided: the answer says whether the pivot was passed
    if program.next_args is not None:
        _continue_as_new(self)
        return False
    if root is None or not root.done():
        return False
    error = _error_of(root)
    if error is None and (ledger.cancel is None or ledger.pivoted):
        error = _return(self, root.result())
        if error is None:
            return True
    if ledger.pivoted:
        text = f"{type(error).__name__}: {error}"
        raise Parked(
            f"the body failed after the pivot: {text}",
            hint="deploy code that completes from here, then retry; or terminate",
        ) from error
    if isinstance(error, Parked):
        raise error
    if ledger.cancel is not None:
        self.issue(e.Unwind(ledger.cancel.cause, Fault("Cancelled", ledger.cancel.reason)))
    else:
        fault = fault_of(error) if error is not None else None
        self.issue(e.Unwind("failed", fault))
    _cancel_rest(self)
    return True


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    if task.cancelled():
        return asyncio.CancelledError("the body was cancelled")
    return task.exception()


def _return(self: Instance, value: Any) -> BaseException | None:
    """Record the return value; one that cannot be journaled or read back is its failure."""
    program, what = self.program, f"result of {self.saga_name}"
    assert program is not None
    try:
        payload = program.payload(value, what)
        program.saga.signature.result.decode(payload, what)
    except PayloadError as error:
        return error
    self.issue(e.Return(payload))
    _cancel_rest(self)
    return None


def _cancel_rest(self: Instance) -> None:
    """Tasks that outlive the body are cancelled, and settle before the execution ends."""
    program = self.program
    assert program is not None
    for task in program.loop.tasks:
        if not task.done():
            task.cancel("the saga's body has ended")
    if self.ledger.troubled:
        release_parked(self)
    program.loop.drain()


def _tasks_ended(self: Instance) -> bool:
    """Once all tasks are done and all actions settled: complete, or begin the backward way."""
    program, ledger = self.program, self.ledger
    if program is not None:
        program.loop.drain()
        for task in program.loop.tasks:
            if not task.done():
                return False
    returned = ledger.phase == RETURNED
    for action in ledger.actions.values():
        if action.outcome == OPEN or (returned and action.undo_state in (UNDO_RUNNING, UNDO_PARKED)):
            return False
    if returned:
        _finish(self, "completed")
        return False
    self.issue(e.Backward())
    _drop_program(self)
    return True


def _drop_program(self: Instance) -> None:
    if self.program is not None:
        self.program.loop.kill()
        self.program = None
    self.rollbacks.clear()


def _finish(self: Instance, status: str) -> None:
    assert self.decision is not None
    self.issue(e.Finish(status))
    self.decision.finished = status
    _drop_program(self)


def _terminate(self: Instance) -> None:
    """An operator's end: what runs is stopped, nothing is undone."""
    assert self.decision is not None
    for action in self.ledger.open():
        self.decision.interrupt.append(action)
    for child in list(self.ledger.asked_by):
        self.issue(e.AnswerPivot(child, PARENT_TERMINATED))
    self.decision.run.clear()
    self.decision.undo.clear()
    _finish(self, "terminated")


def _continue_as_new(self: Instance) -> None:
    """End this run; the worker begins the next with the `Started` event that follows."""
    program = self.program
    assert program is not None and self.decision is not None
    self.issue(e.ContinueAsNew(program.next_args))
    self.decision.next_args = program.next_args
    _drop_program(self)


# ---------------------------------------------------------------- going backward


def _compensate(self: Instance) -> None:
    """Start every compensation whose turn has come; end when nothing is owed."""
    ledger, plan = self.ledger, self.plan
    if plan is None:
        plan = self.plan = Plan(a for a in ledger.actions.values() if a.owed or a.outcome == OPEN)
    while turn := plan.turn():  # again, because what is irreversible is settled at once
        for action in turn:
            self.undo(action)
    if not plan.waits and not ledger.parked():
        _finish(self, "partially_compensated" if ledger.residue else "compensated")


def _roll_back(self: Instance) -> None:
    """Go on with each savepoint's rollback; tell the saga when one is settled."""
    program, ledger = self.program, self.ledger
    for rollback in list(self.rollbacks):
        if rollback.running(program):
            continue
        plan = rollback.plan
        if plan is None:
            plan = rollback.plan = Plan(ledger.owed(rollback.scope))
        while turn := plan.turn():
            for action in turn:
                self.undo(action)
        parked = any(a.undo_state and within(a.scope, rollback.scope) for a in ledger.parked())
        if not plan.waits and (ledger.doomed or not parked):
            self.rollbacks.remove(rollback)
            if program is not None:
                program.rolled_back(rollback.future)


def conclude_held(self: Instance, action: Action) -> None:
    """The saga itself gives up what is parked (a cancel): its outcome is what is known."""
    self.issue(e.Interrupt(action.id))
    deliver_failure(self, action, action.fault or Fault("Cancelled", ""), action.outcome)


def abandon(self: Instance, requests: Sequence[e.Event], why: str, now: float) -> Decision:
    """Go on from the journal alone; see `Instance.abandon`."""
    from .instance import Decision  # noqa: PLC0415 - the two modules know each other

    _drop_program(self)
    ledger = self.ledger
    ledger.now = now = max(now, ledger.now)
    self.commands = []
    self.decision = decision = Decision(now, list(requests), self.commands, [], [], [])
    for event in (*self.deferred, *requests):
        ledger.take(event, self.position)
    self.deferred = []
    if ledger.terminated is not None:
        _terminate(self)
        return decision
    request = ledger.cancel
    if ledger.pivoted or ledger.asking or (request is None and ledger.phase == FORWARD):
        raise Refused(
            "after the pivot (or while it is asked for) nothing is undone",
            hint="deploy code that completes from here, or terminate",
        )
    if request is not None and ledger.phase == FORWARD:
        fault = Fault("Cancelled", f"{request.reason} (undone from the journal: {why})")
        self.issue(e.Unwind(request.cause, fault))
    for action in list(ledger.open()):
        if action.kind == "child" and not action.interrupted:
            self.issue(e.Interrupt(action.id))
        decision.interrupt.append(action)
    self.issue(e.Backward())
    decision.undo += [a for a in ledger.actions.values() if a.undo_state == UNDO_RUNNING]
    _compensate(self)
    return decision


# ---------------------------------------------------------------- pivots of children, and dead ends


def _answer_children(self: Instance) -> None:
    """Children want to pivot: grant it, refuse it, or ask our own parent."""
    ledger = self.ledger
    for child in list(ledger.asked_by):
        action = ledger.actions.get(child)
        busy = self.busy_with(but=child)
        if ledger.pivoted:
            self.issue(e.AnswerPivot(child))
        elif ledger.asking:
            return
        elif ledger.phase != FORWARD or ledger.cancel is not None:
            self.issue(e.AnswerPivot(child, "the parent is being undone"))
        elif action is None or action.outcome != OPEN or action.interrupted:
            self.issue(e.AnswerPivot(child, "the parent no longer waits for it"))
        elif busy:
            self.issue(e.AnswerPivot(child, f"the parent has {', '.join(busy)} in flight"))
        elif self.parent:
            self.issue(e.AskPivot("child"))
        else:
            self.issue(e.Pivot("child"))
            self.issue(e.AnswerPivot(child))


def _refuse_to_hang(self: Instance) -> None:
    """Code that waits for what nothing can deliver makes no progress: say so instead of sleeping for ever."""
    program, ledger, decision = self.program, self.ledger, self.decision
    if program is None or ledger.phase == FINISHED or (decision and (decision.run or decision.undo)):
        return
    waits = (
        ledger.timers
        or ledger.asking
        or self.rollbacks
        or any(ledger.awaited.values())
        or _something_runs(self)
    )
    if not waits:
        raise Stuck(
            "the saga waits for something that no step, timer, signal or child of it can deliver",
            hint="look for a future, lock, queue or event that is never set",
        )


def _something_runs(self: Instance) -> bool:
    """Is an action open, or being undone?

    The one found last time mostly still is. If not, mostly the youngest is. If neither, we look from the
    young or the old end by turns: in whatever order ten thousand actions end, few activations look at many.
    """
    if self.witness is None or not _runs(self.witness):
        actions = self.ledger.actions.values()
        rest = reversed(actions) if self.position % 2 else iter(actions)
        self.witness = next((a for a in chain(islice(reversed(actions), 1), rest) if _runs(a)), None)
    return self.witness is not None


def _runs(action: Action) -> bool:
    return action.outcome == OPEN or action.undo_state in (UNDO_RUNNING, UNDO_PARKED)
