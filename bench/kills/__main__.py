"""`python -m bench.kills [--kills N] [--json FILE]`: run the schedule on both, print both columns."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

from ..peers import environment
from .book import ROWS, Verdict
from .schedule import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kills")
    parser.add_argument("--kills", type=int, default=100, help="for each system (default: 100)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args()
    ours = run("bench.kills.ours", sys.executable, given.kills)
    theirs = run("bench.kills.peer", environment.python(), given.kills)
    columns = {f"amends {version('amends')}": ours, environment.REQUIREMENT.replace("==", " "): theirs}
    print(table(columns))
    for name, verdict in columns.items():
        print(f"{name}: {dict(verdict.findings) or 'nothing found'}")
    if given.json:
        figures = {name: {row: getattr(v, row) for row in ROWS} for name, v in columns.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def table(columns: dict[str, Verdict]) -> str:
    wide = max(map(len, ROWS.values()))
    lines = [" " * wide + "".join(f"{name:>22}" for name in columns)]
    lines += [
        f"{said:<{wide}}" + "".join(f"{getattr(verdict, row):>22,}" for verdict in columns.values())
        for row, said in ROWS.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
