"""How the mutants of the last `make mutate` ended, by module; kept in docs/reliability.json.

A module that was not mutated this time stays as it was measured before.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

from scripts.reliability import page
from scripts.reliability.measure import keep

MUTANTS = page.ROOT / "mutants"
KILLED = {"killed", "timeout", "segfault", "suspicious"}
"""A mutant that hangs, or takes Python with it, does not go unnoticed."""


def ended(meta: Path) -> Counter[str]:
    """Of one module's mutants: how many were killed, survived, or have no test that comes there."""
    codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].values()
    found = Counter(status_by_exit_code[code] for code in codes if code is not None)
    return Counter(
        mutants=found.total(),
        killed=sum(found[status] for status in KILLED),
        survived=found["survived"],
        untested=found["no tests"],
    )


def main() -> None:
    """Print the table, and keep it."""
    table = {
        meta.relative_to(MUTANTS / "src").as_posix().removesuffix(".meta"): dict(counts)
        for meta in sorted(MUTANTS.rglob("*.meta"))
        if (counts := ended(meta))["mutants"]
    }
    for name, counts in table.items():
        killed, mutants = counts["killed"], counts["mutants"]
        print(f"{killed / mutants:7.1%} {killed:5} of {mutants:5}  {name}")
    keep("mutation", {"mutation": table})
    page.write()


if __name__ == "__main__":
    main()
