"""What programs read with --json: plain mappings whose fields are part of the interface.

Fields are only ever added. Times are ISO 8601 in UTC, durations seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..engine.forking import forked_as
from ..engine.status import Status, detail_of, status_of
from ..kernel.entries import NULL, Fault
from ..store.pausing import Pause
from ..store.port import AuditRecord, Header
from .render.text import utc
from .story import Act, Story, Wait


def execution(header: Header, pauses: Sequence[Pause] = ()) -> dict[str, Any]:
    """What a header tells; pauses: those of its namespace."""
    status = status_of(header, pauses=pauses)
    return {
        "id": header.id,
        "uid": header.uid,
        "saga": header.saga,
        "version": header.version,
        "status": header.status,
        "cause": header.cause,
        "created_at": utc(header.created_at),
        "updated_at": utc(header.updated_at or header.created_at),
        "finished_at": utc(header.finished_at),
        "deadline": utc(header.deadline),
        "wake_at": utc(header.wake_at or None),
        "parent": header.parent,
        "attributes": status.attributes,
        "error": status.error,
        "items": status.items,
        "residue": status.residue,
        "paused": _paused(status),
        "saga_paused": None if status.saga_paused is None else pause(status.saga_paused),
    }


def pause(held: Pause) -> dict[str, Any]:
    """A saga that stands still (none: the namespace)."""
    return {**msgspec.structs.asdict(held), "since": utc(held.since)}


def _paused(status: Status) -> dict[str, Any] | None:
    return None if status.paused is None else {**status.paused, "since": utc(status.paused.get("since"))}


def outcome(header: Header, pauses: Sequence[Pause] = ()) -> dict[str, Any]:
    """How it ended: the header, and what the saga returned."""
    return {**execution(header, pauses), "result": _json(header.result)}


def shown(
    header: Header,
    story: Story,
    children: list[dict[str, Any]],
    audit: list[AuditRecord],
    worker: int | None,
    pauses: Sequence[Pause],
) -> dict[str, Any]:
    """All that `show` shows."""
    return {
        **outcome(header, pauses),
        "arguments": _json(header.input),
        "forked_from": story.forked_from,
        "forked_as": forked_as(audit),
        "rows": story.rows,
        "damage": story.broken,
        "terminated": detail_of(header).get("terminated"),
        "worker": worker,
        "steps": [act(one) for one in story.acts],
        "waits": [wait(one) for one in story.waits if one.state == "waiting"],
        "moments": [{"at": utc(m.at), "what": m.what, "text": m.text} for m in story.moments],
        "children": children,
        "audit": [record(one) for one in audit],
    }


def act(one: Act) -> dict[str, Any]:
    """One action."""
    action = one.action
    undo: dict[str, Any] | None = None
    if one.undo:
        undo = {
            "state": one.undo,
            "began_at": utc(one.undo_began),
            "ended_at": utc(one.undo_ended),
            "attempts": action.undo_attempts,
            "error": _fault(action.undo_fault),
            "retry_at": utc(action.undo_retry_at or None) if one.undo == "retrying" else None,
        }
    return {
        "action": action.id,
        "kind": action.kind,
        "name": action.name,
        "state": one.state,
        "began_at": utc(one.began),
        "ended_at": utc(one.ended),
        "attempts": action.attempts,
        "tainted": action.tainted,
        "error": _fault(action.fault),
        "retry_at": utc(action.retry_at) if one.state == "retrying" else None,
        "arguments": action.args,
        "result": action.value if action.value != NULL else None,
        "undo": undo,
    }


def wait(one: Wait) -> dict[str, Any]:
    """Something it waits for."""
    return {"kind": one.kind, "name": one.name, "since": utc(one.began), "due": utc(one.due)}


def record(one: AuditRecord) -> dict[str, Any]:
    """What an operator did."""
    return {"at": utc(one.at), "by": one.by, "action": one.action, "reason": one.reason, "detail": one.detail}


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    return None if fault is None else {"type": fault.type, "message": fault.message}


def _json(text: str | None) -> Any:
    """Stored JSON as it is; damage as text."""
    if text is None:
        return None
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return msgspec.Raw(text.encode())
