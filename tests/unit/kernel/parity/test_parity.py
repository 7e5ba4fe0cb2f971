"""The same program on the real loop and on ours behaves alike."""

from __future__ import annotations

import json
import sys

import pytest

from .driver import run_kernel
from .programs import PROGRAMS, REAL
from .real import run_real
from .world import Program

NOW = sys.version_info[:2]


def behaviour(ended: str, said: list[object], begun: list[tuple[float, str]]) -> list[object]:
    """What is compared: how it ended, all it said and when, and which steps were begun when."""
    return json.loads(json.dumps([ended, said, sorted(begun)]))  # type: ignore[no-any-return]


def on_kernel(program: Program, *, batched: bool = False) -> list[object]:
    run = run_kernel(program, batched=batched)
    run.instance.discard()
    return behaviour(run.ended, run.trace.said, run.trace.begun)


def on_asyncio(program: Program) -> list[object]:
    ended, trace = run_real(program)
    return behaviour(ended, trace.said, trace.begun)


def test_the_table_is_large_enough() -> None:
    assert len(REAL) >= 70
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize("program", REAL, ids=lambda p: p.name)
def test_program_behaves_alike(program: Program) -> None:
    """As on the real loop; or, where versions of asyncio differ, perhaps not as on this one's.

    (What the kernel does then stands in the golden journals of the others.)
    """
    if program.since <= NOW:
        assert on_kernel(program) == on_asyncio(program)
    else:
        assert program.why
        assert on_kernel(program) != on_asyncio(program)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_what_is_due_together_may_come_together(program: Program) -> None:
    """Several events in one activation: other rows, the same behaviour."""
    assert on_kernel(program) == on_kernel(program, batched=True)


def test_a_difference_is_seen() -> None:
    """The comparison can fail: two programs that differ by the order of two sleeps."""
    one, other = (p for p in REAL if p.name in {"sleeps", "sleeps_side_by_side"})
    assert on_kernel(one) != on_asyncio(other)
