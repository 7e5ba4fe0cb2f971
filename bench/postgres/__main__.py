"""`python -m bench.postgres [names…] [--quick] [--minutes M] [--strict] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from ..environment import describe
from ..measure import Report
from ..probe import ROOT, ProbeFailed
from ..report import configurations, render, short, verdict, write_json
from .scenarios import SCENARIOS
from .servers import postgres
from .sizes import FULL, QUICK


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description="Benchmarks on PostgreSQL.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"scenarios: {', '.join(SCENARIOS)} (all)")
    parser.add_argument("--quick", action="store_true", help="small sizes: figures not to quote")
    parser.add_argument("--minutes", type=float, help="how long `growth` takes (60)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results-postgres.json", metavar="FILE")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(SCENARIOS))
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return given


def main() -> int:
    """Run what was asked for."""
    given = arguments()
    sizes = QUICK if given.quick else FULL
    if given.minutes:
        sizes = replace(sizes, growth_minutes=given.minutes)
    where, mode = describe(), "quick" if given.quick else "full"
    print(f"amends benchmarks on PostgreSQL ({mode})\n  {short(where)}\n", flush=True)
    reports: list[Report] = []
    broken: list[str] = []
    for name in given.names or SCENARIOS:
        began = time.perf_counter()
        try:
            with postgres() as url:  # each a server of its own: what one leaves behind weighs on no other
                report = SCENARIOS[name](url, sizes)
        except ProbeFailed as error:
            print(f"{name}: FAILED\n{error}", flush=True)
            broken.append(name)
            continue
        report.notes.append(f"took {time.perf_counter() - began:.0f} s, {sizes.rounds} rounds")
        reports.append(report)
        print(render(report), flush=True)
        write_json(given.json, where, mode, reports)
    print(configurations(reports))
    print(verdict(reports))
    missed = [bar for report in reports for bar in report.bars if not bar.passed]
    print(f"{len(missed)} bar(s) missed; every figure is in {given.json}")
    if broken:
        print(f"could not be measured: {', '.join(broken)}")
    return 1 if broken or (missed and given.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
