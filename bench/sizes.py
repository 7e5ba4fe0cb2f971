"""How much each scenario does: `FULL` for figures worth quoting, `QUICK` to see that nothing broke.

The peer gets fewer executions than amends because it is slower: each contestant's window is a few seconds
long, so that both meet the same state of a shared machine.  Rates do not depend on the count; the runs
warm up first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts per round. `apis`: which of the peer's two programming interfaces to try (the faster one
    counts)."""

    rounds: int = 3
    width: int = 100
    sagas: int = 8000
    peer_sagas: int = 150
    one_by_one: int = 300
    peer_one_by_one: int = 40
    compensated: int = 4000
    peer_compensated: int = 100
    sleepers: int = 100_000
    peer_sleepers: int = 500
    journals: int = 400
    peer_journals: int = 50
    journal_steps: int = 20
    crashed: int = 1000
    peer_crashed: int = 400
    apis: tuple[str, ...] = ("async", "sync")


FULL = Sizes()
QUICK = Sizes(
    sagas=3000,
    peer_sagas=60,
    one_by_one=150,
    peer_one_by_one=20,
    compensated=1500,
    peer_compensated=40,
    sleepers=5_000,
    peer_sleepers=0,
    journals=150,
    peer_journals=0,
    peer_crashed=0,
    apis=("sync",),
)
