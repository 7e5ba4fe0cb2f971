"""Same code, same journal, same decisions: each program replayed 100 times, and continued from each row."""

from __future__ import annotations

import pytest

from amends.kernel import entries as e
from amends.kernel import replay

from .driver import Run, left_the_code, replayed, resumed, run_kernel, state
from .programs import PROGRAMS
from .world import Program

TIMES = 100


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay forgives an order of commands that changed, and new defaults; here nothing is to be forgiven."""

    def refuse(self: object, row: e.Row, issued: list[object], journaled: list[object]) -> None:
        raise AssertionError(f"row {row.position}: replay issues {issued}, the journal has {journaled}")

    monkeypatch.setattr(replay, "reconcile", refuse)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_program_replays_a_hundred_times(program: Program) -> None:
    original = run_kernel(program)
    whole = [] if original.stuck else state(original.instance)
    for _ in range(TIMES):
        again = replayed(program, original.rows)
        assert again.rows == original.rows
        if not original.stuck:  # what it did after its last row is in no journal
            assert again.trace.said == original.trace.said
            assert state(again.instance) == whole
        again.instance.discard()
    original.instance.discard()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_program_goes_on_from_each_row(program: Program) -> None:
    """Evicted at every await: whatever was in memory, the journal brings it back."""
    original = run_kernel(program)
    for count in range(1, len(original.rows) + 1):
        again = resumed(program, original, count)
        assert again.rows == original.rows
        assert again.ended == original.ended
        if left_the_code(original.rows[:count]):
            assert again.trace.said == []
        elif not original.instance.ledger.run:
            assert again.trace.said == original.trace.said
        else:  # code of the runs before the last is not run again
            assert again.trace.said
            assert again.trace.said == original.trace.said[-len(again.trace.said) :]
        again.instance.discard()
    original.instance.discard()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_program_loads_from_each_row(program: Program) -> None:
    """What `load` brings back is what the live instance had when it wrote that row."""
    original = run_kernel(program)
    live = Run(program)
    for count, row in enumerate(original.rows, 1):
        commands = e.decode_commands(row.commands)
        live.instance.journaled_patches |= {c.change for c in commands if isinstance(c, e.Patch)}
        live.instance.seal(live.instance.activate(e.decode_events(row.events), row.now))
        loaded = Run(program).load(original.rows[:count])
        assert state(loaded.instance) == state(live.instance)
        loaded.instance.discard()
    live.instance.discard()
    original.instance.discard()
