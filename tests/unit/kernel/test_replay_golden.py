"""Journals written under 3.11, 3.12 and 3.13 replay under whichever of them runs this."""

from __future__ import annotations

import pytest

from tests.unit.kernel.parity import golden
from tests.unit.kernel.parity.driver import Run, replayed, resumed, run_kernel, state
from tests.unit.kernel.parity.programs import PROGRAMS, TABLE
from tests.unit.kernel.parity.world import Program

VERSIONS = ["3.11", "3.12", "3.13"]
RECORD = "run `python -m tests.unit.kernel.parity record` under each Python version"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_program_has_a_golden_journal(version: str) -> None:
    known = set(golden.read(version))
    assert {program.name for program in PROGRAMS} - known == set(), RECORD
    assert known - set(TABLE) == set(), "a golden journal has lost its program; programs are never removed"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_golden_journal_replays(program: Program, version: str) -> None:
    journal = golden.read_one(version, program.name)
    again = replayed(program, journal.rows)
    assert again.rows == journal.rows
    if journal.ended != "stuck":
        assert again.trace.said == journal.said
        loaded = Run(program).load(journal.rows)
        assert state(loaded.instance) == state(again.instance)
        assert loaded.ended == journal.ended
        loaded.instance.discard()
    again.instance.discard()


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_journals_are_gone_on_with(version: str) -> None:
    """Begun under one version, ended under another: loaded half-way, and run to the same end."""
    for program in PROGRAMS:
        journal = golden.read_one(version, program.name).rows
        here = run_kernel(program)
        for count in {len(journal) // 2, len(journal) - 1} - {-1, 0}:
            again = resumed(program, here, count, journal)
            assert again.ended == here.ended
            assert [(row.now, row.commands) for row in again.rows] == [(r.now, r.commands) for r in journal]
            again.instance.discard()
        here.instance.discard()


def test_all_versions_wrote_the_same() -> None:
    """Not only do they replay each other: but for the version's own name they are equal."""
    first, *others = (golden.read(version) for version in VERSIONS)
    for other in others:
        assert {n: (j.ended, j.said) for n, j in first.items()} == {
            n: (j.ended, j.said) for n, j in other.items()
        }
        for name, journal in first.items():
            mine = [(row.now, row.commands) for row in journal.rows]
            assert mine == [(row.now, row.commands) for row in other[name].rows]
