"""The backward plan against the promise's own words, on every small set of intervals.

A precedes B iff A's outcome stands in a row not after the row that holds B's command; A's compensation waits until
that of every such B is settled or parked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from amends.kernel import entries as e
from amends.kernel.actions import (
    OPEN,
    REJECTED,
    SUCCEEDED,
    UNDO_DONE,
    UNDO_PARKED,
    UNDO_RESIDUE,
    UNDO_RUNNING,
    UNKNOWN,
    Action,
)
from amends.kernel.backward import Plan
from amends.kernel.entries import NULL


def action(name: str, begun: int, ended: int | None, outcome: str = SUCCEEDED) -> Action:
    """Its command in row `begun`, its outcome in row `ended` (None: still open)."""
    made = Action(name, "step", name, NULL, e.UNDO_STEP, "", begun, begun + 0.5)
    made.end = None if ended is None else float(ended)
    made.outcome = OPEN if ended is None else outcome
    return made


def holds_back(b: Action) -> bool:
    return b.outcome == OPEN or (b.owed and b.undo_state != UNDO_PARKED)


def may_run(a: Action, all_of_them: Iterable[Action]) -> bool:
    """By the words of the promise."""
    assert a.end is not None
    return not any(holds_back(b) and b is not a and a.end <= b.position for b in all_of_them)


def due(actions: list[Action]) -> set[str]:
    return {
        a.id for a in actions if a.end is not None and a.owed and not a.undo_state and may_run(a, actions)
    }


INTERVALS = [(begun, ended) for begun in range(3) for ended in range(begun + 1, 4)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_small_set_is_undone_as_the_promise_says(count: int) -> None:
    runs = 0
    for intervals in itertools.product(INTERVALS, repeat=count):
        for last_first in (True, False):
            runs += 1
            actions = [action(f"a{n}", *interval) for n, interval in enumerate(intervals)]
            _undo_all(actions, last_first=last_first)
    assert runs == 2 * len(INTERVALS) ** count


def _undo_all(actions: list[Action], *, last_first: bool) -> None:
    plan = Plan(actions)
    running: list[Action] = []
    while plan.waits:
        expected = due(actions)
        turn = plan.turn()
        assert {a.id for a in turn} == expected
        assert [a.id for a in turn] == sorted(expected), "in the order of their creation"
        for a in turn:
            a.undo_state = UNDO_RUNNING
        running += turn
        assert running, "something may always run"
        assert plan.turn() == [], "each is named once"
        running.pop(-1 if last_first else 0).undo_state = UNDO_DONE
    assert plan.turn() == []
    assert all(a.undo_state == UNDO_DONE for a in actions)


@pytest.mark.parametrize("end", [UNDO_DONE, UNDO_PARKED, UNDO_RESIDUE])
def test_what_is_settled_or_parked_holds_nobody_back(end: str) -> None:
    first, second = actions = [action("first", 0, 1), action("second", 1, 2)]
    plan = Plan(actions)
    assert plan.turn() == [second]
    second.undo_state = UNDO_RUNNING
    assert plan.turn() == []
    second.undo_state = end
    assert plan.waits
    assert plan.turn() == [first]


def test_a_parked_one_that_is_tried_again_counts_again() -> None:
    first, second = actions = [action("first", 0, 1), action("second", 1, 2)]
    second.undo_state = UNDO_PARKED
    plan = Plan(actions)
    assert plan.waits
    second.undo_state = ""
    plan.enter(second)
    assert plan.turn() == [second]
    second.undo_state = UNDO_RUNNING
    plan.enter(second)  # entered while it runs: it holds back, and is not named again
    assert plan.turn() == []
    second.undo_state = UNDO_DONE
    assert plan.turn() == [first]


def test_an_open_action_holds_back_until_it_has_entered_with_its_end() -> None:
    first, still_open = actions = [action("first", 0, 1), action("open", 1, None)]
    plan = Plan(actions)
    assert plan.waits
    assert plan.turn() == []
    still_open.end, still_open.outcome = 2.0, UNKNOWN
    plan.enter(still_open)
    assert plan.turn() == [still_open]
    still_open.undo_state = UNDO_DONE
    assert plan.turn() == [first]


def test_those_that_enter_later_keep_their_order() -> None:
    actions = [action(name, 0, None) for name in "abcd"]
    plan = Plan(actions)
    for each in actions:
        each.end, each.outcome = 1.0, UNKNOWN
        plan.enter(each)
    assert [each.id for each in plan.turn()] == list("abcd")


def test_one_that_enters_open_holds_back() -> None:
    first, late = action("first", 0, 1), action("late", 1, None)
    plan = Plan([first])
    plan.enter(late)
    assert plan.turn() == []
    late.end, late.outcome = 2.0, REJECTED
    assert plan.turn() == [first]


def test_an_open_action_that_is_rejected_is_not_undone() -> None:
    first, still_open = actions = [action("first", 0, 1), action("open", 1, None)]
    plan = Plan(actions)
    still_open.end, still_open.outcome = 2.0, REJECTED
    plan.enter(still_open)
    assert plan.turn() == [first]


def test_what_is_not_owed_is_passed_over() -> None:
    done, parked = action("done", 0, 1), action("parked", 1, 2)
    done.undo_state, parked.undo_state = UNDO_DONE, UNDO_PARKED
    plan = Plan([done, parked])
    assert not plan.waits
    assert plan.turn() == []


def test_an_ad_hoc_compensation_starts_and_ends_at_one_point() -> None:
    before, adhoc, after = action("before", 0, 1), action("adhoc", 1, 1), action("after", 2, 3)
    adhoc.start = adhoc.end = 1.5
    plan = Plan([before, adhoc, after])
    assert plan.turn() == [after]
    after.undo_state = UNDO_DONE
    assert plan.turn() == [adhoc]
    adhoc.undo_state = UNDO_DONE
    assert plan.turn() == [before]


def test_an_empty_plan_waits_for_nothing() -> None:
    plan = Plan([])
    assert not plan.waits
    assert plan.turn() == []


# ---------------------------------------------------------------- actions


@pytest.mark.parametrize("undo", [e.UNDO_NONE, e.UNDO_STEP, e.UNDO_IRREVERSIBLE])
@pytest.mark.parametrize("outcome", [OPEN, SUCCEEDED, REJECTED, UNKNOWN])
@pytest.mark.parametrize("state", ["", UNDO_RUNNING, UNDO_PARKED, UNDO_DONE, UNDO_RESIDUE])
def test_what_is_owed(undo: int, outcome: str, state: str) -> None:
    made = action("a", 0, 1)
    made.undo, made.outcome, made.undo_state = undo, outcome, state
    had_effect = outcome in ("succeeded", "unknown")
    assert made.owed == (undo != e.UNDO_NONE and had_effect and state not in ("done", "residue"))


def test_who_waits_for_a_person() -> None:
    made = action("a", 0, 1)
    assert not made.parked
    assert not made.takes_arguments
    made.hold = "ask"
    assert made.parked is True
    assert made.takes_arguments is True
    made.tainted = True
    assert made.takes_arguments is False
    made.hold, made.undo_state = "", UNDO_PARKED
    assert made.parked is True


@pytest.mark.parametrize(
    ("scope", "of", "inside"),
    [
        ("", "", True),
        ("a", "", True),
        ("a", "a", True),
        ("a/b", "a", True),
        ("ab", "a", False),
        ("", "a", False),
    ],
)
def test_scopes_are_paths(scope: str, of: str, inside: bool) -> None:
    from amends.kernel.actions import within

    assert within(scope, of) is inside
