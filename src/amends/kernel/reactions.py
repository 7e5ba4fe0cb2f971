"""What the program is told of each event, after the ledger took it.

Events that no saga code waits for have no reaction; `advance` finds what follows from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import entries as e
from .actions import OPEN, UNDO_DONE, UNDO_PARKED, UNDO_RESIDUE, UNDO_RUNNING, UNKNOWN, within
from .forking import Forked
from .taking import complete

if TYPE_CHECKING:
    from .instance import Instance


def _started(self: Instance, event: e.Started) -> None:
    self.ledger.take(event, self.position)
    self.start_program(event.args)


def _forked(self: Instance, event: Forked) -> None:
    """The rows of the original end here."""
    self.ledger.take(event, self.position)
    del self.forks[:1]
    if self.program is not None:
        self.program.draw_anew()


def _completed(self: Instance, event: e.Completed) -> None:
    complete(self.ledger, event, self.position)
    program = self.program
    if program is None:
        return
    future = program.futures.get(event.id)
    if future is not None and future.asked:
        action = self.ledger.actions.get(event.id)
        if action is not None and _must_settle(self, action):
            _settle(self, action)
            return
    program.succeed(event.id, event.value)


def _must_settle(self: Instance, action: Any) -> bool:
    """Must this action be undone before its failure or cancellation reaches the saga?"""
    return action.undo != e.UNDO_NONE and not self.ledger.pivoted and not action.undo_state


def _settle(self: Instance, action: Any) -> None:
    """Undo it; what is irreversible becomes residue at once, so the saga need not wait."""
    self.undo(action)
    settled(self, action)


def _failed(self: Instance, event: e.Failed) -> None:
    ledger = self.ledger
    action = ledger.actions.get(event.id)
    known = action is not None and action.outcome == OPEN
    ledger.take(event, self.position)
    if action is None or not known or action.hold:
        return
    deliver_failure(self, action, event.fault, event.outcome)


def _attempt_failed(self: Instance, event: e.AttemptFailed) -> None:
    ledger = self.ledger
    ledger.take(event, self.position)
    action = ledger.actions.get(event.id)
    assert self.decision is not None
    if action is not None and action.outcome == OPEN:
        self.decision.run.append(action)


def _undo_attempt_failed(self: Instance, event: e.UndoAttemptFailed) -> None:
    ledger = self.ledger
    ledger.take(event, self.position)
    action = ledger.actions.get(event.id)
    assert self.decision is not None
    if action is not None and action.undo_state == UNDO_RUNNING:
        self.decision.undo.append(action)


def deliver_failure(self: Instance, action: Any, fault: e.Fault, outcome: str) -> None:
    """A final failure: settle what is unknown, then tell the saga."""
    if outcome == UNKNOWN and _must_settle(self, action):
        _settle(self, action)
    elif self.program is not None:
        self.program.fail(action.id, fault, outcome)


def _child_ended(self: Instance, event: e.ChildEnded) -> None:
    ledger, program = self.ledger, self.program
    action = ledger.actions.get(event.id)
    was_open = action is not None and action.outcome == OPEN
    ledger.take(event, self.position)
    if was_open and action is not None and self.plan is not None:
        self.plan.enter(action)
    if program is None or action is None:
        return
    if not was_open:
        settled(self, action)
    elif event.status == "completed":
        future = program.futures.get(event.id)
        if future is not None and future.asked and _must_settle(self, action):
            self.undo(action)
        else:
            program.succeed(event.id, event.value)
    else:
        program.child_failed(event)


def settled(self: Instance, action: Any) -> None:
    """A compensation ended: whoever waited for the settlement is told."""
    program = self.program
    if program is None or action.undo_state not in (UNDO_DONE, UNDO_RESIDUE):
        return
    future = program.futures.get(action.id)
    if future is None:
        return
    if action.fault is not None and action.outcome == UNKNOWN:
        program.fail(action.id, action.fault, action.outcome)
    else:
        program.release(action.id)


def _undo_ended(self: Instance, event: Any) -> None:
    action = self.ledger.actions.get(event.id)
    self.ledger.take(event, self.position)
    if action is None:
        return
    if action.undo_state == UNDO_PARKED and self.program is not None:
        self.program.settle_parked(action)
    settled(self, action)


def _fired(self: Instance, event: e.Fired) -> None:
    self.ledger.take(event, self.position)
    if self.program is not None:
        self.program.fired(event.id)


def _signalled(self: Instance, event: e.Signalled) -> None:
    self.ledger.take(event, self.position)
    if self.program is not None:
        self.program.signalled(event.name)


def _cancel_requested(self: Instance, event: e.CancelRequested) -> None:
    ledger = self.ledger
    before = ledger.cancel
    ledger.take(event, self.position)
    if before is None and ledger.cancel is not None and not ledger.asking:
        cancel_root(self)


def cancel_root(self: Instance) -> None:
    """Wake the body with the cancellation; parked settlements no longer hold it up."""
    program, request = self.program, self.ledger.cancel
    if program is None or program.root is None or request is None:
        return
    program.root.cancel(request.reason)
    release_parked(self)


def release_parked(self: Instance) -> None:
    """While everything is being undone, nobody waits for a parked settlement."""
    if self.program is not None:
        for action in self.ledger.parked():
            self.program.settle_parked(action)


def _pivot_answered(self: Instance, event: e.PivotAnswered) -> None:
    ledger = self.ledger
    ledger.take(event, self.position)
    if event.refusal:
        for child in list(ledger.asked_by):  # the one on whose behalf the question went up
            self.issue(e.AnswerPivot(child, event.refusal))
    if self.program is not None:
        self.program.answered(event.refusal)
    if event.refusal and ledger.cancel is not None:
        cancel_root(self)


def _heed(self: Instance, event: Any) -> list[tuple[Any, bool, bool]]:
    """Take an operator's request; returns for each action that it is for: was it still open, was it parked?

    A request that is for nothing has no effect: whoever carries this activation out tells the operator so.
    """
    chosen = [(action, action.outcome == OPEN, action.parked) for action in self.ledger.chosen(event)]
    self.ledger.take(event, self.position)
    if self.expected is None and not chosen:
        self.unheeded.append(event)
    return chosen


def _by_operator(self: Instance, event: Any) -> None:
    """Skip and resolve: what was parked or struggled is settled, and the saga goes on."""
    assert self.decision is not None
    for action, forward, parked in _heed(self, event):
        if not forward:
            settled(self, action)
            continue
        if not parked:
            self.decision.interrupt.append(action)
        if self.program is not None:
            self.program.succeed(action.id, action.value)


def _retried(self: Instance, event: e.Retried) -> None:
    assert self.decision is not None
    for action, forward, parked in _heed(self, event):
        (self.decision.run if forward else self.decision.undo).append(action)
        if parked and not forward:
            _enter_again(self, action)


def _enter_again(self: Instance, action: Any) -> None:
    """A parked compensation is tried again: what it follows waits for it again."""
    plans = [r.plan for r in self.rollbacks if within(action.scope, r.scope)]
    for plan in (self.plan, *plans):
        if plan is not None:
            plan.enter(action)


REACTIONS: dict[type, Callable[[Any, Any], None]] = {
    e.Started: _started,
    Forked: _forked,
    e.Completed: _completed,
    e.Failed: _failed,
    e.AttemptFailed: _attempt_failed,
    e.UndoAttemptFailed: _undo_attempt_failed,
    e.ChildEnded: _child_ended,
    e.Undone: _undo_ended,
    e.UndoFailed: _undo_ended,
    e.Fired: _fired,
    e.Signalled: _signalled,
    e.CancelRequested: _cancel_requested,
    e.PivotAnswered: _pivot_answered,
    e.Skipped: _by_operator,
    e.Resolved: _by_operator,
    e.Retried: _retried,
}
