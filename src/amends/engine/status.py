"""Where an execution stands, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec

from ..definition.times import date_of
from ..store.pausing import Pause
from ..store.port import ATTENTION, FINAL, Header

_EPOCH = datetime.fromtimestamp(0, UTC)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `items` lists what is parked, `residue` what was not undone, `error` what went wrong.
    `paused`: it stands still ``since`` (seconds since the epoch), ``by``, ``reason``, the cause ``before``.
    `saga_paused`: it stands still because its saga does (or its namespace: then `saga` is empty).

    An item that belongs to a nested saga names it under ``execution``: act on its handle.  Times are UTC.
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
    paused: Mapping[str, Any] | None = None
    saga_paused: Pause | None = None

    @property
    def parked_whole(self) -> bool:
        """Is the execution parked as such (its journal cannot go on), not one of its actions?"""
        own = [item for item in self.items if "execution" not in item]
        return bool(own) and "action" not in own[0]


class _Detail(TypedDict, total=False):
    """The shape of `Header.detail`."""

    error: dict[str, Any] | None
    terminated: dict[str, Any]
    items: list[dict[str, Any]]
    residue: list[dict[str, Any]]
    paused: dict[str, Any]


_detail: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Detail)
_attributes: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any])


def detail_of(header: Header) -> dict[str, Any]:
    """What the header tells beside its status. Damage is told, not raised: others are listed with it."""
    if not header.detail:
        return {}
    detail, broken = _read(header.detail, _detail, "detail")
    return {"error": broken} if broken else detail


def damaged(header: Header) -> bool:
    """Can what the header tells beside its status not be read?"""
    return _read(header.detail or "{}", _detail, "detail")[1] is not None


def _read(
    text: str, decoder: msgspec.json.Decoder[Any], what: str
) -> tuple[dict[str, Any], dict[str, str] | None]:
    try:
        return decoder.decode(text), None
    except (msgspec.MsgspecError, UnicodeError) as error:
        return {}, {"type": "CorruptHeader", "message": f"the {what} of its header cannot be read: {error}"}


def items_of(header: Header, below: Sequence[Header]) -> list[Mapping[str, Any]]:
    """What is parked: its own, then what holds it from below."""
    items: list[Mapping[str, Any]] = list(detail_of(header).get("items", ()))
    for child in below:
        unread = {"why": child.cause, "message": "what is parked cannot be read"}
        own = detail_of(child).get("items") or [unread]
        items += [{**item, "execution": child.id, "saga": child.saga} for item in own]
    return items


def covering(pauses: Sequence[Pause], header: Header) -> Pause | None:
    """By which of these pauses an execution stands still: of its saga, else of its namespace."""
    if header.status in FINAL:
        return None
    found = [each for each in pauses if each.namespace == header.namespace and each.saga in ("", header.saga)]
    return max(found, key=lambda pause: pause.saga, default=None)


def stand(header: Header, below: Sequence[Header]) -> tuple[str, str]:
    """Status and cause, seen with what holds it from below."""
    if below and header.status not in FINAL:
        return ATTENTION, header.cause or "child"
    return header.status, header.cause


def status_of(header: Header, below: Sequence[Header] = (), pauses: Sequence[Pause] = ()) -> Status:
    """The snapshot that a header tells, with what holds it from below, and what stands still."""
    detail = detail_of(header)
    status, cause = stand(header, below)
    attributes, broken = _read(header.attributes, _attributes, "attributes")
    created = date_of(header.created_at) or _EPOCH
    return Status(
        id=header.id,
        uid=header.uid,
        saga=header.saga,
        version=header.version,
        status=status,
        cause=cause,
        created_at=created,
        updated_at=date_of(header.updated_at or None) or created,
        finished_at=date_of(header.finished_at),
        deadline=date_of(header.deadline),
        wake_at=date_of(header.wake_at or None),
        parent=header.parent,
        attributes=attributes,
        error=detail.get("error") or broken,
        items=items_of(header, below),
        residue=detail.get("residue", ()),
        paused=detail.get("paused"),
        saga_paused=covering(pauses, header),
    )
