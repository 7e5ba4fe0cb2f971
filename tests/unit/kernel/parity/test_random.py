"""Random programs: alike on both loops, the same when resumed from any row, and the same under all versions."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import corpus
from .driver import left_the_code, replayed, resumed, run_kernel
from .grammar import Tree, program_of, trees
from .real import run_real

DIFFERENT: frozenset[str] = frozenset()
"""What this version's own asyncio does in another way (see `amends.kernel.compat`)."""
if sys.version_info < (3, 13):
    DIFFERENT |= {"group", "gate", "notified"}
if sys.version_info < (3, 12):
    DIFFERENT |= {"wait_for", "put", "get"}

HALF = settings(max_examples=settings.default.max_examples // 2)
ALIKE = st.booleans().flatmap(lambda steps: trees(steps=steps, without=DIFFERENT))
ANY = st.booleans().flatmap(lambda steps: trees(steps=steps))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Random programs forget errors in tasks; asyncio and the kernel would log each."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def until_the_end(ended: str, said: list[Any]) -> Any:
    """What was said until the body ended: what runs on after it may start nothing more in a saga."""
    for place, line in enumerate(said):
        if line[1] in {"returned", "raised"}:
            said = said[: place + 1]
            break
    return json.loads(json.dumps([ended, said]))


@HALF
@given(tree=ALIKE)
def test_random_program_behaves_alike(tree: Tree) -> None:
    program = program_of(tree)
    ended, trace = run_real(program)
    run = run_kernel(program)
    run.instance.discard()
    assert until_the_end(run.ended, run.trace.said) == until_the_end(ended, trace.said)


@HALF
@given(tree=ANY)
def test_random_program_goes_on_from_each_row(tree: Tree) -> None:
    program = program_of(tree)
    original = run_kernel(program)
    original.instance.discard()
    if not original.stuck:
        again = replayed(program, original.rows)
        assert (again.rows, again.trace.said) == (original.rows, original.trace.said)
        again.instance.discard()
    for count in range(1, len(original.rows) + 1):
        again = resumed(program, original, count)
        assert (again.rows, again.ended) == (original.rows, original.ended)
        if not left_the_code(original.rows[:count]):
            assert again.trace.said == original.trace.said
        again.instance.discard()


def test_a_corpus_of_programs_is_the_same_in_all_versions() -> None:
    """Their commands and traces, as digests recorded once: 300 programs that Hypothesis drew."""
    kept = corpus.read()
    assert len(kept.trees) >= 300
    differ = [
        tree
        for tree, expected in zip(kept.trees, kept.digests, strict=True)
        if corpus.digest(program_of(tree)) != expected
    ]
    assert differ == []
