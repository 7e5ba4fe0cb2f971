"""Run tests and campaigns, and keep what they counted in docs/reliability.json."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import apsw

from . import page

TESTED = [
    "tests/simulation",
    "tests/conformance",
    "tests/model",
    "tests/acceptance",
    "tests/unit/kernel",
    "tests/unit/store",
]


def load() -> dict[str, Any]:
    """What was measured last."""
    if not page.FIGURES.exists():
        return {}
    figures: dict[str, Any] = json.loads(page.FIGURES.read_text(encoding="utf-8"))
    return figures


def measure(part: str, options: Namespace) -> None:
    """Measure one part, and put it beside the others: what was not run this time stays as it was."""
    keep(part, PARTS[part](options))


def keep(part: str, measured: dict[str, Any]) -> None:
    """Put what was measured beside the rest."""
    figures = load()
    for name, found in measured.items():
        figures[name] = {**figures.get(name, {}), **found}
    figures["with"] = {
        **figures.get("with", {}),
        part: {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "python": platform.python_version(),
            "sqlite": apsw.sqlite_lib_version(),
        },
    }
    page.FIGURES.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tests(options: Namespace) -> dict[str, Any]:
    """The tests that the page names, and the figures that they record."""
    counts, figures = _pytest(["-n", "2", *options.tests], {})
    return {"tests": counts, "figures": figures}


def _soak(options: Namespace) -> dict[str, Any]:
    """Kills for a long time."""
    arguments = ["-m", "soak", "--timeout=0", "tests/acceptance/test_acceptance_crashes.py"]
    _, figures = _pytest(arguments, {"SOAK_MINUTES": str(options.minutes)})
    return {"soak": figures["kills, soak"]}


def _compared(options: Namespace) -> dict[str, Any]:
    """The same kills for amends and DBOS."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kills.json"
        _run([sys.executable, "-m", "bench.kills", "--kills", str(options.kills), "--json", str(out)], {})
        return {"compared": json.loads(out.read_text())}


def _simulation(options: Namespace) -> dict[str, Any]:
    """A campaign of the simulation, where there is one."""
    if not page.kinds():
        return {}
    said = _run(
        [sys.executable, "-m", "tests.simulation.faults", "--count", str(options.seeds), "--keep-going"], {}
    )
    first = re.search(
        r"([\d,]+) seeds, ([\d,]+) faults of (\d+) kinds, ([\d,.]+) virtual hours.*?(\d+) violations", said
    )
    assert first, said[-2000:]
    names = ("seeds", "faults", "kinds", "virtual hours", "violations")
    return {
        "simulation": {name: float(n.replace(",", "")) for name, n in zip(names, first.groups(), strict=True)}
    }


PARTS = {"tests": _tests, "soak": _soak, "compared": _compared, "simulation": _simulation}


def _pytest(arguments: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run pytest: tests by file and how they ended, and the sums of what they recorded."""
    with tempfile.TemporaryDirectory() as folder:
        lines, report = Path(folder) / "figures", Path(folder) / "report.xml"
        lines.touch()
        more = ["-q", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        _run(
            [sys.executable, "-m", "pytest", *more, *arguments], {"AMENDS_FIGURES": str(lines), **environment}
        )
        return _counted(report), _summed(lines.read_text().splitlines())


def _counted(report: Path) -> dict[str, dict[str, int]]:
    files: dict[str, Counter[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        ended = {child.tag for child in case} & {"failure", "error", "skipped"}
        how = "failed" if ended & {"failure", "error"} else "skipped" if ended else "passed"
        files.setdefault(case.attrib["file"], Counter())[how] += 1
    return {name: dict(counts) for name, counts in sorted(files.items())}


def _summed(lines: list[str]) -> dict[str, dict[str, float]]:
    sums: dict[str, Counter[str]] = {}
    for line in lines:
        numbers = json.loads(line)
        sums.setdefault(numbers.pop("what"), Counter()).update({**numbers, "runs": 1})
    return {what: dict(counts) for what, counts in sorted(sums.items())}


def _run(command: list[str], environment: dict[str, str]) -> str:
    """Run it in the repository's root. What fails is in the figures, not an error here."""
    done = subprocess.run(
        command, cwd=page.ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout[-3000:] + done.stderr[-3000:], file=sys.stderr)
    return done.stdout
