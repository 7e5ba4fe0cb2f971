"""How the ledger takes each command that this execution issues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import entries as e
from .actions import REJECTED, SUCCEEDED, UNDO_RESIDUE, UNDO_RUNNING, UNKNOWN, Action
from .entries import Residue
from .phases import BACKWARD, FINISHED, RETURNED, UNWINDING
from .taking import end_failed

if TYPE_CHECKING:
    from .ledger import Ledger


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
        end_failed(self, action, UNKNOWN if action.tainted else REJECTED, position)


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
    if command.status == "terminated":
        self.cause = command.status
    self.timers.clear()
    self.awaited.clear()


ISSUE: dict[type, Callable[[Ledger, Any, int], object]] = {
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
