"""The campaign: many seeds, every kind of fault, no violation.

``AMENDS_SEEDS`` sets how many seeds the whole campaign plays (default: 20,000);
``make soak`` runs by time instead (``SOAK_MINUTES``, default 5).
"""

from __future__ import annotations

import os
import time

import pytest

from amends.testing.marks import SEEN

from . import kinds
from .campaign import Report, campaign
from .expected import MARKS

SEEDS = int(os.environ.get("AMENDS_SEEDS", "20000"))
SHARDS = 4  # each large enough that what is rare occurs in it
ENOUGH = SEEDS // SHARDS >= 2_000
SOAK = 60 * float(os.environ.get("SOAK_MINUTES", "5"))


def verdict(report: Report) -> None:
    """Print what was done; fail on a violation, and on anything that never happened."""
    print(report.text())
    assert not report.failures, "\n".join(report.failures)
    if not ENOUGH:
        return
    never = set(kinds.NAMES) - {kind for kind, count in report.faults.items() if count}
    assert not never, f"these faults never struck: {sorted(never)}"
    unseen = {mark for mark in MARKS if not SEEN[mark]}
    assert not unseen, f"these branches were never taken: {sorted(unseen)}"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_seed_breaks_a_promise(shard: int, record_property: pytest.RecordProperty) -> None:
    SEEN.clear()
    seeds = SEEDS // SHARDS
    report = campaign(range(shard * seeds, (shard + 1) * seeds))
    record_property("seeds", report.seeds)
    record_property("faults", report.faults.total())
    record_property("said", f"shard {shard}: {report.head()}\n    {dict(sorted(report.shapes.items()))}")
    verdict(report)
    assert report.seeds == seeds
    assert not ENOUGH or report.faults.total() >= 5 * seeds


def test_there_are_at_least_thirty_kinds() -> None:
    assert len(kinds.NAMES) == len(set(kinds.NAMES)) >= 30
    assert all(kind.what and kind.area for kind in kinds.ALL)


@pytest.mark.soak
def test_no_seed_breaks_a_promise_for_long() -> None:
    SEEN.clear()
    total, ends, seed = Report(), time.monotonic() + SOAK, 1_000_000
    while time.monotonic() < ends and not total.failures:
        total.add(campaign(range(seed, seed + 1_000)))
        seed += 1_000
        print(total.head(), flush=True)
    verdict(total)
