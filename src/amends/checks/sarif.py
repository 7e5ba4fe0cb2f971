"""Findings for programs: JSON of our own, and SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import msgspec

from .catalogue import RULES
from .finding import Finding, Report, Severity, Span

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "note"}


def as_json(report: Report) -> dict[str, Any]:
    """Findings and problems; `version` grows when a field changes its meaning or goes."""
    return {
        "version": 1,
        "files": [path.as_posix() for path in report.files],
        "findings": [msgspec.to_builtins(finding) for finding in report.findings],
        "problems": [msgspec.to_builtins(problem) for problem in report.problems],
    }


def as_sarif(report: Report, version: str) -> dict[str, Any]:
    """A SARIF log with one run."""
    codes = list(RULES)
    driver = {
        "name": "amends check",
        "version": version,
        "rules": [_rule(code) for code in codes],
    }
    problems = [
        {
            "level": "error",
            "message": {"text": f"{p.message} {p.hint}".strip()},
            "locations": [_at(p.path, p.line or 1)],
        }
        for p in report.problems
    ]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not problems, "toolExecutionNotifications": problems}],
        "results": [_result(finding, codes) for finding in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    rule = RULES[code]
    return {
        "id": rule.code,
        "name": "".join(part.title() for part in rule.name.split("-")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} To do: {rule.hint}."},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
    }


def _result(finding: Finding, codes: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. {finding.hint}"},
        "locations": [_location(finding.path, _region(finding.span))],
    }
    if finding.chain:
        result["relatedLocations"] = [
            {**_at(place.path, place.line), "message": {"text": place.note}} for place in finding.chain
        ]
    return result


def _at(path: str, line: int) -> dict[str, Any]:
    return _location(path, {"startLine": max(line, 1)})


def _location(path: str, region: dict[str, int]) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(path)}, "region": region}}


def _uri(path: str) -> str:
    """Relative where it can be: code hosts match it with their own files."""
    whole = Path(path)
    if whole.is_absolute():
        try:
            return quote(PurePath(whole.relative_to(Path.cwd())).as_posix())
        except ValueError:
            return whole.as_uri()
    return quote(whole.as_posix())


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": max(span.end_column, span.column) if span.end_line == span.line else span.end_column,
    }
