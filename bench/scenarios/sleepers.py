"""Sleepers: executions that sleep must cost no memory, and must not shake the others when all wake at
once.

One process starts them (100 starts in flight) and keeps no handles; its resident memory is read before
the first and when all sleep. So what starting them left behind (caches, a fragmented heap) counts against
us too.  All sleep until the same moment; from half a second before it until the last has completed, every
commit is timed.  The peer keeps its sleepers in memory; its figure is per sleeper, from a smaller number.
"""

from __future__ import annotations

from pathlib import Path

from ..contestants import JOURNALS, PEER, configurations, ours
from ..measure import Report, ratios
from ..peers.environment import python
from ..probe import probe
from ..rounds import Contestant, Result, column, interleave
from ..sizes import Sizes

LIMIT_MIB = 30
EVEN = 10


def run(sizes: Sizes) -> Report:
    """One round: memory and commits of so many executions average by themselves."""
    count = sizes.sleepers
    report = Report("sleepers", f"{count:,} executions asleep, then all awake at once")
    results = interleave(1, {"amends": ours("sleepers", count=count, timeout=900)})
    mine = results["amends"]
    describe(report, mine, count)
    if any(result["late"] for result in mine):
        report.notes.append("LATE: some were still in memory for their timer when the others woke")
    if sizes.peer_sleepers:
        results |= interleave(
            1, {name: peer(journal, sizes.peer_sleepers) for name, journal in JOURNALS.items()}
        )
        for name in JOURNALS:
            report.line(name, "memory per sleeper", "KiB", column(results[name], "kib_each"))
            rate = [sizes.peer_sleepers / seconds for seconds in column(results[name], "seconds")]
            report.line(name, f"woken and completed ({sizes.peer_sleepers})", "/s", rate)
    configurations(report, results)
    return report


def peer(journal: str, count: int) -> Contestant:
    """DBOS in that configuration with `count` sleeping workflows."""

    def go(shared: Path) -> Result:
        path = str(shared / f"dbos-{journal}.db")
        return probe(PEER, "sleepers", python=python(), path=path, journal=journal, count=count)

    return go


def describe(report: Report, mine: list[Result], count: int) -> None:
    """Lines and bars."""
    grown = [value / 1024 for value in column(mine, "grown_kib")]
    commits = [result["commit"] for result in mine]
    report.line("amends", "memory of the idle worker", "MiB", [v / 1024 for v in column(mine, "idle_kib")])
    report.line("amends", "memory of the sleepers", "MiB", grown)
    report.line("amends", "memory per sleeper", "KiB", [value * 1024 / count for value in grown])
    report.line("amends", "resident while asleep", "", column(mine, "resident"))
    report.line("amends", "started", "/s", column(mine, "started_per_second"))
    report.line(
        "amends", "woken and completed", "/s", ratios(column(mine, "complete"), column(mine, "awake_seconds"))
    )
    for key in ("p50_ms", "p99_ms", "max_ms"):
        report.line("amends", f"commit {key.removesuffix('_ms')} while waking", "ms", column(commits, key))
    report.at_least("executions complete", column(mine, "complete"), count, "")
    report.at_most("memory over the idle worker", grown, LIMIT_MIB, "MiB")
    even = [commit["p99_ms"] / commit["p50_ms"] for commit in commits]
    report.at_most("commit p99 / p50 while waking", even, EVEN)
