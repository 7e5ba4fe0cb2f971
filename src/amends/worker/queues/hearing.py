"""The owner's side, coming back: reports that become events, by the same rules as local ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...definition.context import Current
from ...definition.step import Step, StepOptions
from ...errors import AmendsError, CorruptJournal, DefinitionError, PayloadError, Unopened
from ...kernel import entries as e
from ...kernel.actions import OPEN, REJECTED, UNKNOWN, Action
from ...store import queueing
from ...store.port import Message
from ...store.queueing import End, Told, decode_end
from .. import conclusions
from ..attempts import PROBE
from ..calling import current_of
from ..conclusions import Interrupted, Reported, conclude_undo, is_a
from ..live import Live

if TYPE_CHECKING:
    from ..worker import Worker

DEAD = "dead task"
"""Why an action is held whose task lapsed too often."""


def is_report(message: Message) -> bool:
    """Is it the report of a task's end?"""
    return queueing.is_report(message.key)


class Hearing:
    """See the package. Of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def hear(self, live: Live, message: Message) -> None:
        """A report has come: the event it is goes to the execution. Where the participant has to be asked
        first, the report stays in the inbox until that is answered. Raises `CorruptJournal`."""
        try:
            end = decode_end(message.event)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise CorruptJournal(f"a report of a queue cannot be read: {error}") from error
        if self._worker.attempts.adopt((live.header.uid, end.action, PROBE)):
            return
        event = self._event_of(live, end, message.seq)
        if event is not None:
            self._heard(live, end, message.seq, event)
        else:
            live.away.discard((end.action, end.direction))  # it does not sleep meanwhile

    def _heard(self, live: Live, end: End, seq: int, event: Any) -> None:
        live.consumed.append(seq)
        live.reported.append((end.action, end.direction))
        live.away.discard((end.action, end.direction))
        self._worker.deliver(live, event)

    def answered(self, uid: str, end: End, seq: int, event: Any) -> None:
        """The participant was asked. If the execution left meanwhile, who loads it finds the report."""
        live = self._worker.lives.get(uid)
        if live is not None and seq <= live.last_seq and seq not in live.consumed:
            self._heard(live, end, seq, event)

    def _event_of(self, live: Live, end: End, seq: int) -> Any:
        action = live.instance.ledger.actions.get(end.action)
        if action is None:  # decided by hand, and done with
            return e.Failed(end.action, _fault(end), UNKNOWN)
        step, policy = self._definition(live, action)
        if end.lapses:
            action.tainted = action.tainted or action.outcome == OPEN
            timeout = policy.timeout if policy is not None else None
            until = end.lapsed_at + (timeout or 0.0) + self._worker.settings.grace
            live.lost[action.id] = max(until, live.lost.get(action.id, 0.0))
        if end.lost_until:
            live.lost[action.id] = max(end.lost_until, live.lost.get(action.id, 0.0))
        if end.direction == "undo":
            return self._undone(action, step, end)
        if end.how == "completed":
            return e.Completed(action.id, e.Raw(end.value))
        if end.how == "dead" and not action.interrupted:
            return e.Failed(action.id, _fault(end), UNKNOWN, DEAD)
        if end.how == "refused" or step is None or policy is None:
            outcome = UNKNOWN if action.tainted else REJECTED
            return e.Failed(action.id, _fault(end), outcome, _refusal(end))
        return self._failed(live, action, step, policy, end, seq)

    def _definition(self, live: Live, action: Action) -> tuple[Step[..., Any] | None, StepOptions | None]:
        try:
            return self._worker.dispatcher.definition(live, action)
        except AmendsError:
            return None, None

    def _failed(
        self, live: Live, action: Action, step: Step[..., Any], policy: StepOptions, end: End, seq: int
    ) -> Any:
        current = current_of(Current, live.header, action, end.attempt + end.lapses, "do", None)
        dispatcher = self._worker.dispatcher
        uid = live.header.uid

        def answered(event: Any) -> None:  # perhaps to the worker that took over in this process
            dispatcher.worker.hearing.answered(uid, end, seq, event)

        error = _error_of(end)
        return dispatcher.concluded(action, step, policy, current, error, False, live, answered=answered)

    def _undone(self, action: Action, step: Step[..., Any] | None, end: End) -> Any:
        if end.how == "completed":
            return e.Undone(action.id)
        if end.how in ("dead", "refused"):
            return e.UndoFailed(action.id, _fault(end))
        worker = self._worker
        attempt = end.attempt + end.lapses
        chance = worker.dispatcher.chance
        return conclude_undo(action, attempt, _error_of(end), step, now=worker.clock.now(), chance=chance)


def _error_of(end: End) -> BaseException:
    if end.error is not None:
        return Reported(end.error)
    stopped = Interrupted("withdrawn from its queue")
    stopped.began = end.lapses > 0
    return stopped


def _fault(end: End) -> e.Fault:
    told = end.error
    if told is not None:
        return e.Fault(told.type, told.message, e.Raw(told.details))
    if end.how == "dead":
        return e.Fault(
            "LeaseLapsed",
            f"{end.lapses} leases in a row ran out: whoever took the task died, or was cut off",
        )
    return e.Fault("Interrupted", "withdrawn from its queue")


def _refusal(end: End) -> str:
    error = Reported(end.error or Told("", ""))
    if is_a(error, (PayloadError,)):
        return conclusions.refusal(PayloadError(""))
    if is_a(error, (Unopened,)):
        return Unopened.cause
    return "resource" if is_a(error, (DefinitionError,)) else "missing_definition"
