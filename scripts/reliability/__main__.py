"""Command line: which parts to measure, then the page."""

from __future__ import annotations

import argparse

from . import page
from .measure import PARTS, TESTED, measure


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.reliability", description="Measure; write the page."
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="part",
        help=f"{', '.join(PARTS)} (default: all), or page: only write it anew",
    )
    parser.add_argument("--minutes", type=float, default=5, help="of the soak, never under 200 kills (5)")
    parser.add_argument("--kills", type=int, default=200, help="for each system in the comparison (200)")
    parser.add_argument("--seeds", type=int, default=20_000, help="of the simulation (20,000)")
    parser.add_argument(
        "--tests", nargs="*", default=TESTED, metavar="PATH", help="which tests (default: all)"
    )
    given = parser.parse_args()
    unknown = set(given.parts) - {*PARTS, "page"}
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join([*PARTS, 'page'])}")
    for part in given.parts or PARTS:
        if part != "page":
            print(f"measuring: {part}", flush=True)
            measure(part, given)
    page.write()
    print(f"wrote {page.PAGE.relative_to(page.ROOT)}")


if __name__ == "__main__":
    main()
