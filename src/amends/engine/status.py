"""Where an execution stands, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec

from ..store.port import Header

_EPOCH = datetime.fromtimestamp(0, UTC)


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


class _Detail(TypedDict, total=False):
    """The shape of `Header.detail`."""

    error: dict[str, Any] | None
    terminated: dict[str, Any]
    items: list[dict[str, Any]]
    residue: list[dict[str, Any]]


def _time(value: float | None) -> datetime | None:
    """A moment; one that is none (damage) is left out."""
    try:
        return None if value is None else datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def detail_of(header: Header) -> dict[str, Any]:
    """What the header tells beside its status. Damage is told, not raised: others are listed with it."""
    detail, broken = _read(header.detail or "{}", _Detail, "detail")
    return {"error": broken} if broken else detail


def _read(text: str, shape: Any, what: str) -> tuple[dict[str, Any], dict[str, str] | None]:
    try:
        return msgspec.json.decode(text, type=shape), None
    except (msgspec.MsgspecError, UnicodeError) as error:
        return {}, {"type": "CorruptHeader", "message": f"the {what} of its header cannot be read: {error}"}


def status_of(header: Header) -> Status:
    """The snapshot that a header tells."""
    detail = detail_of(header)
    attributes, broken = _read(header.attributes, dict[str, Any], "attributes")
    created = _time(header.created_at) or _EPOCH
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
