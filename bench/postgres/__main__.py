"""`python -m bench.postgres [names…] [--quick] [--minutes M] [--strict] [--json FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .. import command
from ..measure import Report
from ..probe import ROOT
from .scenarios import SCENARIOS
from .servers import postgres
from .sizes import FULL, QUICK, Sizes


def on_its_own_server(scenario: Callable[[str, Sizes], Report], sizes: Sizes) -> Report:
    """What one scenario leaves behind weighs on no other."""
    with postgres() as url:
        return scenario(url, sizes)


def main() -> int:
    """Run what was asked for."""
    results = ROOT / "bench" / "results-postgres.json"
    parser = command.parser("python -m bench.postgres", "Benchmarks on PostgreSQL.", SCENARIOS, results)
    parser.add_argument("--minutes", type=float, help="how long `growth` takes (60)")
    options = command.given(parser, SCENARIOS)
    sizes = QUICK if options.quick else FULL
    if options.minutes:
        sizes = replace(sizes, growth_minutes=options.minutes)
    scenarios = {name: partial(on_its_own_server, scenario, sizes) for name, scenario in SCENARIOS.items()}
    return command.run("amends benchmarks on PostgreSQL", options, scenarios, sizes.rounds)


if __name__ == "__main__":
    sys.exit(main())
