"""`python -m bench [names…] [--quick] [--strict] [--json FILE]`: run scenarios, print, write JSON."""

from __future__ import annotations

import sys
from functools import partial

from . import command
from .probe import ROOT
from .scenarios import SCENARIOS
from .sizes import FULL, QUICK


def main() -> int:
    """Run what was asked for."""
    results = ROOT / "bench" / "results.json"
    options = command.given(
        command.parser("python -m bench", "Benchmarks of amends.", SCENARIOS, results), SCENARIOS
    )
    sizes = QUICK if options.quick else FULL
    scenarios = {name: partial(scenario, sizes) for name, scenario in SCENARIOS.items()}
    return command.run("amends benchmarks", options, scenarios, sizes.rounds)


if __name__ == "__main__":
    sys.exit(main())
