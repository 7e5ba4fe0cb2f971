"""From a decision to what the store is asked to make durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..definition.naming import RESERVED
from ..kernel import entries as e
from ..kernel.actions import OPEN
from ..kernel.advance import PARENT_TERMINATED
from ..kernel.entries import Row
from ..kernel.holding import PauseRequested, ResumeRequested
from ..kernel.instance import Decision
from ..kernel.ledger import Ledger
from ..kernel.phases import BACKWARD, FINISHED, FORWARD, UNWINDING
from ..store import port
from ..store.port import AuditRecord, Change, Header, Message, Write
from .live import Live

_json = msgspec.json.Encoder(order="deterministic")


def encode_event(event: Any) -> str:
    """An event as inbox rows carry it."""
    return e.encode_entry(event).decode()


def build(live: Live, decision: Decision, row: Row, incarnation: int) -> Write:
    """The write for one activation (without the release, which the caller decides)."""
    header = live.header
    header.updated_at = row.now
    write = Write(header.uid, row)
    if live.fresh:
        write.start = header
    for command in decision.commands:
        kind = type(command)
        if kind is not e.RunStep and (maker := _outward(kind)) is not None:
            maker(live, command, write, incarnation)
    if decision.finished and header.parent:
        write.messages = [*write.messages, ended(live, decision.finished)]
    if live.consumed:
        write.consumed = live.consumed
        live.consumed = []
        unheeded = live.instance.unheeded
        if unheeded:
            write.audit = [no_effect(live, event, row.now) for event in unheeded]
            unheeded.clear()
    ledger = live.instance.ledger
    if ledger.phase is FORWARD and header.status is port.RUNNING and not ledger.troubled:
        return write
    status = status_of(ledger)
    if decision.finished or status != header.status or status == port.ATTENTION:
        write.change = _change(live, status, decision)
    return write


def no_effect(live: Live, event: Any, now: float) -> AuditRecord:
    """An operator's request came too late: what it was for was no longer parked, or all had ended."""
    verb = _REQUESTS[type(event)]
    ended = live.instance.ledger.phase == FINISHED
    why = "the execution had ended" if ended else "what it was for was no longer parked"
    if type(event) is e.Retried and event.args != e.NULL and not ended:
        why += ", or the arguments it had may have had an effect by then"
    detail = getattr(event, "id", "")
    return AuditRecord(now, live.header.uid, event.by or "amends", f"{verb}: no effect", why, detail)


def refused_pivots(live: Live, events: Sequence[Any]) -> list[Message]:
    """Nested sagas that ask a parent for its pivot which was terminated meanwhile must not wait for ever."""
    actions = live.instance.ledger.actions
    asking = [
        actions[event.id] for event in events if type(event) is e.PivotRequested and event.id in actions
    ]
    refusal = encode_event(e.PivotAnswered(PARENT_TERMINATED))
    return [Message(action.uid, refusal) for action in asking]


def is_request(event: Any) -> bool:
    """Did a person ask for this?"""
    return type(event) in _REQUESTS and event.by != "parent"


def status_of(ledger: Ledger) -> str:
    """The status that the ledger shows."""
    if ledger.phase == FINISHED:
        return ledger.status
    if ledger.parked():
        return port.ATTENTION
    if ledger.phase in (UNWINDING, BACKWARD):
        return port.COMPENSATING
    return port.RUNNING


def _change(live: Live, status: str, decision: Decision) -> Change:
    ledger = live.instance.ledger
    header = live.header
    header.status = status
    header.cause = cause_of(ledger, status)
    header.detail = detail_of(ledger, status)
    if decision.finished:
        header.finished_at = decision.now
        if status == port.COMPLETED:
            header.result = bytes(ledger.value).decode()
    return Change(status, header.cause, header.result, header.detail, header.finished_at)


def cause_of(ledger: Ledger, status: str) -> str:
    """Why the execution is not on its way to completion (empty when it is)."""
    if status == port.ATTENTION and not ledger.doomed:
        return "failed"
    return ledger.cause or (ledger.cancel.cause if ledger.cancel else "")


