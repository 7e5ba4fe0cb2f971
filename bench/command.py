"""What every set of benchmarks does at the command line: run scenarios, print, write JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .environment import describe, wanted_and_stolen
from .measure import Report
from .probe import ProbeFailed
from .report import configurations, render, short, verdict, write_json

Scenario = Callable[[], Report]
STOLEN = 0.1
"""From this share of the processor time on that others on the host have, a figure is not to be believed."""


def parser(
    prog: str, description: str, scenarios: Mapping[str, object], results: Path
) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("names", nargs="*", metavar="name", help=f"scenarios: {', '.join(scenarios)} (all)")
    made.add_argument("--quick", action="store_true", help="small sizes: nothing broke, figures not to quote")
    made.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    made.add_argument("--json", type=Path, default=results, metavar="FILE")
    return made


def given(parsing: argparse.ArgumentParser, scenarios: Mapping[str, object]) -> argparse.Namespace:
    """What was asked for; a name that is none ends the program."""
    found = parsing.parse_args()
    unknown = sorted(set(found.names) - set(scenarios))
    if unknown:
        parsing.error(f"no scenario {', '.join(unknown)}; there are {', '.join(scenarios)}")
    return found


def run(title: str, options: argparse.Namespace, scenarios: Mapping[str, Scenario], rounds: int) -> int:
    """Run what was asked for; returns the exit code."""
    mode = "quick" if options.quick else "full"
    where = describe()
    print(f"{title} ({mode}; {rounds} rounds of what is repeated)\n  {short(where)}\n", flush=True)
    if where["load_at_start"] > where["cores"]:
        print("  BUSY: others use this machine; repeat before believing a pass or a miss\n", flush=True)
    reports: list[Report] = []
    broken: list[str] = []
    for name in options.names or scenarios:
        began, before = time.perf_counter(), wanted_and_stolen()
        try:
            report = scenarios[name]()
        except ProbeFailed as error:
            print(f"{name}: FAILED\n{error}", flush=True)
            broken.append(name)
            continue
        report.notes.append(f"took {time.perf_counter() - began:.0f} s{_stolen(*before)}")
        reports.append(report)
        print(render(report), flush=True)
        write_json(options.json, where, mode, reports)
    print(configurations(reports))
    print(verdict(reports))
    missed = [bar for report in reports for bar in report.bars if not bar.passed]
    print(f"{len(missed)} bar(s) missed; every figure is in {options.json}")
    if broken:
        print(f"could not be measured: {', '.join(broken)}")
    return 1 if broken or (missed and options.strict) else 0


def _stolen(wanted_before: int, stolen_before: int) -> str:
    wanted, stolen = wanted_and_stolen()
    if wanted == wanted_before:  # the system does not say
        return ""
    share = (stolen - stolen_before) / (wanted - wanted_before)
    said = f"; of the processor time that was wanted others on the host had {share:.1%}"
    return f"{said} (BUSY: repeat before believing a pass or a miss)" if share >= STOLEN else said
