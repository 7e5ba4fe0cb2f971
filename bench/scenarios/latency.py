"""Latency: sagas of five steps that do no work, one at a time, so that nothing can share a commit.

Our time per saga is set against the sequential commits it cannot do without: the same rows, one commit
each, by the same driver, nothing around them.  Rounds are short and many, because two processes that
follow each other closely meet the same disk.
"""

from __future__ import annotations

from pathlib import Path

from ..contestants import RAW, configurations, ours, p50_ms, peers
from ..measure import Report, percentile, ratios
from ..probe import probe
from ..rounds import Result, column, interleave
from ..sizes import Sizes


def run(sizes: Sizes) -> Report:
    """Interleaved rounds of ours, raw and the peer; the peer in the first three only."""
    report = Report("latency", "5 steps of no work, one saga at a time")

    def raw(shared: Path) -> Result:
        return probe(RAW, "latency", source=str(shared / "ours.db"), target=str(shared / "raw.db"))

    close = {"amends": ours("latency", count=sizes.one_by_one, width=1), "raw commits": raw}
    results = interleave(
        sizes.rounds, {**close, **peers("latency", sizes.apis, count=sizes.peer_one_by_one, width=1)}
    )
    for who, more in interleave(sizes.rounds, close).items():
        results[who] += more
    describe(report, results)
    return report


def describe(report: Report, results: dict[str, list[Result]]) -> None:
    """Lines and the bar."""
    for who, each in results.items():
        report.line(who, "saga p50", "ms", p50_ms(each))
        report.line(who, "saga p99", "ms", [percentile(r["each"], 0.99) * 1e3 for r in each])
    mine, raw = results["amends"], results["raw commits"]
    report.line("amends", "commits per saga", "", ratios(column(mine, "commits"), column(mine, "sagas")))
    report.line("raw commits", "commits per saga", "", column(raw, "commits_per_saga"))
    report.line("amends", "CPU per saga", "us", [1e6 * r["cpu"] / r["sagas"] for r in mine])
    report.at_most("amends / raw commits", ratios(p50_ms(mine), p50_ms(raw)), 1.5)
    configurations(report, results)
