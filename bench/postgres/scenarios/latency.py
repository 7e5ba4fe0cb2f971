"""Latency: one saga at a time, so that nothing can share a commit, beside the commits of one row that it
needs."""

from __future__ import annotations

from ...contestants import configurations, p50_ms
from ...measure import Report, percentile, ratios
from ...rounds import Result
from .. import contestants as them
from ..sizes import Sizes


def run(url: str, sizes: Sizes) -> Report:
    """Ours, then the same rows one a commit, in turns."""
    report = Report("latency", "5 steps of no work, one saga at a time")
    results: dict[str, list[Result]] = {"amends": [], "raw commits": []}
    for _ in range(max(3, sizes.rounds)):
        schema = them.new_name()
        results["amends"].append(them.ours(url, schema, count=sizes.one_by_one, width=1))
        results["raw commits"].append(them.raw(url, schema, 1))
    mine, single = results["amends"], results["raw commits"]
    needed = [r["commits"] / r["sagas"] for r in mine]
    each = [1e3 * r["seconds"] / r["commits"] for r in single]
    report.line("amends", "saga p50", "ms", p50_ms(mine))
    report.line("amends", "saga p99", "ms", [percentile(r["each"], 0.99) * 1e3 for r in mine])
    report.line("amends", "commits per saga", "", needed)
    report.line("amends", "commit p50", "ms", [r["commit"]["p50_ms"] for r in mine])
    report.line("amends", "commit p99", "ms", [r["commit"]["p99_ms"] for r in mine])
    report.line("raw commits", "commit, mean", "ms", each)
    raw = [count * ms for count, ms in zip(needed, each, strict=True)]
    report.at_most("amends / its raw commits", ratios(p50_ms(mine), raw), 1.7)
    configurations(report, results)
    return report
