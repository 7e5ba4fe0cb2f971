"""``python -m tests.simulation.faults --seed 17``: replay one seed, or run many."""

from __future__ import annotations

import argparse
import sys
import time

from .campaign import campaign, one


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.faults")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many")
    parser.add_argument("--store", default="", help="memory or sqlite (default: as the seed says)")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first violation")
    options = parser.parse_args()
    if options.count == 1:
        failed = one(options.seed, options.store, trace=options.trace)
        print(failed or "no violation")
        return 1 if failed else 0
    began = time.process_time()
    report = campaign(
        range(options.seed, options.seed + options.count), options.store, stop=not options.keep_going
    )
    print(report.text())
    print(f"{report.seeds / (time.process_time() - began):.1f} seeds a second of processor time")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
