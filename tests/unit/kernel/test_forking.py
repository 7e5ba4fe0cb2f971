"""Every golden journal, cut before each of its rows: what was the original's replays under another uid, and goes on
as the journal says.
"""

from __future__ import annotations

from typing import Any

import pytest

from amends.kernel import entries as e
from amends.kernel.forking import Forked
from tests.unit.kernel.parity import golden
from tests.unit.kernel.parity.driver import Run, fresh, left_the_code, replayed, state
from tests.unit.kernel.parity.programs import PROGRAMS
from tests.unit.kernel.parity.world import Program, writing_to

VERSIONS = ["3.11", "3.12", "3.13"]
SKEW = 5000.0  # seconds for which nobody went on


def forked(program: Program, rows: list[e.Row], cut: int) -> list[e.Row]:
    """The journal of a fork: rows before the cut, whose they are, the events of the row at the cut."""
    said = Forked(f"uid-{program.name}", program.name, program.name, "?", "?", SKEW)
    at = rows[cut].now + SKEW
    mark = e.seal(cut, at, [said], [], rows[cut - 1].checksum if cut else 0)
    events = e.decode_events(rows[cut].events)
    return [*rows[:cut], mark, e.seal(cut + 1, at, events, [e.Defer()], mark.checksum)]


def heir(program: Program) -> Run:
    run = Run(program)
    run.instance.uid, run.instance.id = "uid-heir", "heir"
    return run


def shown(command: Any) -> tuple[str, str]:
    """What it is and where: not when it is due, which uid it has, what chance said."""
    return type(command).__struct_config__.tag, getattr(command, "id", "")


def cuts(rows: list[e.Row]) -> list[int]:
    """Rows before which the saga's code still runs, and before which nothing waits for its activation."""
    deferred = [e.Defer() in e.decode_commands(row.commands) for row in rows]
    return [at for at in range(len(rows)) if not left_the_code(rows[:at]) and not (at and deferred[at - 1])]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_a_fork_replays_and_goes_on(program: Program, version: str) -> None:
    journal = golden.read_one(version, program.name)
    for cut in cuts(journal.rows):
        rows = forked(program, journal.rows, cut)
        run = heir(program).load(rows)
        instance = run.instance
        assert instance.identity is instance
        assert instance.ledger.forked is not None
        assert {action.origin for action in instance.ledger.actions.values()} <= {f"uid-{program.name}"}
        with writing_to(run.trace):
            decision = instance.activate([], journal.rows[cut].now + SKEW)
        assert [shown(each) for each in decision.commands] == [
            shown(each) for each in e.decode_commands(journal.rows[cut].commands)
        ]
        rows.append(instance.seal(decision))
        folded = heir(program).instance
        folded.fold(rows)
        assert state(folded) == state(instance), "state equals fold of the journal"
        again = heir(program).load(rows) if instance.program is not None else None
        if again is not None:
            assert state(again.instance) == state(instance)
            again.instance.discard()
        instance.discard()


def test_what_waited_has_as_much_time_as_it_had() -> None:
    started = e.Started(e.Raw(b"{}"), deadline=100.0)
    rows = [e.seal(0, 10.0, [started], [e.RunStep("1", "s", e.Raw(b"{}")), e.StartTimer("2", 40.0)], 0)]
    rows.append(e.seal(1, 500.0, [Forked("u", "o", "o", "3", "s", 480.0)], [], rows[0].checksum))
    folded = fresh(PROGRAMS[0])
    folded.fold(rows)
    ledger = folded.ledger
    assert (ledger.timers, ledger.deadline) == ({"2": 520.0}, 580.0)
    assert (ledger.actions["1"].opened_at, ledger.actions["1"].origin) == (490.0, "u")


def test_a_fork_of_a_fork_keeps_the_first_origin() -> None:
    def run(id: str) -> list[Any]:
        return [e.RunStep(id, "s", e.Raw(b"{}"), e.UNDO_STEP)]

    rows = [e.seal(0, 1.0, [e.Started(e.Raw(b"{}"))], run("1"), 0)]
    rows.append(e.seal(1, 2.0, [Forked("first", "o", "o", "2", "s")], [], rows[-1].checksum))
    rows.append(e.seal(2, 3.0, [e.Completed("1", e.NULL)], run("2"), rows[-1].checksum))
    rows.append(e.seal(3, 4.0, [Forked("second", "p", "p", "3", "s")], run("3"), rows[-1].checksum))
    folded = fresh(PROGRAMS[0])
    folded.fold(rows)
    origins = {id: action.origin for id, action in folded.ledger.actions.items()}
    assert origins == {"1": "first", "2": "second", "3": ""}


def test_the_original_diverges_where_its_identity_is_lost() -> None:
    """(That the test above can fail: chance, nested sagas and names follow from the uid.)"""
    program = next(each for each in PROGRAMS if each.name == _with_chance())
    rows = golden.read_one("3.11", program.name).rows
    run = heir(program)
    before = [shown(each) for row in rows for each in e.decode_commands(row.commands)]
    assert before
    assert replayed(program, rows).rows == rows
    with pytest.raises(Exception, match="no longer does what journal row"):
        run.load([row for row in rows if not left_the_code(rows[: row.position + 1])])


def _with_chance() -> str:
    """A program whose journal depends on its uid."""
    for program in PROGRAMS:
        rows = golden.read_one("3.11", program.name).rows
        if any('["child"' in row.commands for row in rows):
            return program.name
    raise AssertionError("no program has a nested saga")
