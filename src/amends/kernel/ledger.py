"""The ledger: what the journal says, and nothing else.

**Theory of operation.**  `take` applies an event, `issue` a command, both at a journal position.
The ledger is the fold of these two over the rows, so it is the same whether they are live, replayed
with the saga's code, or folded without it; that is why a completed execution can be undone weeks
and deploys later.  It never decides anything: decisions are commands.

An *action* (a step, a child, an ad hoc compensation) goes through

    open ──► succeeded | rejected | unknown          (its outcome, at row `end`)
                 └────────────► undo: running ⇄ parked ──► done | residue

`hold` parks an open action for a person instead of giving it an outcome.  What must still be undone is
never stored: it is every action that succeeded or is unknown, has an undo, and is not undone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

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
    within,
)
from .entries import NULL, Fault, Raw, Residue

FORWARD, RETURNED, UNWINDING, BACKWARD, FINISHED = (
    "forward",
    "returned",
    "unwinding",
    "backward",
    "finished",
)


class Ledger:
    """The state of one execution as its journal tells it."""

    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}
        self.timers: dict[str, float] = {}
        self.signals: dict[str, deque[Raw]] = {}
        self.signal_keys: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.given: tuple[str, Raw] = ("", NULL)
        self.patches: set[str] = set()
        self.residue: list[Residue] = []
        self.started: e.Started | None = None
        self.run = 0
        self.phase = FORWARD
        self.cause = ""
        self.fault: Fault | None = None
        self.value = NULL
        self.status = ""
        self.cancel: e.CancelRequested | None = None
        self.pivoted = False
        self.asking = ""
        self.asked_by: list[str] = []
        self.troubled: dict[str, Action] = {}
        self.terminated: e.TerminateRequested | None = None
        self.next_args: Raw | None = None
        self.deadline: float | None = None
        self.now = 0.0
        self._instants = 0

    # ------------------------------------------------------------ questions

    @property
    def doomed(self) -> bool:
        """Will it certainly be undone? (While the ancestors are asked about the pivot, a cancel waits.)"""
        if self.phase == FORWARD:
            return self.cancel is not None and not self.asking
        return self.phase in (UNWINDING, BACKWARD)

    @property
    def closing(self) -> bool:
        """May the saga's code start nothing new any more (unless shielded)?"""
        return self.phase != FORWARD or (self.cancel is not None and not self.asking)

    def owed(self, scope: str = "") -> list[Action]:
        """What must be undone, within a savepoint's scope or (empty) in all."""
        return [a for a in self.actions.values() if a.owed and within(a.scope, scope)]

    def open(self) -> Iterator[Action]:
        """Actions without an outcome yet."""
        return (a for a in self.actions.values() if a.outcome == OPEN)

    def parked(self) -> list[Action]:
        """Actions that wait for a person."""
        if not self.troubled:
            return []
        self.troubled = {id: action for id, action in self.troubled.items() if action.parked}
        return list(self.troubled.values())

    # ------------------------------------------------------------ the fold

    def take(self, event: e.Event, position: int) -> None:
        """Apply an event of the row at `position`."""
        _TAKE[type(event)](self, event, position)

    def issue(self, command: e.Command, position: int) -> None:
        """Apply a command of the row at `position`."""
        handler = _ISSUE.get(type(command))
        if handler is not None:  # some only show in the history
            handler(self, command, position)

    def instant(self, position: int) -> float:
        """An order number within `position` for what starts and ends in one row."""
        self._instants += 1
        return position + self._instants * 1e-7


# ---------------------------------------------------------------- events


def _started(self: Ledger, event: e.Started, position: int) -> None:
    self.started = event
    self.next_args = None
    self.run = event.run
    self.phase = FORWARD
    if event.deadline is not None:
        self.deadline = event.deadline
    self.timers.clear()
    self.awaited.clear()


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
        _end_failed(self, action, event.outcome, position)


def _end_failed(self: Ledger, action: Action, outcome: str, position: int) -> None:
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


def _chosen(self: Ledger, id: str) -> list[Action]:
    """The parked actions an operator means: the one with that id, or all."""
    return [a for a in self.parked() if not id or a.id == id]


def _retried(self: Ledger, event: e.Retried, position: int) -> None:
    for action in [a for a in _chosen(self, event.id) if event.args == NULL or a.takes_arguments]:
        if action.hold:
            action.hold = ""
            action.retry_at = 0.0
            action.attempts = 0
            if event.args != NULL:
                action.args = event.args
                action.key_suffix = f"+{position}"
        else:
            action.undo_state = UNDO_RUNNING
            action.undo_attempts = 0
            action.undo_retry_at = 0.0
            action.undo_opened_at = self.now


def _skipped(self: Ledger, event: e.Skipped, position: int) -> None:
    for action in _chosen(self, event.id):
        if action.hold:
            _by_hand(self, action, NULL, position)
            action.undo_state = UNDO_DONE
            if action.tainted:
                reason = f"skipped by {event.by or 'an operator'}: {event.reason}"
                self.residue.append(Residue(action.id, action.name, reason, by=event.by))
        else:
            action.undo_state = UNDO_RESIDUE
            reason = f"compensation skipped: {event.reason}"
            self.residue.append(Residue(action.id, action.name, reason, by=event.by))


