"""Golden journals: what the table's programs wrote under each Python version, kept for ever.

``tests/conformance/journals/3.11/parity.json`` and so on; one program a line.  ``random.json`` beside them holds random
programs and the digests of their journals, which are the same under all versions.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from amends.kernel import entries as e

from .driver import run_kernel
from .grammar import Tree, program_of, trees
from .programs import PROGRAMS
from .world import Program

FOLDER = Path(__file__).parents[3] / "conformance" / "journals"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Corpus(msgspec.Struct):
    """Random programs, and a digest of each one's commands and trace."""

    trees: list[Any]
    digests: list[str]


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
        if "golden" in program.broken or (program.name in known and program.name not in again):
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


def digest(program: Program) -> str:
    """A digest of a program's commands and of what it says (the row's events name the Python version)."""
    run = run_kernel(program)
    run.instance.discard()
    text = json.dumps([run.ended, run.trace.said, [[row.now, row.commands] for row in run.rows]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_corpus() -> Corpus:
    """The random programs that were kept."""
    return msgspec.json.decode((FOLDER / "random.json").read_bytes(), type=Corpus)


def record_corpus(count: int) -> str:
    """Draw random programs and keep them; refuses to replace those that are there."""
    file = FOLDER / "random.json"
    if file.exists():
        return f"{file.name} exists: golden journals are kept"
    drawn: dict[str, Any] = {}

    @seed(1987)
    @settings(max_examples=3 * count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans().flatmap(lambda steps: trees(steps=steps)))
    def draw(tree: Tree) -> None:
        text = json.dumps(tree)
        if 80 <= len(text) <= 600:
            drawn.setdefault(text, tree)

    draw()
    kept = list(drawn)[:count]
    digests = [digest(program_of(json.loads(text))) for text in kept]
    lines = ",\n".join(kept)
    file.write_text(f'{{"trees": [\n{lines}\n],\n"digests": {json.dumps(digests)}}}\n', encoding="utf-8")
    return f"{len(kept)} random programs recorded"
