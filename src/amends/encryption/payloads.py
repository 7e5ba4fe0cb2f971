"""Where payloads stand in entries of the journal, told by the types of their fields.

`Raw` is a payload; of a `Fault` the message and the details are; of a `Residue` the reason is.  All other
texts (ids, names, what operators say) stay as they are.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, Protocol, cast

import msgspec

from ..kernel import entries as e
from ..kernel.entries import NULL, Fault, Raw, Residue

CLEAR = frozenset(
    (
        "type",
        "action",
        "step",
        "execution",
        "by",
        "direction",
        "why",
        "outcome",
        "attempts",
        "do",
        "terminated",
    )
)
"""Keys of a header's detail whose values stay clear; what stands under any other is a payload."""

_INSIDE = frozenset({"error", "residue", "items"})


class Hand(Protocol):
    """What is done to each payload: enclosed, or opened. `place` is unique within its entry."""

    def raw(self, place: str, data: bytes) -> bytes:
        """To a payload's JSON."""
        ...

    def text(self, place: str, text: str) -> str:
        """To a text."""
        ...


Handle = Callable[[Hand, str, Any], Any]


def _raw(hand: Hand, place: str, value: Raw) -> Raw:
    return value if value == NULL else Raw(hand.raw(place, bytes(value)))


def _fault(hand: Hand, place: str, value: Fault | None) -> Fault | None:
    if value is None:
        return None
    message = hand.text(f"{place}.message", value.message) if value.message else ""
    return Fault(value.type, message, _raw(hand, f"{place}.details", value.details))


def _residue(hand: Hand, place: str, value: list[Residue]) -> list[Residue]:
    return [
        msgspec.structs.replace(each, reason=hand.text(f"{place}.{at}", each.reason)) if each.reason else each
        for at, each in enumerate(value)
    ]


_KINDS: Mapping[Any, Handle] = {
    Raw: _raw,
    Fault: _fault,
    Fault | None: _fault,
    list[Residue]: _residue,
}


@cache
def payloads_of(kind: Any) -> tuple[tuple[str, Handle], ...]:
    """The fields of an entry in which payloads stand."""
    hints = typing.get_type_hints(kind)
    return tuple((name, _KINDS[hints[name]]) for name in kind.__struct_fields__ if hints[name] in _KINDS)


def passed(entry: Any, hand: Hand) -> Any:
    """The entry, with each of its payloads as the hand made it."""
    kind = type(entry)
    fields = payloads_of(cast("Hashable", kind))
    if not fields:
        return entry
    where = f"{kind.__struct_config__.tag}/{getattr(entry, 'id', '') or getattr(entry, 'name', '')}"
    changes = {name: handle(hand, f"{where}/{name}", getattr(entry, name)) for name, handle in fields}
    return msgspec.structs.replace(entry, **changes)


def detail_passed(detail: str, hand: Hand) -> str:
    """A header's detail, likewise. (What is no JSON object stays as it is: it is damaged.)"""
    try:
        given = msgspec.json.decode(detail)
    except msgspec.MsgspecError:
        return detail
    return msgspec.json.encode(_walked(given, "detail", hand)).decode() if isinstance(given, dict) else detail


def _walked(value: Any, place: str, hand: Hand) -> Any:
    if isinstance(value, list):
        return [_walked(each, f"{place}/{at}", hand) for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {key: _kept(key, each, f"{place}/{key}", hand) for key, each in value.items()}


def _kept(key: str, value: Any, place: str, hand: Hand) -> Any:
    if value is None or key in CLEAR:
        return value
    if key in _INSIDE and isinstance(value, (dict, list)):
        return _walked(value, place, hand)
    if isinstance(value, str):
        return hand.text(place, value)
    return Raw(hand.raw(place, msgspec.json.encode(value)))


def events_passed(text: str, hand: Hand) -> str:
    """A row's events."""
    return e.encode_entry([passed(each, hand) for each in e.decode_events(text)]).decode()


def commands_passed(text: str, hand: Hand) -> str:
    """A row's commands."""
    return e.encode_entry([passed(each, hand) for each in e.decode_commands(text)]).decode()


def event_passed(text: str, hand: Hand) -> str:
    """A message's event."""
    return e.encode_entry(passed(e.decode_event(text), hand)).decode()
