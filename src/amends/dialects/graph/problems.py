"""What is wrong with a graph: every problem with its place in the document and in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import ExpressionError, GraphError, caret

Path = tuple[str | int, ...]
KEY = "\0key"
"""Last part of a path: the name of the field, not its value."""


class Position(msgspec.Struct, frozen=True):
    """A place in a text: line and column count from 1. `exact`: columns inside the value can be added to
    `column`.
    """

    line: int
    column: int
    exact: bool = False


Positions = Mapping[Path, Position]


class Problem(msgspec.Struct, frozen=True, order=True):
    """One problem: `line` and `column` are 0 where the graph did not come from a text; `path` leads to
    it.
    """

    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        place = f"{self.line}:{self.column} " if self.line else ""
        text = f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"
        parts = [
            text,
            *([self.excerpt] if self.excerpt else []),
            *([f"  → {self.hint}"] if self.hint else []),
        ]
        return "\n".join(parts)


class Problems:
    """Collects problems; `raise_any` raises them all at once."""

    def __init__(self, source: str = "", positions: Positions | None = None) -> None:
        self.source = source
        self.positions = positions or {}
        self.found: list[Problem] = []
        self.broken: set[str] = (
            set()
        )  # nodes of which nothing is known, so that nothing is said of what reads them

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """A problem with the value at `path`, or with its name (`key`)."""
        position = self._position((*path, KEY) if key else path)
        self.found.append(Problem(position.line, position.column, dotted(path), message, hint))

    def add_expression(self, path: Path, error: ExpressionError) -> None:
        """A problem inside the expression at `path`."""
        position = self._position(path)
        column = position.column + (error.column - 1 if position.exact else 0)
        excerpt = caret(error.text, error.column - 1)
        self.found.append(Problem(position.line, column, dotted(path), error.reason, error.hint, excerpt))

    def _position(self, path: Path) -> Position:
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(0, 0))

    def sorted(self) -> tuple[Problem, ...]:
        """The problems, from top to bottom, each once."""
        return tuple(sorted(dict.fromkeys(self.found), key=lambda problem: (problem.line, problem.column)))

    def raise_any(self, name: str) -> None:
        """Raise `GraphError` with all of them, if there are any."""
        found = self.sorted()
        if not found:
            return
        count = f"{len(found)} problems" if len(found) > 1 else "a problem"
        where = f" in {self.source}" if self.source else ""
        head = f"the graph {name!r} has {count}{where}" if name else f"the graph has {count}{where}"
        body = "\n".join(str(problem) for problem in found)
        raise GraphError(f"{head}\n{body}", found)


def dotted(path: Path) -> str:
    """A path as people write it: ``nodes.ship.after[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def without_noise(message: str) -> tuple[str, Any]:
    """A msgspec message without its path, and the path."""
    text, _, place = message.partition(" - at `")
    return text[:1].lower() + text[1:], place.rstrip("`").removeprefix("$")
