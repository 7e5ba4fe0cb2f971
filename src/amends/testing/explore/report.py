"""The report of an exploration: as a value, as text, as JSON."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec

from .coverage import Covered, table
from .findings import Finding, Note

WIDTH = 96
_NOT_TOLD = frozenset({"subject", "journal", "participants"})


class Found(AssertionError):
    """An exploration found something wrong."""


class Report(msgspec.Struct, kw_only=True):
    """What an exploration found.

    runs: paths that were run.  histories: how many of them differ in their journals.  remaining: paths that
    were known and not run (0: everything was explored), and why it was stopped.  statuses: how runs ended.
    accepted: findings that were let pass.  path, story, status, participants: of a replay.
    """

    saga: str
    faults: int
    stubbed: bool = False
    runs: int = 0
    histories: int = 0
    remaining: int = 0
    stopped: str = ""
    seconds: float = 0.0
    statuses: dict[str, int] = {}
    findings: list[Finding] = []
    accepted: list[Finding] = []
    notes: list[Note] = []
    coverage: list[Covered] = []
    path: str = ""
    story: list[str] = []
    status: str = ""
    subject: Any = None
    journal: Any = None
    participants: Any = None

    @property
    def ok(self) -> bool:
        """Was nothing found, and everything explored?"""
        return not self.findings and not self.remaining

    def check(self) -> Report:
        """Raise `Found` (an AssertionError) with the report's text unless all is well; else itself."""
        if not self.ok:
            raise Found("\n" + str(self))
        return self

    def plain(self) -> dict[str, Any]:
        """For programs: plain values that JSON can carry."""
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name not in _NOT_TOLD}
        made: dict[str, Any] = msgspec.to_builtins({"ok": self.ok, **told})
        return made

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: Report) -> list[str]:
    lines = [_head(report)]
    if report.path:
        lines += ["", *(f"  {line}" for line in report.story), f"  → {report.status}"]
    for number, found in enumerate(report.findings, 1):
        lines += ["", *_finding(number, found)]
    if report.notes:
        lines += ["", "to know:", *(_wrapped(note.text, "  - ") for note in report.notes)]
    if report.accepted:
        lines += ["", f"accepted: {', '.join(f.name for f in report.accepted)}"]
    if report.coverage and not report.path:
        lines += ["", *table(report.coverage)]
    return lines


def _head(report: Report) -> str:
    what = f"{len(report.findings)} findings" if len(report.findings) != 1 else "1 finding"
    if report.path:
        return f"{report.saga} on the path {report.path or '(no faults)'}: {what}"
    rate = f", {report.runs / report.seconds:,.0f} a second" if report.seconds else ""
    head = f"{report.saga}: {report.runs:,} paths with up to {report.faults} faults{rate}: {what}"
    if report.stopped:
        head += f"\nNOT ALL: {report.remaining:,} or more paths were left out: {report.stopped}"
    return head


def _finding(number: int, found: Finding) -> list[str]:
    lines = [_wrapped(found.text, f"{number}. ", "   ")]
    lines += [_wrapped(line, "     ", "       ") for line in found.evidence]
    lines.append(_wrapped(f"→ {found.advice}", "   ", "     "))
    if found.replay or found.story:
        lines.append(f"   replay: {found.replay or '(no faults)'}")
    return lines


def _wrapped(text: str, first: str, rest: str | None = None) -> str:
    rest = " " * len(first) if rest is None else rest
    filled = [
        textwrap.fill(part, WIDTH, initial_indent=first if n == 0 else rest, subsequent_indent=rest)
        for n, part in enumerate(text.splitlines() or [""])
    ]
    return "\n".join(filled)
