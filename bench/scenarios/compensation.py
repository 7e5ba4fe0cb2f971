"""Compensation: four steps succeed, the fifth is refused, four compensations run; 100 sagas in flight.

The peer has no compensations, so its workflow does what its users write: it remembers what it did, and on the
exception runs four undo steps in reverse.  Nine actions on both sides.
"""

from __future__ import annotations

from ..contestants import configurations, fastest, ours, peers, rate
from ..measure import Report, ratios
from ..rounds import column, interleave
from ..sizes import Sizes

ACTIONS = 9


def run(sizes: Sizes) -> Report:
    """Interleaved rounds of ours and the peer."""
    report = Report("compensation", f"4 steps, a rejection, 4 compensations, {sizes.width} at a time")
    results = interleave(
        sizes.rounds,
        {
            "amends": ours("compensation", count=sizes.compensated, width=sizes.width),
            **peers("compensation", sizes.apis, count=sizes.peer_compensated, width=sizes.width),
        },
    )
    sagas = {who: rate(each) for who, each in results.items()}
    for who, values in sagas.items():
        report.line(who, "sagas", "/s", values)
        report.line(who, "actions", "/s", [ACTIONS * value for value in values])
    mine = results["amends"]
    report.line("amends", "rows per saga", "", ratios(column(mine, "rows"), column(mine, "sagas")))
    report.line("amends", "CPU per action", "us", [1e6 * r["cpu"] / (ACTIONS * r["sagas"]) for r in mine])
    report.at_least("amends / DBOS", ratios(sagas["amends"], fastest(sagas, "DBOS")), 60)
    wal = ratios(sagas["amends"], fastest(sagas, "DBOS, WAL"))
    report.line("amends / DBOS, WAL", "sagas", "x", wal)
    configurations(report, results)
    return report
