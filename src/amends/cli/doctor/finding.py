"""A finding: what was looked at, what was seen, how bad that is, and what to do."""

from __future__ import annotations

import enum

import msgspec


class Level(enum.StrEnum):
    """How bad: fine, worth a look, or broken."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `do`: what helps."""

    check: str
    level: Level
    seen: str
    do: str = ""


def fine(check: str, seen: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Level.OK, seen)


def careful(check: str, seen: str, do: str) -> Finding:
    """Worth a look."""
    return Finding(check, Level.WARNING, seen, do)


def problem(check: str, seen: str, do: str) -> Finding:
    """Broken, or about to be."""
    return Finding(check, Level.PROBLEM, seen, do)


def size(count: float) -> str:
    """Bytes for people: ``4 KiB``, ``1.2 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
