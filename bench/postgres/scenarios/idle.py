"""Idle: a worker with nothing to do, for a minute. All transactions of its database are counted by the
server."""

from __future__ import annotations

from ...contestants import configurations
from ...measure import Report
from ...probe import probe
from .. import contestants as them
from .. import servers
from ..sizes import Sizes


def run(url: str, sizes: Sizes) -> Report:
    """In turns of one."""
    report = Report("idle", f"a worker with nothing to do for {sizes.idle_seconds:g} s")
    results = []
    for _ in range(sizes.rounds):
        with servers.new_database(url, them.new_name()) as own:
            results.append(probe(them.OURS, "idle", url=own, schema="amends", seconds=sizes.idle_seconds))
    report.at_most("CPU of a core", [r["cpu"] / r["seconds"] for r in results], 0.01, "%")
    report.at_most("transactions", [r["transactions"] / r["seconds"] for r in results], 5, "/s")
    configurations(report, {"amends": results})
    return report
