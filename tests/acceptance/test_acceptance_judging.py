"""The judge of the fault tests can find fault: each rule has a book that breaks it, beside those that pass."""

from __future__ import annotations

import pytest

from .book import BEGUN, CANCELLED, DONE, KILLED, REJECTED, Line
from .judging import Judgement, judge

MARK = Line("", "kill", 0, "", "", KILLED, 1)
SUSPECT = 9


def line(
    place: int, outcome: str, direction: str = "do", *, key: str = "", pid: int = 1, id: str = "x"
) -> Line:
    return Line(id, "buy", place, key or f"{id}/0/{place}/{direction}", direction, outcome, pid)


def do(place: int, outcome: str = DONE, *, key: str = "", pid: int = 1) -> list[Line]:
    return [line(place, BEGUN, key=key, pid=pid), line(place, outcome, key=key, pid=pid)]


def undo(place: int, *, pid: int = 1) -> list[Line]:
    return [line(place, BEGUN, "undo", pid=pid), line(place, DONE, "undo", pid=pid)]


def found(status: str, *lines: Line, wanted: tuple[str, ...] = ("x",)) -> Judgement:
    return judge(lines, {"x": status}, wanted, [SUSPECT])


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("completed", [*do(1), *do(2)]),
        ("completed", [line(1, BEGUN), MARK, *do(1, pid=2), *do(2, pid=2)]),
        ("completed", [*do(1), MARK, *do(1, pid=2), *do(2, pid=2)]),
        (
            "completed",
            [line(1, BEGUN, pid=SUSPECT), *do(1, pid=2), line(1, DONE, pid=SUSPECT), *do(2, pid=2)],
        ),
        (
            "completed",
            [line(1, BEGUN, pid=2), *do(1, pid=SUSPECT), line(1, DONE, pid=2), *do(2, pid=2)],
        ),
        ("completed", [*do(1, CANCELLED), *undo(1), *do(2)]),
        ("compensated", [*do(1), *do(2), *do(3, REJECTED), *undo(2), *undo(1)]),
        ("compensated", [line(1, BEGUN), MARK, *do(1, REJECTED, pid=2), *undo(1, pid=2)]),
    ],
)
def test_right_books_pass(status: str, lines: list[Line]) -> None:
    assert found(status, *lines).findings == []


@pytest.mark.parametrize(
    ("field", "status", "lines"),
    [
        ("duplicates", "completed", [*do(1), *do(1, key="x/0/1b/do"), *do(2)]),
        ("duplicates", "completed", [*do(1), *do(1), *do(2)]),
        ("duplicates", "completed", [*do(1), *do(2), MARK, *do(1, pid=2)]),
        ("duplicates", "compensated", [*do(1), *do(2), *undo(2), *undo(1), MARK, *undo(2)]),
        ("half", "completed", [*do(1), *do(2, CANCELLED)]),
        ("half", "completed", [*do(1), *do(2), *undo(2)]),
        ("half", "compensated", [*do(1), *do(2, REJECTED)]),
        ("disordered", "completed", [line(1, BEGUN), *do(2), line(1, DONE)]),
        ("disordered", "compensated", [*do(1), *do(2), *do(3, REJECTED), *undo(1), *undo(2)]),
        ("disordered", "compensated", [*do(1), *undo(1), MARK, *do(1, pid=2)]),
        ("silent", "running", do(1)),
        ("silent", "attention", do(1)),
    ],
)
def test_wrong_books_do_not(field: str, status: str, lines: list[Line]) -> None:
    assert getattr(found(status, *lines), field)


def test_what_was_acknowledged_and_is_unknown_is_lost() -> None:
    assert found("completed", *do(1), wanted=("x", "y")).lost == ["y"]


def test_what_was_done_for_an_execution_that_is_unknown_is_lost() -> None:
    assert found("completed", line(1, BEGUN, id="z"), line(1, DONE, id="z"), wanted=()).lost


def test_a_suspect_that_sends_once_more_what_it_had_read_is_counted() -> None:
    judged = found("completed", *do(1, pid=SUSPECT), *do(2, pid=2), *do(1, pid=SUSPECT))
    assert judged.findings == []
    assert judged.late == 1
