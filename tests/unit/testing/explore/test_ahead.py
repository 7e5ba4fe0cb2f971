"""Among however many processes the runs are divided, the report is the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from amends import SagaCall
from amends.testing.explore import ahead, explore
from tests.unit.testing.explore import wrong
from tests.unit.testing.explore.services import Bank, Service
from tests.unit.testing.explore.shapes import five, gathered, two, with_signal
from tests.unit.testing.explore.wrong import Netting

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings(
        "ignore:.*fork.*:DeprecationWarning"
    ),  # the test runner has a thread of its own
]

CASES: dict[str, tuple[SagaCall[Any], Callable[[], Any], dict[str, Any]]] = {
    "right": (gathered("x"), Service, {}),
    "signals, whose values cost nothing": (
        with_signal("x"),
        Service,
        {"signals": {"approved": [True, False]}},
    ),
    "wrong": (wrong.saga_once("1"), lambda: [Service(), Netting()], {}),
    "every run is looked at": (wrong.saga_forgotten("1"), lambda: [Service(), Bank()], {}),
    "three faults": (two("x"), Service, {"faults": 3, "without": ["slow", "cancel", "deadline", "failed"]}),
    "cut short": (five("x"), Service, {"limit": 300}),
}


def plain(call: SagaCall[Any], world: Callable[[], Any], **options: Any) -> dict[str, Any]:
    return {**explore(call, participants=world, **options).plain(), "seconds": 0}


@pytest.mark.parametrize("case", CASES)
def test_the_same_report(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_WORTHWHILE", 5)
    call, world, options = CASES[case]
    alone = plain(call, world, jobs=1, **options)
    assert plain(call, world, jobs=3, **options) == alone


def test_what_a_process_leaves_undone_is_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_WORTHWHILE", 5)
    call, world, _ = CASES["wrong"]
    alone = plain(call, world, jobs=1)
    work, parent = ahead._work, os.getpid()

    def dies(see: Any, paths: Any, told: Any) -> None:
        assert os.getpid() != parent
        work(see, paths[:3], told)
        told.write(b"\0\0\1\0half of")
        raise SystemExit

    monkeypatch.setattr(ahead, "_work", dies)
    assert plain(call, world, jobs=2) == alone


def test_a_run_that_fails_elsewhere_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_WORTHWHILE", 5)
    parent = os.getpid()

    class Shy(Service):
        def __init__(self) -> None:
            super().__init__()
            if os.getpid() != parent:
                raise ValueError("not here")

    assert plain(two("x"), Shy, jobs=2) == plain(two("x"), Shy, jobs=1)


def test_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    fork = os.fork

    def noted() -> int:
        pid = fork()
        if pid:
            pids.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noted)
    assert explore(five("x"), participants=Service, jobs=2, limit=100).runs == 100
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_where_no_process_can_be_had_it_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_WORTHWHILE", 5)
    alone = plain(two("x"), Service, jobs=1)

    def refused() -> int:
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(os, "fork", refused)
    assert plain(two("x"), Service, jobs=2) == alone


def test_few_paths_are_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None)
    assert explore(two("x"), participants=Service, faults=1, jobs=2).ok


def test_a_worker_of_a_parallel_test_run_keeps_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert ahead.usable() == 1
