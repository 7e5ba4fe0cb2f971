"""Growth: a steady load with retention, the server's own autovacuum, for an hour (or `--minutes`): do the
tables grow for ever, and does it become slower?

What ended longer ago than a tenth of the time is deleted, so after the first fifth as much is deleted as is
written.
"""

from __future__ import annotations

import psycopg

from ...measure import Report
from ...probe import probe
from .. import contestants as them
from ..sizes import Sizes


def run(url: str, sizes: Sizes) -> Report:
    """One run."""
    seconds = 60 * sizes.growth_minutes
    report = Report("growth", f"{sizes.growth_minutes:g} minutes of steady load with retention")
    schema = them.new_name()
    found = probe(
        them.OURS,
        "grow",
        timeout=seconds + 300,
        url=url,
        schema=schema,
        seconds=seconds,
        width=20,
        retention=seconds / 10,
    )
    rates = found["rates"]
    report.line("amends", "sagas, by tenths of the time", "/s", rates)
    report.line("amends", "last fifth to the second", "x", [sum(rates[-2:]) / sum(rates[2:4])])
    report.configurations["amends"] = found["configuration"]
    with psycopg.connect(url, autocommit=True) as connection:
        for table, tenths in found["sizes"].items():
            query = f"""
                SELECT n_live_tup, n_dead_tup, autovacuum_count
                FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = '{table}'
            """
            live, gone, vacuums = connection.execute(query.encode()).fetchone() or (0, 0, 0)
            report.line(table, "size, by tenths of the time", "MiB", tenths)
            report.line(table, "size at the end to that at half-time", "x", [tenths[-1] / tenths[4]])
            report.line(table, "rows, live", "", [float(live)])
            report.line(table, "rows, dead", "", [float(gone)])
            report.line(table, "autovacuums", "", [float(vacuums)])
    report.line("amends", "sagas, all", "", [float(found["sagas"])])
    return report
