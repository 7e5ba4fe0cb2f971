"""Claims: executions that nobody owns, taken with journal and inbox 256 at a time by one worker, and by two
at once."""

from __future__ import annotations

from ...measure import Report
from ...probe import probe
from .. import contestants as them
from ..sizes import Sizes


def run(url: str, sizes: Sizes) -> Report:
    """Filled, then claimed, in turns."""
    report = Report("claims", f"{sizes.claims:,} executions due, claimed by 1 and by 2 workers")
    started: list[float] = []
    for count in (1, 2):
        rates = []
        for _ in range(sizes.rounds):
            schema = them.new_name()
            filled = probe(them.OURS, "fill", url=url, schema=schema, count=sizes.claims)
            started.append(filled["count"] / filled["seconds"])
            found = them.together("claims", [{"url": url, "schema": schema}] * count, ahead=4.0)
            taken = sum(result["taken"] for result in found)
            assert taken == sizes.claims, f"{taken} of {sizes.claims} were claimed"
            rates.append(taken / max(result["seconds"] for result in found))
        report.line(f"{count} workers", "claims", "/s", rates)
    report.line("one client", "starts", "/s", started)
    return report
