"""Replay: how fast journals are brought back to where they were, which is what recovery and waking cost.

Two views.  In the kernel: rows per second of replaying journals of 5 and of 100 steps, against a bare
loop that drives the same coroutines without a journal (alternating in one process).  From the file: a new
process opens a file with unfinished executions, each with its recorded steps, and the clock runs until
all of them have ended; there the peer does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..contestants import JOURNALS, OURS, PEER, configurations, rate
from ..measure import Report, ratios
from ..peers.environment import python
from ..probe import probe
from ..rounds import Contestant, Result, interleave
from ..sizes import Sizes

ROWS = 20_000
LENGTHS = (5, 100)
LIMIT = 0.30


def from_file(record: Callable[[str], Result], replay: Callable[[str], Result], name: str) -> Contestant:
    """Record in one process, replay in another."""

    def go(shared: Path) -> Result:
        path = str(shared / f"{name}.db")
        record(path)
        return replay(path)

    return go


def ours(count: int, steps: int) -> Contestant:
    def run(what: str) -> Callable[[str], Result]:
        return lambda path: probe(OURS, what, path=path, count=count, steps=steps)

    return from_file(run("record"), run("replay"), "ours")


def peer(journal: str, count: int, steps: int) -> Contestant:
    def run(what: str) -> Callable[[str], Result]:
        return lambda path: probe(
            PEER, what, python=python(), path=path, journal=journal, count=count, steps=steps
        )

    return from_file(run("record"), run("replay"), f"dbos-{journal}")


def run(sizes: Sizes) -> Report:
    """The kernel against the bare loop, then ours and the peer from the file."""
    report = Report("replay", "journals brought back to where they were")
    for steps in LENGTHS:
        both = probe("bench.ours.replaying", "measure", steps=steps, rows=ROWS, rounds=2 * sizes.rounds - 1)
        report.line("amends, in the kernel", f"rows replayed ({steps} steps)", "/s", both["replay"])
        report.line("bare loop", f"activations ({steps} steps)", "/s", both["bare"])
        report.at_least(
            f"replay / bare loop, {steps} steps", ratios(both["replay"], both["bare"]), LIMIT, "%"
        )
    results = interleave(sizes.rounds, {"amends": ours(sizes.journals, sizes.journal_steps)})
    if sizes.peer_journals:
        results |= interleave(
            1,
            {
                name: peer(journal, sizes.peer_journals, sizes.journal_steps)
                for name, journal in JOURNALS.items()
            },
        )
    for who, each in results.items():
        report.line(
            who, f"steps replayed from the file ({sizes.journal_steps} each)", "/s", rate(each, "rows")
        )
    configurations(report, results)
    return report
