"""Where payloads stand in journals: no field escapes by being forgotten."""

from __future__ import annotations

import typing

import msgspec

from amends.encryption.payloads import detail_passed, passed, payloads_of
from amends.kernel import entries as e
from amends.kernel.entries import Fault, Raw, Residue

ENTRIES = (*typing.get_args(e.Event), *typing.get_args(e.Command))

# Texts and numbers of entries that stay clear, by name. What is new here must be thought about: can a user's data get
# into it? (`reason`, `refusal`: what operators and the library say.)
CLEAR = {
    "id", "run", "python", "kernel", "deadline", "outcome", "hold", "attempt", "tainted", "retry_at", "paused", "name",
    "key", "reason", "cause", "at",
    "by", "status", "refusal", "critical", "step", "undo", "scope", "due", "saga", "version",
    "uid", "change", "events", "source", "action", "idle",
}  # fmt: skip


class Mark:
    def raw(self, place: str, data: bytes) -> bytes:
        return msgspec.json.encode(place)

    def text(self, place: str, text: str) -> str:
        return place


def test_every_field_is_a_payload_or_known_to_be_clear() -> None:
    for kind in ENTRIES:
        handled = {name for name, _ in payloads_of(kind)}
        assert set(kind.__struct_fields__) - handled <= CLEAR, kind
        assert not handled & CLEAR, kind


def test_places_are_unique_and_named() -> None:
    fault = Fault("Broken", "personal", Raw(b'"personal"'))
    left = [Residue("1", "shop.pay", "personal"), Residue("2", "shop.pay", "personal")]
    ended = passed(e.ChildEnded("7", "compensated", Raw(b"1"), fault, left), Mark())
    said = [bytes(ended.value), ended.fault.message.encode(), bytes(ended.fault.details)]
    said += [each.reason.encode() for each in ended.residue]
    assert len(set(said)) == 5
    assert all(b"child_ended/7/" in each for each in said)
    assert b"personal" not in e.encode_entry(ended)
    assert ended.fault.type == "Broken"


def test_what_is_not_there_stays_so() -> None:
    for entry in (
        e.Failed("1", Fault("Broken", ""), "unknown"),
        e.Retried("1"),
        e.ChildEnded("1", "completed"),
    ):
        assert passed(entry, Mark()) == entry


def test_detail_keeps_its_shape() -> None:
    detail = {
        "error": {"type": "Broken", "message": "personal"},
        "items": [
            {
                "action": "1", "step": "shop.pay", "direction": "do", "why": "ask", "outcome": "unknown",
                "attempts": 3, "error": {"type": "Broken", "message": "personal"},
                "arguments": {"order": "personal"}, "result": None,
            },
            {"why": "divergence", "message": "personal", "do": "retry"},
        ],
        "residue": [{"action": "1", "step": "shop.pay", "reason": "personal", "execution": "", "by": "ann"}],
        "terminated": {"reason": "said by ann", "by": "ann"},
        "unheard_of": {"deep": "personal"},
    }  # fmt: skip
    text = msgspec.json.encode(detail).decode()
    made = detail_passed(text, Mark())
    assert "personal" not in made
    shown = msgspec.json.decode(made)
    assert shown["items"][0]["why"] == "ask"
    assert shown["terminated"] == detail["terminated"]
    assert detail_passed("no json", Mark()) == "no json"
