"""Golden journals: what the table's programs wrote under each Python version, kept for ever.

``tests/conformance/journals/3.11/parity.json`` and so on; one program a line.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from amends.kernel import entries as e

from .driver import run_kernel
from .programs import PROGRAMS

FOLDER = Path(__file__).parents[3] / "conformance" / "journals"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Golden(msgspec.Struct):
    """One program's journal, how it ended and what it said."""

    ended: str
    said: list[Any]
    rows: list[e.Row]


def path(version: str) -> Path:
    """The file of a version's journals."""
    return FOLDER / version / "parity.json"


def versions() -> list[str]:
    """Versions that have journals."""
    return sorted(found.parent.name for found in FOLDER.glob("*/parity.json"))


def read(version: str) -> dict[str, Golden]:
    """The journals of a version, by program."""
    file = path(version)
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Golden]) if file.exists() else {}


@functools.cache
def _read_once(version: str) -> dict[str, Golden]:
    return read(version)


def read_one(version: str, program: str) -> Golden:
    """One program's journal of a version (the file is read once)."""
    return _read_once(version)[program]


def record(again: set[str]) -> str:
    """Add the journals that this version lacks (and write those in `again` anew); says what it did."""
    known = read(VERSION)
    written = []
    for program in PROGRAMS:
        if program.name in known and program.name not in again:
            continue
        run = run_kernel(program)
        run.instance.discard()
        known[program.name] = Golden(run.ended, run.trace.said, run.rows)
        written.append(program.name)
    lines = [f"{json.dumps(name)}: {msgspec.json.encode(known[name]).decode()}" for name in sorted(known)]
    file = path(VERSION)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return f"{VERSION}: {len(written)} of {len(PROGRAMS)} recorded"
