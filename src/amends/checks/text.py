"""Findings for people: the line, a caret, the reason and what to do."""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Iterator

from .catalogue import RULES
from .finding import Finding, Report, Severity


def told(report: Report) -> str:
    """All of it, with a summary in the last line."""
    parts = [finding(each) for each in report.findings]
    for problem in report.problems:
        where = f"{problem.path}:{problem.line}" if problem.line else problem.path
        parts.append(f"{where}: {problem.message}" + (f"\n  → {problem.hint}" if problem.hint else ""))
    parts.append(summary(report))
    return "\n\n".join(parts)


def finding(each: Finding) -> str:
    """One finding."""
    place = f"{each.path}:{each.span.line}:{each.span.column}"
    lines = [f"{place}: {each.severity} {each.code} ({each.name}): {each.message}", *_excerpt(each)]
    if each.chain:
        way = [f"{step.note} ({step.path}:{step.line})" for step in each.chain]
        lines.append(f"  reached from {' → '.join(way)}")
    lines += [f"  {each.why}", f"  → {each.hint}"]
    return "\n".join(lines)


def _excerpt(each: Finding) -> Iterator[str]:
    text = linecache.getline(each.path, each.span.line).rstrip()
    if not text:
        return
    end = each.span.end_column if each.span.end_line == each.span.line else len(text) + 1
    number = str(each.span.line)
    before = "".join("\t" if c == "\t" else " " for c in text[: each.span.column - 1])
    yield f"  {number} | {text}"
    yield f"  {' ' * len(number)} | {before}{'^' * max(1, end - each.span.column)}"


def summary(report: Report) -> str:
    """How many of each kind, in how many files."""
    counts = Counter(each.severity for each in report.findings)
    said = [_plural(counts[kind], kind.value) for kind in Severity if counts[kind]]
    if report.problems:
        said.append(f"{len(report.problems)} could not be checked")
    files = _plural(len(report.files), "file")
    return f"{files}: {', '.join(said)}" if said else f"{files}: nothing found"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 or word == "advice" else f"{count} {word}s"


def rule(code: str) -> str:
    """What a rule is about."""
    each = RULES[code]
    needs = "\n  It needs the imported module (not with --no-import)." if each.loaded else ""
    return f"{each.code} {each.name} ({each.severity})\n  {each.title}.\n  {each.why}\n  → {each.hint}{needs}"


def rules() -> str:
    """A table of all rules."""
    return "\n".join(f"{r.code}  {r.severity:<8} {r.name:<24} {r.title}" for r in RULES.values())
