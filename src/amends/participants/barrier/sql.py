"""The barrier's statements by name, and how each driver wants to be given their values."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

Values = Mapping[str, Any]

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARAMETER = re.compile(r":(\w+)")

# How a parameter is written in each style of PEP 249, and in asyncpg's. `{n}` counts from 1.
_MARKS: dict[str, Callable[[int, str], str]] = {
    "qmark": lambda n, name: "?",
    "format": lambda n, name: "%s",
    "pyformat": lambda n, name: f"%({name})s",
    "numeric": lambda n, name: f":{n}",
    "named": lambda n, name: f":{name}",
    "dollar": lambda n, name: f"${n}",
}
STYLES = tuple(_MARKS)
_BY_NAME = {"pyformat", "named"}


class Statement(NamedTuple):
    """A statement whose values are written `:name`."""

    text: str

    def styled(self, style: str, values: Values) -> tuple[str, Any]:
        """The text and the values as a driver of that parameter style takes them."""
        text, names = _styled(self.text, style)
        return text, ({name: values[name] for name in names} if style in _BY_NAME else _pick(values, names))


def _pick(values: Values, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple([values[name] for name in names])


@cache
def _styled(text: str, style: str) -> tuple[str, tuple[str, ...]]:
    mark, names = _MARKS[style], tuple(_PARAMETER.findall(text))
    numbers = {name: n for n, name in enumerate(names, 1)}
    return _PARAMETER.sub(lambda m: mark(numbers[m[1]], m[1]), text), names


@cache
def load(table: str) -> dict[str, Statement]:
    """All statements, for a table of that name (with a schema before it, or not)."""
    text = read().replace("{table}", table).replace("{index}", f"{table.rpartition('.')[2]}_changed_at")
    parts = _NAME.split(text)
    return {
        name: Statement(" ".join(re.sub(r"--.*", "", body).split()).removesuffix(";"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def read() -> str:
    """The file as it is written."""
    found = pkgutil.get_data(__package__, "statements.sql")
    assert found is not None
    return found.decode()