def _resolved(self: Ledger, event: e.Resolved, position: int) -> None:
    for action in _chosen(self, event.id):
        if action.hold:
            _by_hand(self, action, event.value, position)
        else:
            action.undo_state = UNDO_DONE


def _by_hand(self: Ledger, action: Action, value: Raw, position: int) -> None:
    action.hold = ""
    action.outcome = SUCCEEDED
    action.value = value
    action.end = position


def _terminate_requested(self: Ledger, event: e.TerminateRequested, position: int) -> None:
    if self.phase != FINISHED:
        self.terminated = event


_TAKE: dict[type, Callable[[Ledger, Any, int], object]] = {
    e.Started: _started,
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

# ---------------------------------------------------------------- commands


def open_step(self: Ledger, command: e.RunStep, position: int) -> Action:
    """Apply `RunStep` and return its action (the most frequent command, so without a table)."""
    self.actions[command.id] = action = Action(
        command.id,
        "step",
        command.step,
        command.args,
        command.undo,
        command.scope,
        position,
        position + 0.5,
        self.run,
        self.now,
    )
    return action


def _start_child(self: Ledger, command: e.StartChild, position: int) -> None:
    place = (command.scope, position, position + 0.5, self.run, self.now)
    action = Action(command.id, "child", command.saga, command.args, e.UNDO_STEP, *place)
    action.uid, action.version = command.uid, command.version
    self.actions[command.id] = action


def _undo_with(self: Ledger, command: e.UndoWith, position: int) -> None:
    moment = self.instant(position)
    place = (command.scope, position, moment, self.run, self.now, moment, SUCCEEDED)
    action = Action(command.id, "adhoc", command.step, command.args, e.UNDO_STEP, *place)
    self.actions[command.id] = action


def _start_timer(self: Ledger, command: e.StartTimer, position: int) -> None:
    self.timers[command.id] = command.due


def _cancel_timer(self: Ledger, command: e.CancelTimer, position: int) -> None:
    self.timers.pop(command.id, None)


def _await_signal(self: Ledger, command: e.AwaitSignal, position: int) -> None:
    kept = self.signals.get(command.name)
    if kept:
        self.given = (command.id, kept.popleft())
    else:
        self.awaited[command.id] = command.name


def _stop_await(self: Ledger, command: e.StopAwait, position: int) -> None:
    self.awaited.pop(command.id, None)


def _interrupt(self: Ledger, command: e.Interrupt, position: int) -> None:
    """Nobody waits for it any more. If it was parked, its outcome is what is known."""
    action = self.actions.get(command.id)
    if action is None:
        return
    action.interrupted = True
    if action.hold:
        _end_failed(self, action, UNKNOWN if action.tainted else REJECTED, position)


def _undo(self: Ledger, command: e.Undo, position: int) -> None:
    action = self.actions[command.id]
    if action.undo == e.UNDO_IRREVERSIBLE:
        action.undo_state = UNDO_RESIDUE
        self.residue.append(Residue(action.id, action.name, "irreversible"))
    else:
        action.undo_state = UNDO_RUNNING
        action.undo_opened_at = self.now


def _pivot(self: Ledger, command: e.Pivot, position: int) -> None:
    self.pivoted = True
    self.cancel = None  # the fold takes a row's events first, but this cancel came after the pivot


def _ask_pivot(self: Ledger, command: e.AskPivot, position: int) -> None:
    self.asking = command.id


def _answer_pivot(self: Ledger, command: e.AnswerPivot, position: int) -> None:
    if command.id in self.asked_by:
        self.asked_by.remove(command.id)


def _patch(self: Ledger, command: e.Patch, position: int) -> None:
    self.patches.add(command.change)


def _return(self: Ledger, command: e.Return, position: int) -> None:
    self.phase = RETURNED
    self.value = command.value


def _unwind(self: Ledger, command: e.Unwind, position: int) -> None:
    self.phase = UNWINDING
    self.cause = command.cause
    self.fault = command.fault


def _backward(self: Ledger, command: e.Backward, position: int) -> None:
    """Nothing runs any more, so what has no outcome yet will never tell: it is unknown."""
    self.phase = BACKWARD
    self.next_args = None
    self.timers.clear()
    self.awaited.clear()
    for action in list(self.open()):
        if action.kind == "step":
            action.outcome = UNKNOWN
            action.end = position
            action.hold = ""


def _continue(self: Ledger, command: e.ContinueAsNew, position: int) -> None:
    self.next_args = command.args
    self.timers.clear()
    self.awaited.clear()


def _finish(self: Ledger, command: e.Finish, position: int) -> None:
    self.phase = FINISHED
    self.status = command.status
    self.timers.clear()
    self.awaited.clear()


_ISSUE: dict[type, Callable[[Ledger, Any, int], object]] = {
    e.RunStep: open_step,
    e.StartTimer: _start_timer,
    e.CancelTimer: _cancel_timer,
    e.StartChild: _start_child,
    e.AwaitSignal: _await_signal,
    e.StopAwait: _stop_await,
    e.Interrupt: _interrupt,
    e.Undo: _undo,
    e.UndoWith: _undo_with,
    e.Pivot: _pivot,
    e.AskPivot: _ask_pivot,
    e.AnswerPivot: _answer_pivot,
    e.Patch: _patch,
    e.Return: _return,
    e.Unwind: _unwind,
    e.Backward: _backward,
    e.ContinueAsNew: _continue,
    e.Finish: _finish,
}
