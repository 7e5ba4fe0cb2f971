"""Compensation order: random sagas against a reference written from DESIGN §3 (see `reference`).

Over 6,000 examples in `make test`; each test fails when it ran fewer than it says, and when what it is for never occurred.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .audit import audit
from .driver import Case
from .shapes import SHAPES
from .strategies import PROFILES, cases, happenings

EXAMPLES = 850
EXAMPLES_OF_A_SHAPE = 40

# What must have occurred in each profile, and what a profile is for.
EVERYWHERE = {
    "completed", "compensated", "partially_compensated", "settled", "interrupted", "undone side by side",
    "waited in order", "parked", "left as residue", "irreversible", "held", "held, then given up", "pivoted", "rolled back",
    "child undone", "fell back", "cancel: cancelled", "cancel: deadline", "cancel after the end of the body",
    "Retried", "Skipped", "Resolved", "evict", "crash", "defer", "abandon", "fail_commit",
}  # fmt: skip
OWN = {
    "nested": {"pivot of a child", "pivot refused", "cancel while the pivot was asked for"},
    "pivots": {
        "pivot of a child", "pivot refused", "cancel after the pivot", "abandon refused", "cancel and pivot in one row",
        "continued as new",
    },
}  # fmt: skip


def run(strategy: st.SearchStrategy[Case], examples: int | None) -> tuple[int, Counter[str]]:
    """Play so many examples (None: as many as the Hypothesis profile says); how many were, and what occurred."""
    seen: Counter[str] = Counter()
    ran = 0
    # What must occur at least once would now and then be missed by chance: the short run is the same each time.
    fixed = {"derandomize": True, "database": None}
    chosen = settings() if examples is None else settings(max_examples=examples, **fixed)

    @settings(chosen, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def every_promise_holds(case: Case) -> None:
        nonlocal ran
        ran += 1
        audit(case, seen)

    every_promise_holds()
    return ran, seen


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_random_sagas(profile: str, record_property: pytest.RecordProperty) -> None:
    ran, seen = run(cases(profile), EXAMPLES)
    record_property("examples", ran)
    print(f"{profile}: {ran:,} examples: {dict(sorted(seen.items()))}")
    assert ran >= EXAMPLES
    never = {what for what in EVERYWHERE | OWN.get(profile, set()) if not seen[what]}
    assert not never, f"{never} did not occur in {ran} examples"


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    ran, _ = run(happenings(SHAPES[shape]), EXAMPLES_OF_A_SHAPE)
    assert ran >= EXAMPLES_OF_A_SHAPE


def test_that_is_at_least_five_thousand_examples() -> None:
    assert EXAMPLES * len(PROFILES) >= 5_000


@pytest.mark.soak
@pytest.mark.parametrize("profile", PROFILES)
def test_random_sagas_for_long(profile: str) -> None:
    ran, seen = run(cases(profile), None)
    print(f"{profile}: {ran:,} examples: {dict(sorted(seen.items()))}")
    assert ran >= settings().max_examples


@pytest.mark.soak
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_for_long(shape: str) -> None:
    ran, _ = run(happenings(SHAPES[shape]), settings().max_examples // 5)
    assert ran >= settings().max_examples // 5
