"""Every path is run, and each of them once; what bounds them is said."""

from __future__ import annotations

from typing import Any

import pytest

from amends import SagaCall
from amends.testing.explore import KINDS, CannotExplore, explore, replay
from amends.testing.explore.choices import Frontier, Path
from amends.testing.explore.faults import cost
from amends.testing.explore.run import Run, played
from amends.testing.explore.subject import Subject
from tests.unit.testing.explore.services import Service
from tests.unit.testing.explore.shapes import five, gathered, two, with_signal


class Odometer(Path):
    """Takes a given option at each point; depth first, without any of the explorer's own bookkeeping."""

    def __init__(self, digits: tuple[int, ...]) -> None:
        super().__init__()
        self.digits = digits

    def again(self) -> Odometer:
        return Odometer(self.digits)

    def choose(self, key: str, options: Any) -> str:
        taken = super().choose(key, options)
        place = len(self.points) - 1
        if not self.calm and place < len(self.digits):
            point = self.points[place]
            taken = point.taken = [*options, *_breaks(point.options, options)][self.digits[place]]
        return taken


def _breaks(now: Any, before: Any) -> list[str]:
    return list(now[len(before) :])


def depth_first(call: SagaCall[Any], budget: int) -> list[str]:
    """Replay strings of all paths."""
    subject = Subject(call, Service)
    found: list[str] = []

    def visit(digits: tuple[int, ...]) -> None:
        run = played(subject, Odometer(digits))
        points = run.path.points
        found.append(run.path.replay)
        spent = sum(cost(p.taken) for p in points)
        for place in range(len(digits), len(points)):
            for number, option in enumerate(points[place].options[1:], 1):
                if spent + cost(option) <= budget:
                    visit((*digits, *(0 for _ in range(len(digits), place)), number))

    visit(())
    return found


def breadth_first(call: SagaCall[Any], budget: int) -> list[str]:
    subject, frontier, found = Subject(call, Service), Frontier(budget), []
    while (path := frontier.next()) is not None:
        run = played(subject, path)
        frontier.add(path, run.path.further(budget))
        found.append(run.path.replay)
    return found


@pytest.mark.parametrize("call", [two("x"), gathered("x"), with_signal("x")], ids=lambda call: call.saga.name)
def test_as_many_as_an_odometer_counts_and_each_once(call: SagaCall[Any]) -> None:
    paths = breadth_first(call, 2)
    assert len(set(paths)) == len(paths)
    assert set(paths) == set(depth_first(call, 2))


def test_fewer_faults_come_first() -> None:
    faults = [
        len([part for part in path.split() if cost(part.rpartition("=")[2])])
        for path in breadth_first(two("x"), 2)
    ]
    assert faults == sorted(faults)
    assert faults[-1] == 2


def test_five_steps_with_two_faults() -> None:
    report = explore(five("x"), participants=Service)
    assert f"{report.runs:,} paths with up to 2 faults" in str(report)
    assert report.runs > 1_000
    assert report.histories < report.runs  # duplicates are recognised
    assert all(covered.share == 1 for covered in report.coverage)


def test_the_same_report_each_time() -> None:
    first, second = (explore(gathered("x"), participants=Service).plain() for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_happens_and_can_be_left_out(kind: str) -> None:
    from tests.unit.testing.explore import shapes, wrong
    from tests.unit.testing.explore.services import Stock

    call, world = {
        "breaks": (wrong.saga_partial(["a", "b"]), lambda: [Stock(), Service()]),
        "stays-broken": (wrong.saga_partial(["a", "b"]), lambda: [Stock(), Service()]),
        "deadline": (shapes.within("x"), Service),
    }.get(kind, (with_signal("x"), Service))
    if kind == "slow":
        call = gathered("x")
    report = explore(call, participants=world, faults=1)
    less = explore(call, participants=world, faults=1, without=[kind])
    assert less.runs < report.runs


def test_a_limit_is_said_and_does_not_pass() -> None:
    report = explore(five("x"), participants=Service, limit=50)
    assert report.runs == 50
    assert report.remaining > 0
    assert "NOT ALL" in str(report)
    assert "limit=" in str(report)
    with pytest.raises(AssertionError, match="NOT ALL"):
        report.check()


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    report = explore(five("x"), participants=Service, progress=lambda done, known: told.append((done, known)))
    assert [done for done, _ in told] == list(range(100, report.runs + 1, 100))
    assert told[-1][1] == report.runs


def test_accepted_findings_pass() -> None:
    from tests.unit.testing.explore import wrong
    from tests.unit.testing.explore.wrong import Forgetful

    def world() -> list[Any]:
        return [Forgetful(), Service()]

    assert not explore(wrong.saga_late("1"), participants=world, faults=1).ok
    report = explore(wrong.saga_late("1"), participants=world, faults=1, accept=["late wrong.pay"])
    assert report.check().accepted[0].name == "late wrong.pay"


@pytest.mark.parametrize(
    ("wrong_call", "said"),
    [
        (lambda: explore(five), "explore(place_order(order))"),
        (lambda: explore(five("x"), participants=Service()), "fresh"),
        (lambda: explore(five("x"), without=["lat"]), "did you mean 'late'?"),
        (lambda: explore(five("x"), without="late"), "['late']"),
        (lambda: explore(five("x"), accept=["leftovers x"]), "leftover"),
        (lambda: replay(five("x"), "a:1#1=losst"), "did you mean 'lost'?"),
        (lambda: replay(five("x"), "a:9#1=lost"), "did you mean 'a:1#1'"),
    ],
)
def test_what_makes_no_sense_is_said(wrong_call: Any, said: str) -> None:
    with pytest.raises(CannotExplore) as caught:
        wrong_call()
    assert said in str(caught.value)


def test_participants_must_begin_alike() -> None:
    class Random:
        def __init__(self) -> None:
            self.number = object()

        def snapshot(self) -> int:
            return id(self.number)

    with pytest.raises(CannotExplore, match="not always the same"):
        explore(five("x"), participants=lambda: [Random(), Service()])


def test_a_run_that_goes_elsewhere_is_noticed() -> None:
    run = Run(Subject(two("x"), Service), Path(((0, "rejected", 4711),), 1))
    from amends.testing.explore.choices import Unrepeatable

    with pytest.raises(Unrepeatable):
        run.play()
