"""The audit of the acceptance tests can fail: each rule finds a book that breaks it."""

from __future__ import annotations

import pytest

from .audit import Audit
from .book import BEGUN, CANCELLED, DONE, FAILED, KILLED, REJECTED, Line

KILL = Line("", "", 0, "", "", KILLED)


def line(place: int, outcome: str, direction: str = "do", *, key: str = "", action: str = "buy") -> Line:
    return Line("x", action, place, key or f"uid/0/{place}/{direction}", direction, outcome)


def do(place: int, outcome: str = DONE, **more: str) -> list[Line]:
    return [line(place, BEGUN, **more), line(place, outcome, **more)]


def undo(place: int, outcome: str = DONE) -> list[Line]:
    return [line(place, BEGUN, "undo"), line(place, outcome, "undo")]


def findings(status: str, *lines: Line, retried: str = "") -> list[str]:
    audit = Audit(lines, retried=[retried])
    audit.judge({"x": status})
    return audit.findings


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("completed", [*do(1), *do(2)]),
        ("completed", [*do(1), line(2, BEGUN), KILL, *do(2)]),
        ("completed", [*do(1), KILL, *do(1), *do(2)]),  # it had ended, and was not journaled
        ("completed", [*do(1, CANCELLED), *undo(1), *do(2)]),
        ("compensated", [*do(1), *do(2), *do(3, REJECTED), *undo(2), *undo(1)]),
        ("compensated", [*do(1), *do(2, CANCELLED), *undo(2), *undo(1)]),
        ("compensated", [line(1, BEGUN), KILL, *do(1, REJECTED), *undo(1)]),
        ("compensated", [*do(1), KILL, *do(2, REJECTED), *undo(2), *undo(1)]),
        ("compensated", [*do(1), KILL, *undo(2), *undo(1)]),  # cancelled before it was dispatched again
        ("compensated", [*do(1), *do(2), line(2, BEGUN, "undo"), KILL, *undo(2), *undo(1)]),
    ],
)
def test_right_books_pass(status: str, lines: list[Line]) -> None:
    assert findings(status, *lines) == []


@pytest.mark.parametrize(
    ("status", "lines", "said"),
    [
        ("completed", [*do(1), *do(1)], "though no worker was killed since"),
        ("completed", [line(1, BEGUN), *do(1)], "runs twice at a time"),
        ("completed", [*do(1), *do(2), KILL, *do(1)], "though its execution had gone on"),
        (
            "compensated",
            [*do(1), *do(2), *undo(2), *undo(1), KILL, *undo(2)],
            "though its execution had gone on",
        ),
        ("completed", [line(1, DONE)], "ended without having begun"),
        ("completed", [*do(1), *do(2, key="uid/0/1/do")], "shares its key"),
        ("completed", [*do(1), KILL, *do(1, key="uid/0/7/do")], "has two keys"),
        ("completed", [*do(1, key="uid/0/1/undo")], "key of the other direction"),
        ("completed", [*do(1), *undo(1)], "was undone, but the execution completed"),
        ("completed", [*do(1, CANCELLED), *do(2)], "was not undone"),
        ("compensated", [*do(1), *do(2), *undo(2)], "was not undone"),
        ("compensated", [*do(1), *do(2), *undo(2, FAILED), *undo(1)], "was not undone"),
        ("compensated", [*do(1, REJECTED), *undo(1)], "certainly had no effect"),
        ("compensated", [*do(1), *undo(1), KILL, *do(1), KILL, *undo(1)], "after it had been undone"),
        ("compensated", [line(1, BEGUN), *undo(1), line(1, DONE)], "undone while it ran"),
        ("compensated", [*do(1), *undo(2), *undo(1)], "undid what was never dispatched"),
        ("compensated", [*do(1), *do(2), *undo(1), *undo(2)], "was undone before buy@2"),
        (
            "compensated",
            [*do(1), *do(2), line(2, BEGUN, "undo"), *undo(1), line(2, DONE, "undo")],
            "before buy@2",
        ),
        ("attention", do(1), "ended attention"),
    ],
)
def test_wrong_books_are_found(status: str, lines: list[Line], said: str) -> None:
    found = findings(status, *lines)
    assert any(said in text for text in found), found


def test_an_execution_that_the_engine_does_not_know_is_found() -> None:
    audit = Audit(do(1))
    audit.judge({})
    assert audit.findings == ["x: is in the book, but the engine does not know it"]


def test_what_is_tried_again_by_its_policy_may_be() -> None:
    again = [*do(1), *undo(1, FAILED), *undo(1)]
    assert findings("compensated", *again, retried="buy/undo") == []
    assert "no worker was killed" in findings("compensated", *again)[0]


def test_what_was_in_flight() -> None:
    audit = Audit([*do(1), line(2, BEGUN), KILL, *do(2), KILL])
    assert audit.in_flight(0) == audit.cut_off(0) == audit.twice() == {"uid/0/2/do"}
    assert audit.in_flight(1) == {"uid/0/2/do"}
    assert audit.cut_off(1) == set()
