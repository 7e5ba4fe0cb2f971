"""The doctor's report for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..doctor import Finding, Level

_MARKS = {Level.OK: ("✔", "good"), Level.WARNING: ("!", "careful"), Level.PROBLEM: ("✘", "bad")}


def report(findings: Sequence[Finding]) -> RenderableType:
    """A line for each, what to do below those that need it, and a last line that sums up."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.level]
        said = Text(finding.seen, style="" if finding.level is Level.OK else style)
        if finding.do:
            said.append(f"\n→ {finding.do}", style="default")
        table.add_row(Text(mark, style=style), finding.check, said)
    return Group(table, "", _sum(findings))


def _sum(findings: Sequence[Finding]) -> Text:
    bad = sum(f.level is Level.PROBLEM for f in findings)
    odd = sum(f.level is Level.WARNING for f in findings)
    if not bad and not odd:
        return Text("All is well.", style="good")
    parts = [f"{bad} problem{'s' if bad != 1 else ''}"] if bad else []
    parts += [f"{odd} warning{'s' if odd != 1 else ''}"] if odd else []
    return Text(", ".join(parts), style="bad" if bad else "careful")
