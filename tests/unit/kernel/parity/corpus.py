"""Random programs that were kept, with digests of their journals, which are the same under all Python versions.

They stand in ``tests/conformance/journals/random.json``.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from .driver import run_kernel
from .golden import FOLDER
from .grammar import Tree, program_of, trees
from .world import Program

FILE = FOLDER / "random.json"


class Corpus(msgspec.Struct):
    """Random programs, and a digest of each one's commands and trace."""

    trees: list[Any]
    digests: list[str]


def digest(program: Program) -> str:
    """A digest of a program's commands and of what it says (the row's events name the Python version)."""
    run = run_kernel(program)
    run.instance.discard()
    text = json.dumps([run.ended, run.trace.said, [[row.now, row.commands] for row in run.rows]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read() -> Corpus:
    """The random programs that were kept."""
    return msgspec.json.decode(FILE.read_bytes(), type=Corpus)


def record(count: int) -> str:
    """Draw random programs and keep them; refuses to replace those that are there."""
    if FILE.exists():
        return f"{FILE.name} exists: golden journals are kept"
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
    FILE.write_text(f'{{"trees": [\n{lines}\n],\n"digests": {json.dumps(digests)}}}\n', encoding="utf-8")
    return f"{len(kept)} random programs recorded"
