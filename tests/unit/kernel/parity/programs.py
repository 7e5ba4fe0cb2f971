"""The table of programs, complete."""

from __future__ import annotations

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


__all__ = [
    "PROGRAMS",
    "REAL",
    "TABLE",
    "programs_cancel",
    "programs_durable",
    "programs_groups",
    "programs_iter",
    "programs_sync",
    "programs_tasks",
    "programs_time",
]
