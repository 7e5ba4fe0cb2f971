"""Workers: one, two and four processes on one store, each with its share of the same sagas at the same
moment."""

from __future__ import annotations

from ...contestants import configurations
from ...measure import Report, ratios
from ...rounds import Result
from .. import contestants as them
from ..sizes import Sizes


def run(url: str, sizes: Sizes) -> Report:
    """In turns; the windows of one round's workers open together, the longest counts."""
    report = Report("workers", f"5 steps of no work, {sizes.width} at a time in each of 1, 2, 4 workers")
    rates: dict[int, list[float]] = {count: [] for count in sizes.workers}
    results: dict[str, list[Result]] = {}
    for _ in range(sizes.rounds):
        for count in sizes.workers:
            schema = them.new_name()
            one = {"url": url, "schema": schema, "count": sizes.sagas // count, "width": sizes.width}
            found = them.together("load", [one] * count)
            if any(result["late"] for result in found):
                report.notes.append(f"{count} workers: a window opened late")
            rates[count].append(sum(r["sagas"] for r in found) / max(r["seconds"] for r in found))
            results.setdefault(f"{count} workers", []).append(found[0])
    for count, values in rates.items():
        report.line(f"{count} workers", "steps", "/s", [5 * value for value in values])
    report.at_least("two workers / one", ratios(rates[2], rates[1]), 1.2)
    if 4 in rates:
        report.line("4 workers", "to one", "x", ratios(rates[4], rates[1]))
    configurations(report, results)
    return report
