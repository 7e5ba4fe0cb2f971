"""The tables of docs/reliability.md: from what exists (tests, crash points, faults) and what was measured."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from amends.engine.crashes import POINTS
from bench.kills.book import ROWS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FIGURES = ROOT / "docs" / "reliability.json"
ARCHITECTURE = ROOT / "docs" / "architecture.md"

MORE = {
    "tests/simulation/order": "random programs: the order of compensation, against a reference",
    "tests/simulation/graphs": "random graphs under crashes",
    "tests/simulation/faults": "the whole engine on virtual time, with faults at every point",
    "tests/simulation/promises/test_crash_at_every_row.py": "a crash at every row of many sagas",
    "tests/simulation/promises/test_operators_fuzz.py": "operators at random, through crashes and drains",
    "tests/conformance/test_store_kit.py": "each store passes one kit",
    "tests/conformance/test_store_differential.py": "random calls: memory and SQLite answer alike",
    "tests/conformance/test_store_ablations.py": "the kit finds stores without a safeguard",
    "tests/conformance/barrier": "the participants' barrier against its model, and without each part",
    "tests/unit/kernel/parity": "saga code and plain asyncio behave alike; golden journals of each Python",
    "tests/unit/store/test_sqlite_damage.py": "damaged files and rows",
    "tests/unit/store/test_sqlite_processes.py": "several processes on one file",
    "tests/model/test_model.py": "[the formal model](model.md), whole and without each safeguard",
    "tests/acceptance/test_acceptance_crashes.py": "SIGKILL at each crash point and at random",
    "tests/acceptance/test_acceptance_kills.py": "SIGKILL at random, 200 to 1,000 sagas in flight",
    "tests/acceptance/test_acceptance_states.py": "SIGKILL between runs, while undoing, stuck, in a thread",
    "tests/acceptance/test_acceptance_full_disk.py": "a disk that fills up",
    "tests/acceptance/test_acceptance_audit.py": "the audit itself can fail",
}
"""Tests that stand for no single promise, and what they do."""

COUNTED = {
    "kills": "kills",
    "sagas": "sagas",
    "dispatched": "actions and compensations",
    "again": "of these dispatched again after a kill",
    "lost": "lost",
    "silent": "silent",
    "duplicate": "repeated in vain",
    "disordered": "undone in the wrong order",
    "wrong": "otherwise wrong",
}

NOT_MEASURED = "not measured yet"


def kinds() -> list[Any]:
    """The fault kinds of the simulation."""
    try:
        found: list[Any] = importlib.import_module("tests.simulation.faults.kinds").ALL
    except ModuleNotFoundError:
        return []
    return found


def figures() -> dict[str, Any]:
    """What was measured last."""
    if not FIGURES.exists():
        return {}
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def write() -> None:
    """Write the tables into the page."""
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(text: str) -> str:
    """The page with its tables as they must be now. Raises `KeyError` for a block that nobody writes."""
    found = figures()

    def block(match: re.Match[str]) -> str:
        return f"<!-- generated: {match[1]} -->\n\n{BLOCKS[match[1]](found)}\n\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->.*?<!-- end -->", block, text, flags=re.DOTALL)


# ---------------------------------------------------------------- blocks


def _promises(found: dict[str, Any]) -> str:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = []
    for number, promise in rows:
        files = sorted((ROOT / "tests/simulation/promises").glob(f"test_promise_{int(number):02}_*.py"))
        assert files, f"promise {number} has no tests"
        names = [file.relative_to(ROOT).as_posix() for file in files]
        links = ", ".join(_link(name) for name in names)
        lines.append((number, promise, links, _result(found, names)))
    return _table(("#", "promise", "tests", "last run"), lines)


def _more(found: dict[str, Any]) -> str:
    lines = []
    for name, what in MORE.items():
        if not (ROOT / name).exists():
            continue
        files = [file for file in found.get("tests", {}) if file.startswith(name)]
        lines.append((what, _link(name), _result(found, files)))
    return _table(("what", "tests", "last run"), lines)


def _points(found: dict[str, Any]) -> str:
    return _table(
        ("`AMENDS_CRASH_AT`", "where the process dies"),
        [(f"`{name}`", p.where) for name, p in POINTS.items()],
    )


def _kinds(found: dict[str, Any]) -> str:
    table = _table(("kind", "area", "what"), [(f"`{kind.name}`", kind.area, kind.what) for kind in kinds()])
    measured = found.get("simulation")
    return f"{_sentence(measured)}\n\n{table}" if measured else table


def _kills(found: dict[str, Any]) -> str:
    columns = {
        "each point": found.get("figures", {}).get("crash points"),
        "random": found.get("figures", {}).get("random kills"),
        "full disk": found.get("figures", {}).get("full disk"),
        "soak": found.get("soak"),
    }
    lines = [
        (said, *(_number((column or {}).get(name)) for column in columns.values()))
        for name, said in COUNTED.items()
    ]
    return _table(("", *columns), lines)


def _compared(found: dict[str, Any]) -> str:
    columns: dict[str, Any] = found.get("compared", {})
    lines = [
        (said, *(_number(column.get(name)) for column in columns.values())) for name, said in ROWS.items()
    ]
    return _table(("", *columns), lines)


def _model(found: dict[str, Any]) -> str:
    whole = found.get("figures", {}).get("model")
    without = found.get("figures", {}).get("model without a safeguard")
    if not whole or not without:
        return NOT_MEASURED
    return (
        f"Whole: {whole['runs']:,} configurations, {whole['states']:,} states, "
        f"{whole['violations']:,} violations. "
        f"Without a safeguard: {without['found']:,} of {without['runs']:,} found."
    )


def _mutation(found: dict[str, Any]) -> str:
    measured: dict[str, dict[str, int]] = found.get("mutation", {})
    total = Counter[str]()
    lines = []
    for name in _mutated():
        link = f"[{name.removeprefix('amends/')}](../src/{name})"
        total.update(measured.get(name, {}))
        lines.append((link, *_share(measured.get(name, {}))))
    lines.append(("together", *_share(total)))
    return _table(("module", "mutants", "tried", "killed", "share"), lines)


def _mutated() -> list[str]:
    """The modules that `make mutate` changes. Those without a function have nothing that it could change."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    files = sorted(file for pattern in settings["only_mutate"] for file in ROOT.glob(pattern))
    return [file.relative_to(ROOT / "src").as_posix() for file in files if _functions(file)]


