"""How the ledger takes each event.

An event that comes too late, for an action that has its outcome, changes nothing.

Live, the commands that an event brings are issued before the row's next event is taken; a fold takes
all events of a row first.  Both come to the same, since what commands change is not what events look
at; but for the pairs of `ORDERED`: there the row says what came first (`entries.Heed`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import entries as e
from .actions import (
    OPEN,
    REJECTED,
    SUCCEEDED,
    UNDO_DONE,
    UNDO_PARKED,
    UNDO_RESIDUE,
    UNDO_RUNNING,
    UNKNOWN,
    Action,
)
from .entries import NULL, Raw, Residue
from .forking import Forked
from .phases import BACKWARD, FINISHED, FORWARD

if TYPE_CHECKING:
    from .ledger import Ledger


def _started(self: Ledger, event: e.Started, position: int) -> None:
    self.started = event
    self.next_args = None
    self.run = event.run
    self.phase = FORWARD
    if event.deadline is not None:
        self.deadline = event.deadline
    self.timers.clear()
    self.awaited.clear()


def _forked(self: Ledger, event: Forked, position: int) -> None:
    """What was begun keeps the keys it began with, and has as much time as it had left."""
    self.forked = event
    for action in self.actions.values():
        action.origin = action.origin or event.uid
        action.opened_at += event.idle
    self.timers = {id: due + event.idle for id, due in self.timers.items()}
    if self.deadline is not None:
        self.deadline += event.idle


def complete(self: Ledger, event: e.Completed, position: int) -> None:
    """Apply `Completed` (the most frequent event, so without a table)."""
    action = self.actions.get(event.id)
    if action is None or action.outcome:
        return
    if not action.undo:
        del self.actions[event.id]
    action.outcome = SUCCEEDED
    action.value = event.value
    action.end = position
    action.hold = ""
    action.fault = None


def _failed(self: Ledger, event: e.Failed, position: int) -> None:
    action = self.actions.get(event.id)
    if action is None or action.outcome != OPEN:
        return
    action.fault = event.fault
    action.tainted = event.outcome == UNKNOWN
    if event.hold and not action.interrupted:
        action.hold = event.hold
        self.troubled[action.id] = action
    else:
        end_failed(self, action, event.outcome, position)


def end_failed(self: Ledger, action: Action, outcome: str, position: int) -> None:
    """Give an action its outcome; where nothing is left to undo it is forgotten."""
    action.hold = ""
    action.outcome = outcome
    action.end = position
    if outcome == REJECTED or action.undo == e.UNDO_NONE:
        del self.actions[action.id]


def _attempt_failed(self: Ledger, event: e.AttemptFailed, position: int) -> None:
    action = self.actions.get(event.id)
    if action is None or action.outcome != OPEN:
        return
    action.attempts = event.attempt
    action.fault = event.fault
    action.tainted = action.tainted or event.tainted
    action.retry_at = event.retry_at
    action.opened_at += event.paused


def _fired(self: Ledger, event: e.Fired, position: int) -> None:
    self.timers.pop(event.id, None)


def _signalled(self: Ledger, event: e.Signalled, position: int) -> None:
    if event.key:
        key = f"{event.name} {event.key}"
        if key in self.signal_keys:
            return
        self.signal_keys.add(key)
    waiting = next((id for id, name in self.awaited.items() if name == event.name), None)
    if waiting is None:
        self.signals.setdefault(event.name, deque()).append(event.value)
    else:
        del self.awaited[waiting]
        self.given = (waiting, event.value)


def _cancel_requested(self: Ledger, event: e.CancelRequested, position: int) -> None:
    if self.phase == FORWARD and not self.pivoted and self.cancel is None:
        self.cancel = event


def _child_ended(self: Ledger, event: e.ChildEnded, position: int) -> None:
    action = self.actions.get(event.id)
    if action is None:
        return
    if action.outcome == OPEN:
        action.end = position
        action.fault = event.fault
        if event.status == "completed":
            action.outcome = SUCCEEDED
            action.value = event.value
            return
        self.residue.extend(event.residue)
        action.outcome = REJECTED
        del self.actions[event.id]
    elif action.undo_state in (UNDO_RUNNING, UNDO_PARKED):
        self.residue.extend(event.residue)
        action.undo_state = UNDO_DONE


def _undo_requested(self: Ledger, event: e.UndoRequested, position: int) -> None:
    if self.status == "completed":
        self.phase = BACKWARD
        self.cause = event.cause
        self.status = ""


def _pivot_requested(self: Ledger, event: e.PivotRequested, position: int) -> None:
    if event.id not in self.asked_by:
        self.asked_by.append(event.id)


def _pivot_answered(self: Ledger, event: e.PivotAnswered, position: int) -> None:
    self.asking = ""
    if not event.refusal:
        self.pivoted = True
        self.cancel = None  # it came while the ancestors were asked, and they have passed the pivot


def _undone(self: Ledger, event: e.Undone, position: int) -> None:
    action = self.actions.get(event.id)
    if action is not None and action.undo_state in (UNDO_RUNNING, UNDO_PARKED):
        action.undo_state = UNDO_DONE
        action.undo_fault = None
        self.residue.extend(event.residue)


def _undo_attempt_failed(self: Ledger, event: e.UndoAttemptFailed, position: int) -> None:
    action = self.actions.get(event.id)
    if action is not None:
        action.undo_attempts = event.attempt
        action.undo_fault = event.fault
        action.undo_retry_at = event.retry_at
        action.undo_opened_at += event.paused


def _undo_failed(self: Ledger, event: e.UndoFailed, position: int) -> None:
    action = self.actions.get(event.id)
    if action is None or action.undo_state != UNDO_RUNNING:
        return
    action.undo_attempts += 1
    action.undo_fault = event.fault
    if event.critical:
        action.undo_state = UNDO_PARKED
        self.troubled[action.id] = action
    else:
        action.undo_state = UNDO_RESIDUE
        reason = f"compensation failed: {event.fault.type}: {event.fault.message}"
        self.residue.append(Residue(action.id, action.name, reason))


def _retried(self: Ledger, event: e.Retried, position: int) -> None:
    for action in self.chosen(event):
        if action.hold:
            action.hold = ""
            action.attempts = 0
            if event.args != NULL:
                action.args = event.args
                action.key_suffix = f"+{position}"
        elif action.undo_state == UNDO_PARKED:
            action.undo_state = UNDO_RUNNING
            action.undo_attempts = 0
            action.undo_opened_at = self.now
        if action.outcome == OPEN:
            action.retry_at = 0.0
        else:
            action.undo_retry_at = 0.0


def _skipped(self: Ledger, event: e.Skipped, position: int) -> None:
    for action in self.chosen(event):
        if action.outcome == OPEN:
            perhaps = action.tainted or not (action.hold or action.retry_at > self.now)
            _by_hand(self, action, NULL, position)
            action.undo_state = UNDO_DONE
            if perhaps:
                reason = f"skipped by {event.by or 'an operator'}: {event.reason}"
                self.residue.append(Residue(action.id, action.name, reason, by=event.by))
        else:
            action.undo_state = UNDO_RESIDUE
            reason = f"compensation skipped: {event.reason}"
            self.residue.append(Residue(action.id, action.name, reason, by=event.by))


def _resolved(self: Ledger, event: e.Resolved, position: int) -> None:
    for action in self.chosen(event):
        if action.outcome == OPEN:
            _by_hand(self, action, event.value, position)
        else:
            action.undo_state = UNDO_DONE
            action.undo_fault = None


def _by_hand(self: Ledger, action: Action, value: Raw, position: int) -> None:
    action.hold = ""
    action.outcome = SUCCEEDED
    action.value = value
    action.end = position
    action.fault = None


def _terminate_requested(self: Ledger, event: e.TerminateRequested, position: int) -> None:
    if self.phase != FINISHED:
        self.terminated = event


TAKE: dict[type, Callable[[Ledger, Any, int], object]] = {
    e.Started: _started,
    Forked: _forked,
    e.Completed: complete,
    e.Failed: _failed,
    e.AttemptFailed: _attempt_failed,
    e.Fired: _fired,
    e.Signalled: _signalled,
    e.CancelRequested: _cancel_requested,
    e.ChildEnded: _child_ended,
    e.UndoRequested: _undo_requested,
    e.PivotRequested: _pivot_requested,
    e.PivotAnswered: _pivot_answered,
    e.Undone: _undone,
    e.UndoAttemptFailed: _undo_attempt_failed,
    e.UndoFailed: _undo_failed,
    e.Retried: _retried,
    e.Skipped: _skipped,
    e.Resolved: _resolved,
    e.TerminateRequested: _terminate_requested,
}

ORDERED: dict[type, type] = {
    e.Signalled: e.StopAwait,  # who waits for it?
    e.Retried: e.Interrupt,  # what is parked, or struggles?
    e.Skipped: e.Interrupt,
    e.Resolved: e.Interrupt,
}
"""Events, each with the command that changes what it finds."""
