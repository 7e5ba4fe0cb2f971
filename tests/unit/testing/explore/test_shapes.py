"""Right sagas of many shapes: every path with two faults, and nothing is found."""

from __future__ import annotations

from typing import Any

import pytest

from amends import SagaCall
from amends.testing.explore import explore
from tests.unit.testing.explore.services import Service
from tests.unit.testing.explore.shapes import SHAPES, courier


def test_there_are_at_least_twelve() -> None:
    assert len({call.saga.name for call in SHAPES}) >= 12


@pytest.mark.parametrize("call", SHAPES, ids=lambda call: call.saga.name)
def test_nothing_is_found(call: SagaCall[Any], capsys: pytest.CaptureFixture[str]) -> None:
    report = explore(call, participants=Service, signals={"approved": [True, False]}, steps=[courier])
    with capsys.disabled():
        print(f"\nexplored {report.saga}: {report.runs:,} paths with up to {report.faults} faults")
    report.check()
    assert (report.faults, report.remaining) == (2, 0)
    assert report.runs > 100
    assert not any(note.code == "fails-anyway" for note in report.notes), str(report)


@pytest.mark.parametrize("call", SHAPES, ids=lambda call: call.saga.name)
def test_nothing_is_found_with_stubs(call: SagaCall[Any]) -> None:
    explore(call, faults=1, steps=[courier]).check()
