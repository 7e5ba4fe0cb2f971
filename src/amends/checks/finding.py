"""What a check says: a finding, with its place in the source."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec


class Severity(enum.StrEnum):
    """How bad it is.

    ``error``: it will not work.  ``warning``: it can leave something half done, or park executions.
    ``advice``: it works today; there is a better way.
    """

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


class Span(msgspec.Struct, frozen=True, order=True):
    """A range of a file. Lines and columns count from 1, in characters; the end column is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Place(msgspec.Struct, frozen=True):
    """A place on the way to a finding, such as the saga that calls the helper at fault."""

    path: str
    line: int
    note: str


class Finding(msgspec.Struct, frozen=True):
    """One thing that a rule found.

    code: stable (``AM101``).  name: the rule's name.  message: what is wrong here.  why: why that
    matters.  hint: what to do.  path: as the target was given.  chain: how saga code gets there, the
    saga first (empty: it stands in the saga itself).
    """

    code: str
    name: str
    severity: Severity
    message: str
    why: str
    hint: str
    path: str
    span: Span
    chain: tuple[Place, ...] = ()

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self.span.line

    @property
    def order(self) -> tuple[str, Span, str, str]:
        """Sorts findings as a reader meets them."""
        return self.path, self.span, self.code, self.message


class Problem(msgspec.Struct, frozen=True):
    """Why a target could not be checked, or only in part."""

    path: str
    message: str
    hint: str = ""
    line: int = 0


class Report(msgspec.Struct):
    """What an examination gave: findings, in order, what could not be checked, and the files looked at."""

    findings: list[Finding]
    problems: list[Problem]
    files: list[Path]
