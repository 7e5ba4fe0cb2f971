"""Throughput: sagas of five steps of no work, 100 in flight, every acknowledged step flushed to disk.

All that use PostgreSQL use the same server, with stock settings.  DBOS runs with its default pool and with
others, by both its interfaces, Absurd with one worker and with four: the best of each round counts.  Restate
keeps its own log, one partition, flushed; its steps run in another process, behind HTTP, so ours are shown
there as well.  The raw limit writes the rows of our run again, at our run's own mean batch.

A peer's setting that fails or hangs is put out and named; a peer with no setting left is not compared.
"""

from __future__ import annotations

from pathlib import Path

from ...contestants import configurations, rate
from ...measure import Report, ratios
from ...rounds import Contestant, Result, column, interleave
from .. import contestants as them
from ..sizes import Sizes

STEPS = 5
OURS = ("amends", "raw UNNEST", "amends, steps behind HTTP")
PEERS = (
    ("DBOS, default", "DBOS, default", 80),
    ("DBOS, best pool", "DBOS", 50),
    ("Absurd", "Absurd", 15),
    ("Restate", "Restate", 4),
)
"""What is compared, whose settings count (their names begin so), and the bar."""


def run(url: str, sizes: Sizes) -> Report:
    """Interleaved rounds of everybody."""
    report = Report("throughput", f"{STEPS} steps of no work, {sizes.width} at a time, fsync on")
    out: dict[str, str] = {}
    results = interleave(sizes.rounds, everybody(url, sizes), OURS, out)
    report.notes += [f"out: {name}: {why.splitlines()[-1]}" for name, why in out.items()]
    rates = {who: rate(each) for who, each in results.items() if who != "raw UNNEST"}
    for who, values in rates.items():
        report.line(who, "steps", "/s", [STEPS * value for value in values])
    mine, limit = results["amends"], results["raw UNNEST"]
    report.line("amends", "journal rows", "/s", rate(mine, "rows"))
    report.line("raw UNNEST", "journal rows", "/s", rate(limit, "rows"))
    report.line("amends", "rows per commit", "", ratios(column(mine, "rows"), column(mine, "commits")))
    report.line("amends", "CPU per step", "us", [1e6 * r["cpu"] / (STEPS * r["sagas"]) for r in mine])
    report.line("amends", "commit p50", "ms", [r["commit"]["p50_ms"] for r in mine])
    report.line("amends", "commit p99", "ms", [r["commit"]["p99_ms"] for r in mine])
    us, hop = rates["amends"], rates["amends, steps behind HTTP"]
    for against, who, bar in PEERS:
        if theirs := best(rates, who):
            report.at_least(f"amends / {against}", ratios(us, theirs), bar)
    if theirs := best(rates, "Restate"):
        report.line("amends, steps behind HTTP", "to Restate", "x", ratios(hop, theirs))
    report.at_least("journal rows / raw UNNEST", ratios(rate(mine, "rows"), rate(limit, "rows")), 0.12, "%")
    configurations(report, results)
    return report


def everybody(url: str, sizes: Sizes) -> dict[str, Contestant]:
    """Ours and the raw limit first, so that they meet the same disk."""
    last: Result = {}
    width = sizes.width

    def us(shared: Path) -> Result:
        schema = them.new_name()
        last.update(them.ours(url, schema, count=sizes.sagas, width=width), schema=schema)
        return dict(last)

    def raw(shared: Path) -> Result:
        return them.raw(url, last["schema"], last["rows"] / last["commits"])

    found: dict[str, Contestant] = {"amends": us, "raw UNNEST": raw}
    found["amends, steps behind HTTP"] = them.behind_http(url, count=sizes.hop_sagas, width=width)
    found["Restate"] = them.restate(count=sizes.restate_sagas, width=width)
    for clients in (1, 4):
        found[f"Absurd, {clients} workers"] = them.absurd(url, clients, count=sizes.absurd_sagas, width=width)
    for pool in (0, *sizes.pools):
        for api in ("async", "sync"):
            name = f"DBOS, {f'pool {pool}' if pool else 'default'}, {api}"
            found[name] = them.dbos(url, pool, api, count=sizes.dbos_sagas, width=width)
    return found


def best(rates: dict[str, list[float]], who: str) -> list[float]:
    """Round by round, the best of that peer's settings; empty when all are out."""
    settings = [values for name, values in rates.items() if name.startswith(who)]
    return [max(values) for values in zip(*settings, strict=True)]
