"""Where an execution stands, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..store.port import Header


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `items` lists what is parked, `residue` what was not undone, `error` what went wrong.

    Times are UTC.
    """

    id: str
    uid: str
    saga: str
    version: str
    status: str
    cause: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    deadline: datetime | None = None
    wake_at: datetime | None = None
    parent: str = ""
    attributes: Mapping[str, Any] = {}
    error: Mapping[str, Any] | None = None
    items: Sequence[Mapping[str, Any]] = ()
    residue: Sequence[Mapping[str, Any]] = ()

    @property
    def parked_whole(self) -> bool:
        """Is the execution parked as such (its journal cannot go on), not one of its actions?"""
        return bool(self.items) and "action" not in self.items[0]


def _time(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def detail_of(header: Header) -> dict[str, Any]:
    """What the header tells beside its status. Damage is told, not raised: others are listed with it."""
    detail, broken = _mapping(header.detail or "{}", "detail")
    return {"error": broken} if broken else detail


def _mapping(text: str, what: str) -> tuple[dict[str, Any], dict[str, str] | None]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]), None
    except (msgspec.MsgspecError, UnicodeError) as error:
        return {}, {"type": "CorruptHeader", "message": f"the {what} of its header cannot be read: {error}"}


def status_of(header: Header) -> Status:
    """The snapshot that a header tells."""
    detail = detail_of(header)
    attributes, broken = _mapping(header.attributes, "attributes")
    created = datetime.fromtimestamp(header.created_at, UTC)
    return Status(
        id=header.id,
        uid=header.uid,
        saga=header.saga,
        version=header.version,
        status=header.status,
        cause=header.cause,
        created_at=created,
        updated_at=_time(header.updated_at or None) or created,
        finished_at=_time(header.finished_at),
        deadline=_time(header.deadline),
        wake_at=_time(header.wake_at or None),
        parent=header.parent,
        attributes=attributes,
        error=detail.get("error") or broken,
        items=detail.get("items", ()),
        residue=detail.get("residue", ()),
    )
