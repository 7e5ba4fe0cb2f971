"""Throughput: sagas of five steps that do no work, 100 in flight, every acknowledged step flushed to
disk.

It measures what the engine itself costs.  Fair: same workload, same number in flight, same flush
guarantee (synchronous=FULL on both sides, read back and printed).  The peer runs as it comes, as we do, at
the better of its interfaces in each round, on its own file and on one set to WAL: these are what the bars
speak of.  It also runs with the best pool found; that is shown beside them.  The raw limit writes the rows of
our run again at our run's own mean batch.
"""

from __future__ import annotations

from pathlib import Path

from ..contestants import RAW, configurations, fastest, ours, peers, rate
from ..measure import Report, ratios
from ..probe import probe
from ..rounds import Result, column, interleave
from ..sizes import Sizes

STEPS = 5
TUNED = ", pool 1"


def run(sizes: Sizes) -> Report:
    """Interleaved rounds of ours, raw and the peer."""
    report = Report("throughput", f"{STEPS} steps of no work, {sizes.width} at a time")
    last: Result = {}

    def us(shared: Path) -> Result:
        last.update(ours("throughput", count=sizes.sagas, width=sizes.width)(shared))
        return dict(last)

    def raw(shared: Path) -> Result:
        batch = last["rows"] / last["commits"]
        return probe(
            RAW, "throughput", source=str(shared / "ours.db"), target=str(shared / "raw.db"), batch=batch
        )

    results = interleave(
        sizes.rounds,
        {
            "amends": us,
            "raw limit": raw,
            **peers("throughput", sizes.apis, count=sizes.peer_sagas, width=sizes.width, pool=0),
            **peers("throughput", sizes.apis, said=TUNED, count=sizes.peer_sagas, width=sizes.width, pool=1),
        },
    )
    describe(report, results)
    return report


def describe(report: Report, results: dict[str, list[Result]]) -> None:
    """Lines and bars."""
    mine = results["amends"]
    rows = rate(mine, "rows")
    limit = column(results["raw limit"], "rows_per_second")
    sagas = {who: rate(each) for who, each in results.items() if who != "raw limit"}
    for who, values in sagas.items():
        report.line(who, "steps", "/s", [STEPS * value for value in values])
    report.line("amends", "journal rows", "/s", rows)
    report.line("raw limit", "journal rows", "/s", limit)
    report.line("amends", "rows per commit", "", ratios(column(mine, "rows"), column(mine, "commits")))
    per_step = [1e6 * r["cpu"] / (STEPS * r["sagas"]) for r in mine]
    report.line("amends", "CPU per step, all of the process", "us", per_step)
    report.line("amends", "commit p50", "ms", [r["commit"]["p50_ms"] for r in mine])
    report.line("amends", "commit p99", "ms", [r["commit"]["p99_ms"] for r in mine])
    report.at_least("amends / DBOS", ratios(sagas["amends"], fastest(sagas, "DBOS")), 100)
    report.at_least("amends / DBOS, WAL", ratios(sagas["amends"], fastest(sagas, "DBOS, WAL")), 60)
    for who in ("DBOS", "DBOS, WAL"):
        tuned = ratios(sagas["amends"], fastest(sagas, who + TUNED))
        report.line("amends", f"to {who}{TUNED}", "x", tuned)
    report.at_least("journal rows / raw limit", ratios(rows, limit), 0.08, "%")
    configurations(report, results)