def _functions(file: Path) -> bool:
    return file.suffix == ".py" and "def " in file.read_text(encoding="utf-8")


def _share(counts: Mapping[str, int]) -> tuple[str, str, str, str]:
    """Mutants; how many of them were tried and killed; what part of those tried was killed."""
    mutants, tried, killed = (counts.get(name, 0) for name in ("mutants", "tried", "killed"))
    if not tried:
        return f"{mutants:,}" if mutants else "", NOT_MEASURED, "", ""
    return f"{mutants:,}", "all" if tried == mutants else f"{tried:,}", f"{killed:,}", f"{killed / tried:.1%}"


def _with(found: dict[str, Any]) -> str:
    lines = [
        (part, said["date"], said["python"], said["sqlite"])
        for part, said in sorted(found.get("with", {}).items())
    ]
    return _table(("part", "measured", "Python", "SQLite"), lines) if lines else NOT_MEASURED


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "promises": _promises,
    "more": _more,
    "points": _points,
    "kinds": _kinds,
    "kills": _kills,
    "compared": _compared,
    "model": _model,
    "mutation": _mutation,
    "measured": _with,
}


# ---------------------------------------------------------------- pieces


def _link(name: str) -> str:
    return f"[{Path(name).name.removesuffix('.py')}](../{name})"


def _result(found: dict[str, Any], files: Iterable[str]) -> str:
    counts = [found["tests"][file] for file in files if file in found.get("tests", {})]
    if not counts:
        return NOT_MEASURED
    parts = {how: sum(each.get(how, 0) for each in counts) for how in ("passed", "failed", "skipped")}
    return ", ".join(f"{number:,} {how}" for how, number in parts.items() if number)


def _sentence(measured: dict[str, float]) -> str:
    return "Last campaign: " + ", ".join(f"{number:,.0f} {name}" for name, number in measured.items()) + "."


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,}"


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return (
        "\n".join("| " + " | ".join(row) + " |" for row in rows)
        .replace("| --- ", "|---")
        .replace("---| ---", "---|---")
    )
