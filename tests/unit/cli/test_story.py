"""What is told of a journal agrees with what happened; damage is told, not raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from amends.cli.story import Story, tell
from amends.kernel import entries as e
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]


def rows(*given: tuple[list[Any], list[Any]]) -> list[e.Row]:
    """Rows one second apart, the first at 100."""
    made: list[e.Row] = []
    for position, (events, commands) in enumerate(given):
        before = made[-1].checksum if made else 0
        made.append(e.seal(position, 100.0 + position, events, commands, before))
    return made


NOTHING = msgspec.Raw(b"null")
FAULT = e.Fault("ConnectionError", "down")


def states(story: Story) -> list[tuple[str, str, str]]:
    return [(act.action.id, act.state, act.undo) for act in story.acts]


START = ([e.Started(NOTHING)], [e.RunStep("1", "a", NOTHING, e.UNDO_STEP), e.RunStep("2", "b", NOTHING)])


def test_times_are_those_of_the_rows() -> None:
    story = tell(
        rows(
            START,
            ([e.Completed("1", NOTHING)], []),
            ([e.Failed("2", FAULT, "rejected")], [e.Unwind("failed", FAULT), e.Backward(), e.Undo("1")]),
            ([e.Undone("1")], [e.Finish("compensated")]),
        )
    )
    first, second = story.acts
    assert states(story) == [("1", "succeeded", "undone"), ("2", "rejected", "")]
    assert (first.began, first.ended, first.undo_began, first.undo_ended) == (100, 101, 102, 103)
    assert (second.began, second.ended) == (100, 102)
    assert [(m.at, m.what) for m in story.moments] == [(100, "started"), (102, "turned back"), (103, "ended")]


def test_a_retry_is_told_with_the_time_of_the_failure() -> None:
    story = tell(rows(START, ([e.AttemptFailed("1", 1, FAULT, True, 140.0)], [])))
    assert states(story)[0] == ("1", "retrying", "")
    assert (story.acts[0].failed, story.acts[0].action.retry_at) == (101, 140.0)


def test_parked_work_and_what_an_operator_did() -> None:
    before = [START, ([e.Failed("1", FAULT, "unknown", "ask")], [])]
    assert states(tell(rows(*before)))[0] == ("1", "parked", "")
    after = tell(rows(*before, ([e.Resolved("by phone", NOTHING, "1", "ada")], [])))
    assert states(after)[0] == ("1", "succeeded", "")
    assert after.moments[-1].text == "by phone (by ada)"


def test_an_undo_that_failed_is_parked_then_residue() -> None:
    before = [
        START,
        ([e.Completed("1", NOTHING)], [e.Unwind("failed"), e.Backward(), e.Undo("1")]),
        ([e.UndoFailed("1", FAULT)], []),
    ]
    assert states(tell(rows(*before)))[0] == ("1", "succeeded", "parked")
    story = tell(rows(*before, ([e.Skipped("enough", "1", "ada")], [e.Finish("partially_compensated")])))
    assert states(story)[0] == ("1", "succeeded", "residue")
    assert story.acts[0].undo_ended == 103


def test_what_has_no_outcome_when_all_has_ended_is_unknown() -> None:
    story = tell(rows(START, ([e.CancelRequested("x")], [e.Unwind("cancelled"), e.Backward()])))
    assert [act.state for act in story.acts] == ["unknown", "unknown"]


def test_signals_and_timers() -> None:
    waits = ([e.Started(NOTHING)], [e.StartTimer("1", 500.0), e.AwaitSignal("2", "approved")])
    story = tell(rows(waits))
    assert story.signals == ["approved"]
    story = tell(rows(waits, ([e.Signalled("approved", NOTHING)], [e.CancelTimer("1")])))
    assert story.signals == []
    assert [(w.kind, w.state, w.ended) for w in story.waits] == [
        ("timer", "over", 101),
        ("signal", "received", 101),
    ]


def test_a_signal_that_came_early_is_received_at_once() -> None:
    early = [([e.Started(NOTHING)], []), ([e.Signalled("go", NOTHING)], []), ([], [e.AwaitSignal("1", "go")])]
    assert [(w.state, w.began, w.ended) for w in tell(rows(*early)).waits] == [("received", 102, 102)]


def test_events_of_a_row_that_only_keeps_them_count_with_the_next_row() -> None:
    kept = ([e.Completed("1", NOTHING)], [e.Defer()])
    assert states(tell(rows(START, kept)))[0][1] == "running"
    assert states(tell(rows(START, kept, ([], []))))[0][1] == "succeeded"


def test_a_damaged_journal_is_told_up_to_the_damage() -> None:
    good = rows(START, ([e.Completed("1", NOTHING)], []), ([e.Completed("2", NOTHING)], []))
    bad = msgspec.structs.replace(good[2], events="[]")
    story = tell([*good[:2], bad])
    assert story.rows == 2
    assert "row 2 does not match its checksum" in story.broken
    assert states(story)[0][1] == "succeeded"
    assert "row 1 is missing" in tell([good[0], good[2]]).broken


# ---------------------------------------------------------------- the same, as it is shown


def damage(folder: Path) -> None:
    db = apsw.Connection(str(folder / "orders.db"))
    db.execute("UPDATE amends_journal SET events = '[]' WHERE position = 2")
    db.close()


def test_damage_is_shown(order: Order, amends: Amends) -> None:
    damage(order("completed"))
    done = amends("show", "order-1001")
    assert done.code == 0
    assert "The journal is damaged" in done.out
    assert "charge" in done.out
    assert "does not match its checksum" in amends("show", "order-1001", "--json").json["damage"]


def test_history_of_damage_that_cannot_be_read(order: Order, amends: Amends) -> None:
    db = apsw.Connection(str(order("completed") / "orders.db"))
    db.execute("UPDATE amends_journal SET events = 'x' WHERE position = 2")
    db.close()
    done = amends("history", "order-1001")
    assert done.out.count("row ") == 2
    assert "cannot be read" in done.err
    assert done.code == 1


@pytest.mark.parametrize("kind", ["completed", "gift", "held", "stuck", "compensated"])
def test_the_story_ends_as_the_header_says(kind: str, order: Order, amends: Amends) -> None:
    order(kind)
    shown = amends("show", "order-1001", "--json").json
    held = {step["action"] for step in shown["steps"] if step["state"] == "parked"}
    undoing = {
        step["action"] for step in shown["steps"] if step["undo"] and step["undo"]["state"] == "parked"
    }
    assert {item["action"] for item in shown["items"]} == held | undoing
    ended = [moment["text"] for moment in shown["moments"] if moment["what"] == "ended"]
    assert ended == ([] if shown["status"] == "attention" else [shown["status"]])
