"""The reports as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .measure import Bar, Line, Report


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """Aligned columns, the first `left` of them to the left."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]

    def one(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  " + "  ".join(cells).rstrip()

    return "\n".join([one(head), one(["-" * width for width in widths]), *map(one, rows)])


def number(value: float) -> str:
    """Three significant digits at least, thousands grouped."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def scaled(value: float, unit: str) -> str:
    """A bar's value in its unit; shares are shown in percent."""
    return f"{value * 100:.1f}%" if unit == "%" else f"{number(value)} {unit}".replace(" x", "x")


def line_row(line: Line) -> list[str]:
    low, high = (number(value) for value in (min(line.values), max(line.values)))
    span = [low, high] if len(line.values) > 1 else ["", ""]
    return [line.who, line.what, number(line.median), *span, line.unit]


def bar_row(bar: Bar) -> list[str]:
    sign = ">=" if bar.at_least else "<="
    low, high = (scaled(value, bar.unit) for value in (min(bar.values), max(bar.values)))
    span = [low, high] if len(bar.values) > 1 else ["", ""]
    verdict = "pass" if bar.passed else "FAIL"
    return [bar.what, scaled(bar.median, bar.unit), *span, f"{sign} {scaled(bar.limit, bar.unit)}", verdict]


def short(configuration: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in configuration.items())


def render(report: Report) -> str:
    """One scenario's part of the output."""
    parts = [f"{report.name}: {report.title}", ""]
    if report.lines:
        head = ["who", "what", "median", "min", "max", "unit"]
        parts += [table(head, [line_row(line) for line in report.lines]), ""]
    if report.bars:
        head = ["must hold", "measured", "min", "max", "bar", ""]
        parts += [table(head, [bar_row(bar) for bar in report.bars], left=1), ""]
    parts += [f"  note: {note}" for note in report.notes]
    return "\n".join(parts) + "\n"


def configurations(reports: Sequence[Report]) -> str:
    """What each contestant ran with, said once."""
    found: dict[str, list[str]] = {}
    for report in reports:
        for who, said in report.configurations.items():
            found.setdefault(short(said), []).append(f"{report.name}: {who}")
    parts = ["Configurations", ""]
    for said, whose in found.items():
        parts += [f"  {'; '.join(whose)}", f"      {said}"]
    return "\n".join(parts) + "\n"


def verdict(reports: Sequence[Report]) -> str:
    """All bars once more, at the end."""
    rows = [[report.name, *bar_row(bar)] for report in reports for bar in report.bars]
    head = ["scenario", "must hold", "measured", "min", "max", "bar", ""]
    return "All bars\n\n" + table(head, rows) + "\n"


def write_json(path: Path, where: Mapping[str, Any], mode: str, reports: Sequence[Report]) -> None:
    """Everything that was printed, and every round's value."""
    content = {
        "environment": where,
        "mode": mode,
        "reports": [
            {
                **asdict(report),
                "bars": [{**asdict(bar), "median": bar.median, "passed": bar.passed} for bar in report.bars],
                "lines": [{**asdict(line), "median": line.median} for line in report.lines],
            }
            for report in reports
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