def detail_of(ledger: Ledger, status: str) -> str | None:
    """What people and programs want to know beside the status, as JSON text; None when there is nothing."""
    detail: dict[str, Any] = {}
    if ledger.fault is not None:
        detail["error"] = {"type": ledger.fault.type, "message": ledger.fault.message}
    if ledger.residue:
        detail["residue"] = ledger.residue
    if ledger.terminated is not None:
        detail["terminated"] = {"reason": ledger.terminated.reason, "by": ledger.terminated.by}
    if status == port.ATTENTION:
        detail["items"] = [item_of(action) for action in ledger.parked()]
    return _json.encode(detail).decode() if detail else None


def item_of(action: Any) -> dict[str, Any]:
    """One stuck action, as an operator needs it."""
    undoing = action.outcome != OPEN
    fault = action.undo_fault if undoing else action.fault
    return {
        "action": action.id,
        "step": action.name,
        "direction": "undo" if undoing else "do",
        "why": "retrying" if action.struggling else "compensation failed" if undoing else action.hold,
        "outcome": action.outcome or ("unknown" if action.tainted else "rejected"),
        "attempts": action.undo_attempts if undoing else action.attempts,
        "error": {"type": fault.type, "message": fault.message} if fault else None,
        "arguments": msgspec.Raw(bytes(action.args)),
        "result": msgspec.Raw(bytes(action.value)),
    }


# ---------------------------------------------------------------- commands that reach other executions


def _start_child(live: Live, command: e.StartChild, write: Write, incarnation: int) -> None:
    header = live.header
    child = Header(
        uid=command.uid,
        id=f"{header.id}{RESERVED}{command.id}",
        saga=command.saga,
        version=command.version,
        input=bytes(command.args).decode(),
        created_at=live.instance.ledger.now,
        namespace=header.namespace,
        partition=header.partition,
        owner=incarnation,
        root=header.root or header.uid,
        parent=header.uid,
        parent_action=command.id,
        depth=header.depth + 1,
        deadline=command.deadline,
    )
    write.children = [*write.children, child]


def _to_child(live: Live, id: str, event: Any, write: Write) -> None:
    action = live.instance.ledger.actions.get(id)
    if action is not None and action.kind == "child":
        write.messages = [*write.messages, Message(action.uid, encode_event(event))]


def _interrupt(live: Live, command: e.Interrupt, write: Write, incarnation: int) -> None:
    request = live.instance.ledger.cancel
    reason = request.reason if request else "the parent no longer waits for it"
    _to_child(live, command.id, e.CancelRequested(reason, by="parent"), write)


def _undo(live: Live, command: e.Undo, write: Write, incarnation: int) -> None:
    cause = live.instance.ledger.cause or "cancelled"
    _to_child(live, command.id, e.UndoRequested(cause), write)


def _ask_pivot(live: Live, command: e.AskPivot, write: Write, incarnation: int) -> None:
    header = live.header
    event = e.PivotRequested(header.parent_action)
    write.messages = [*write.messages, Message(header.parent, encode_event(event))]


def _answer_pivot(live: Live, command: e.AnswerPivot, write: Write, incarnation: int) -> None:
    _to_child(live, command.id, e.PivotAnswered(command.refusal), write)


def ended(live: Live, status: str) -> Message:
    """What a finished child tells its parent."""
    ledger, header = live.instance.ledger, live.header
    residue = list(ledger.residue)
    if status == port.TERMINATED:
        by = ledger.terminated.by if ledger.terminated else ""
        reason = ledger.terminated.reason if ledger.terminated else ""
        residue.append(e.Residue(header.parent_action, header.saga, f"terminated: {reason}", header.id, by))
    event = e.ChildEnded(header.parent_action, status, ledger.value, ledger.fault, residue)
    return Message(header.parent, encode_event(event), key=f"ended {header.parent_action} {status}")


_REQUESTS: dict[type, str] = {
    e.Retried: "retry",
    e.Skipped: "skip",
    e.Resolved: "resolve",
    e.CancelRequested: "cancel",
    e.TerminateRequested: "terminate",
    PauseRequested: "pause",
    ResumeRequested: "resume",
}
_OUTWARD: dict[type, Any] = {
    e.StartChild: _start_child,
    e.Interrupt: _interrupt,
    e.Undo: _undo,
    e.AskPivot: _ask_pivot,
    e.AnswerPivot: _answer_pivot,
}
_outward = _OUTWARD.get
