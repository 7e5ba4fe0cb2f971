"""How the mutants of `make mutate` ended, by module; kept in docs/reliability.json.

A module that was measured more fully before stays as it was.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code

from scripts.reliability import page
from scripts.reliability.measure import keep

MUTANTS = page.ROOT / "mutants"
KILLED = {"killed", "timeout", "segfault"}
"""A mutant that hangs, or takes Python with it, does not go unnoticed."""


def ended(meta: Path) -> dict[str, int]:
    """Of one module's mutants: how many were tried, killed, survived, or have no test that comes there.

    What only the quick tests were tried on (`quick`, see `scripts.mutate`) is not counted as killed.
    """
    codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].values()
    found = Counter(status_by_exit_code[code] for code in codes if code is not None)
    return {
        "mutants": len(codes),
        "tried": found.total(),
        "killed": sum(found[status] for status in KILLED),
        "survived": found["survived"],
        "quick": found["suspicious"],
        "untested": found["no tests"],
    }


def newer(found: dict[str, int], before: dict[str, int] | None) -> bool:
    """Does it tell more than what was measured before?"""
    return not before or found["tried"] == found["mutants"] or found["tried"] >= before["tried"]


def main() -> None:
    """Print the table, and keep it."""
    before = page.figures().get("mutation", {})
    table = {}
    for meta in sorted(MUTANTS.rglob("*.meta")):
        name = meta.relative_to(MUTANTS / "src").as_posix().removesuffix(".meta")
        found = ended(meta)
        if found["mutants"] and newer(found, before.get(name)):
            table[name] = found
        tried, mutants, killed = found["tried"], found["mutants"], found["killed"]
        share = f"{killed / tried:7.1%}" if tried else " " * 7
        print(f"{share} {killed:5} of {tried:5} tried, of {mutants:5}  {name}")
    keep("mutation", {"mutation": table})
    page.write()


if __name__ == "__main__":
    main()
