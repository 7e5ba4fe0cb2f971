"""SQL in files of its own, by name.

A file holds statements, each under a line ``-- name: word``.  A name with a number, ``-- name: word [7]``,
is a statement over many rows of that many values: it says ``{rows}`` where the rows go.

Many rows travel in chunks whose size is a power of two, because the driver finds a prepared statement by
its text: eight texts serve every batch, and none is compiled twice.  Measured, this is as cheap as
`executemany` for small batches and half its price for large ones (the interpreter lock is let go once per
chunk instead of once per row).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

LARGEST = 128

Execute = Callable[[str, Any], Iterable[tuple[Any, ...]]]


class Bulk:
    """One statement over many rows. Values come flat, row after row."""

    __slots__ = ("_texts", "width")

    def __init__(self, template: str, width: int) -> None:
        row = "(" + ",".join("?" * width) + ")"
        sizes = [1 << power for power in range(LARGEST.bit_length())]
        self.width = width
        self._texts = {size: template.replace("{rows}", ",".join([row] * size)) for size in sizes}

    def run(self, execute: Execute, values: list[Any]) -> None:
        """Execute for all rows in `values`; nothing is returned."""
        width = self.width
        left = len(values) // width
        if left & (left - 1) == 0 and left <= LARGEST:  # the common case: one chunk, no copying
            if left:
                execute(self._texts[left], values)
            return
        at = 0
        while left:
            size = min(LARGEST, 1 << (left.bit_length() - 1))
            execute(self._texts[size], values[at : at + size * width])
            at += size * width
            left -= size

    def fetch(self, execute: Execute, values: list[Any]) -> list[tuple[Any, ...]]:
        """Execute for all rows in `values`; returns what RETURNING (or SELECT) yields."""
        width = self.width
        left = len(values) // width
        at = 0
        found: list[tuple[Any, ...]] = []
        while left:
            size = min(LARGEST, 1 << (left.bit_length() - 1))
            found.extend(execute(self._texts[size], values[at : at + size * width]))
            at += size * width
            left -= size
        return found


_NAME = re.compile(r"^-- name: (\w+)(?: \[(\d+)\])?$", re.MULTILINE)


class Statements:
    """The named statements of one file: ``sql["name"]``, and ``sql.bulk("name")`` for those over many
    rows."""

    def __init__(self, text: str) -> None:
        parts = _NAME.split(text)
        self._plain: dict[str, str] = {}
        self._bulk: dict[str, Bulk] = {}
        for name, width, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            statement = " ".join(re.sub(r"--.*", "", body).split()).removesuffix(";")
            if width:
                self._bulk[name] = Bulk(statement, int(width))
            else:
                self._plain[name] = statement

    def __getitem__(self, name: str) -> str:
        return self._plain[name]

    def bulk(self, name: str) -> Bulk:
        """The statement `name` over many rows."""
        return self._bulk[name]

    def names(self) -> list[str]:
        """All names in the file."""
        return [*self._plain, *self._bulk]


def load(file: str, **words: str) -> Statements:
    """The statements of a file of this package, with ``{word}`` replaced where it stands."""
    text = read(file)
    for word, meaning in words.items():
        text = text.replace("{" + word + "}", meaning)
    return Statements(text)


def read(file: str) -> str:
    """The text of a file of this package."""
    return resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
