"""The table of programs, complete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from . import (
    programs_cancel,
    programs_durable,
    programs_groups,
    programs_iter,
    programs_sync,
    programs_tasks,
    programs_time,
)
from .world import TABLE, Program

PROGRAMS: list[Program] = list(TABLE.values())
REAL = [program for program in PROGRAMS if program.real]


def params(programs: Iterable[Program], kind: str) -> list[Any]:
    """Parameters of a test of that kind; a program that says that it is broken there is expected to fail."""
    found = []
    for program in programs:
        reason = program.broken.get(kind)
        marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
        found.append(pytest.param(program, marks=marks, id=program.name))
    return found


__all__ = [
    "PROGRAMS",
    "REAL",
    "TABLE",
    "params",
    "programs_cancel",
    "programs_durable",
    "programs_groups",
    "programs_iter",
    "programs_sync",
    "programs_tasks",
    "programs_time",
]
