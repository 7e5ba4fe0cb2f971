"""Keys and verdicts by themselves: no database."""

from __future__ import annotations

import inspect
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends import PayloadError, Rejected, ids
from amends.participants import barrier
from amends.participants.barrier import (
    Barrier,
    Entry,
    Hanging,
    InvalidKey,
    Key,
    State,
    Verdict,
    dtm,
    step_functions,
    temporal,
)
from amends.participants.barrier.sql import load
from amends.participants.barrier.verdict import judge

TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)


def test_the_keys_of_amends_are_taken_apart() -> None:
    sent = ids.idempotency_key("0199", 0, "main.3+2", "undo")
    key = Key.parse(sent)
    assert (key.action, key.direction, str(key)) == ("0199/0/main.3+2", "undo", sent)
    assert Key.parse(ids.idempotency_key("0199", 0, "main.3+2", "do")).action == key.action


@given(action=TEXT, direction=st.sampled_from(["do", "undo"]))
def test_a_key_survives_its_text(action: str, direction: Any) -> None:
    key = Key(action, direction)
    assert Key.parse(str(key)) == Key.parse(str(key), direction) == key


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Key.parse("pay-17"), "does not say its direction"),
        (lambda: Key.parse("uid/0/a/do", "undo"), "came to a place that takes 'undo'"),
        (lambda: Key.parse("/do"), "expected printable characters"),
        (lambda: Key(""), "expected printable characters"),
        (lambda: Key("a\0b"), "expected printable characters"),
        (lambda: Key("ä" * 600), "1,200 bytes; at most 1,024"),
        (lambda: Key("a", "undoo"), "did you mean 'undo'"),  # type: ignore[arg-type]
        (lambda: dtm("g", "01", "compensat"), "did you mean 'compensate'"),
        (lambda: dtm("g", "", "action"), "a part of the key is empty: 'dtm', 'saga', 'g', ''"),
    ],
)
def test_a_bad_key_is_explained(make: Any, said: str) -> None:
    with pytest.raises(InvalidKey, match=said):
        make()


def test_a_place_can_say_the_direction() -> None:
    assert Key.parse("pay-17", "undo") == Key("pay-17", "undo")
    assert Key.parse("uid/0/a/undo", "undo") == Key("uid/0/a", "undo")


@pytest.mark.parametrize(
    ("does", "undoes"), [("action", "compensate"), ("action", "rollback"), ("try", "cancel")]
)
def test_dtm(does: str, undoes: str) -> None:
    do, undo = dtm("g1", "01", does), dtm("g1", "01", undoes)
    assert (do.direction, undo.direction) == ("do", "undo")
    assert do.action == undo.action == "dtm/saga/g1/01"


def test_dtm_confirms_are_actions_of_their_own() -> None:
    keys = {dtm("g1", "01", op, "tcc").action for op in ("try", "cancel", "confirm", "commit")}
    assert keys == {"dtm/tcc/g1/01", "dtm/tcc/g1/01/confirm", "dtm/tcc/g1/01/commit"}


def test_temporal_and_step_functions() -> None:
    assert temporal("order-1", "run", "charge").action == temporal("order-1", "run", "charge", "undo").action
    arn = "arn:aws:states:eu-north-1:1:execution:order:17"
    assert str(step_functions(arn, "Charge")) == f"states/{arn}/Charge/do"
    assert step_functions(arn, "Charge", token="item-1") != step_functions(arn, "Charge", token="item-2")


@given(one=st.tuples(TEXT, TEXT, TEXT), two=st.tuples(TEXT, TEXT, TEXT))
def test_different_parts_make_different_keys(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (temporal(*one) == temporal(*two)) == (one == two)


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize("direction", ["do", "undo"])
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_only_a_first_call_executes_and_only_done_is_a_success(
    direction: Any, state: State, calls: int
) -> None:
    verdict = judge(direction, calls, state)
    assert verdict is not Verdict.EXECUTE or calls == 1
    if direction == "do" and state not in (State.DONE, State.REJECTED):
        assert verdict is Verdict.HANGING
    entry = Entry(Key("a", direction), verdict, state, {"message": "no", "details": None})
    if direction == "do" and state is not State.DONE:
        with pytest.raises(Rejected):
            entry.answer()
    else:
        assert entry.answer() == {"message": "no", "details": None}


def test_hanging_is_a_rejection() -> None:
    """So that an orchestrator that only knows rejections does the right thing."""
    assert issubclass(Hanging, Rejected)
    assert (Hanging.code, Rejected.code) == ("hanging", "rejected")


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("table", ["", "a b", "x;y", "a.b.c", '"x"', "1a"])
def test_a_table_needs_a_plain_name(table: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be a table's name"):
        Barrier(table=table)


def test_the_schema_can_be_put_into_a_migration() -> None:
    schema = Barrier(table="shop.seen").schema
    assert "CREATE TABLE IF NOT EXISTS shop.seen (" in schema
    assert "CREATE INDEX IF NOT EXISTS seen_changed_at ON shop.seen (changed_at);" in schema


def test_a_style_carries_every_value_once() -> None:
    for statement in load("amends_barrier").values():
        text, values = statement.styled(
            "numeric", dict.fromkeys(["action", "state", "reply", "now", "before", "batch"])
        )
        assert sorted(int(part.split()[0].strip(",;)")) for part in text.split(":")[1:]) == [
            *range(1, len(values) + 1)
        ]


def test_a_reply_that_cannot_be_stored_is_refused() -> None:
    with sqlite3.connect(":memory:") as c:
        Barrier().create_table(c)
        for reply in (object(), float("nan")):
            with pytest.raises(PayloadError, match="the reply cannot be stored as JSON"):
                Barrier().enter(c, "a/do", reply=reply)
    c.close()


def test_compensations_are_not_rejected_and_only_executing_entries_are_told_replies() -> None:
    with sqlite3.connect(":memory:") as c:
        Barrier().create_table(c)
        with pytest.raises(PayloadError, match="cannot be rejected"):
            Barrier().reject(c, "a/undo", "no")
        Barrier().enter(c, "a/do")
        with pytest.raises(ValueError, match="is duplicate: its answer is the stored one"):
            Barrier().store_reply(c, Barrier().enter(c, "a/do"), 1)
        with pytest.raises(ValueError, match="must be positive"):
            Barrier().clean_up(c, older_than=0)
    c.close()


def test_its_own_types_can_be_stored() -> None:
    own = Barrier(encode=lambda value: value.hex(), decode=bytes.fromhex)
    with sqlite3.connect(":memory:") as c:
        own.create_table(c)
        assert own.enter(c, "a/do", reply=b"\0\1").answer() == b"\0\1"
        assert own.enter(c, "a/do", reply=b"\2").answer() == b"\0\1"
        with pytest.raises(Rejected, match="no"):
            own.reject(c, "b/do", "no").answer()
    c.close()


def test_help_shows_what_is_called() -> None:
    signature = inspect.signature(Barrier.enter)
    assert list(signature.parameters) == ["self", "connection", "key", "reply"]
    assert signature.return_annotation == "Entry"
    assert "NoTransaction" in (Barrier.enter.__doc__ or "")


def test_what_is_public() -> None:
    assert sorted(barrier.__all__) == [
        "Barrier", "Entry", "Found", "Hanging", "InvalidKey", "Key", "NoTransaction", "State", "UnknownDriver",
        "Verdict", "dtm", "step_functions", "temporal",
    ]  # fmt: skip
    assert all(getattr(barrier, name).__doc__ for name in barrier.__all__)
