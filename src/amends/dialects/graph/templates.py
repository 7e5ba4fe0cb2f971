"""Templates: JSON in which every text is an expression. Read once, filled at each use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...errors import ExpressionError
from .expression import ANY, Expr, Shape, evaluate, infer, names, parse
from .expression.shapes import BOOLEAN, INTEGER, NULL, NUMBER
from .expression.syntax import MAX_INTEGER, Literal
from .problems import Path, Problems

DEEPEST = 32


class Expression(msgspec.Struct, frozen=True):
    """An expression, its text and its place in the document."""

    tree: Expr
    text: str
    path: Path


BROKEN = Expression(Literal(at=0, value=None), "null", ())
"""Stands for what could not be parsed: nothing is said of it twice."""


class Template:
    """A template whose expressions are parsed. `Template.read` never raises: it reports."""

    __slots__ = ("_parts", "path")

    def __init__(self, parts: Any, path: Path) -> None:
        self._parts = parts
        self.path = path

    @classmethod
    def read(cls, data: Any, path: Path, problems: Problems) -> Template:
        """Parse every expression in `data`; what cannot be parsed is reported and counts as null."""
        return cls(_read(data, path, problems, 0), path)

    def fill(self, environment: Mapping[str, Any]) -> Any:
        """The value, in JSON's types. Raises `ExpressionError`."""
        return _fill(self._parts, environment)

    @property
    def expressions(self) -> list[Expression]:
        """All expressions in it."""
        return list(_expressions(self._parts))

    @property
    def names(self) -> list[str]:
        """The names that it reads."""
        return [name for expression in self.expressions for name in names(expression.tree)]

    @property
    def constant(self) -> Any:
        """Its value if it is a single literal, else None."""
        parts = self._parts
        if isinstance(parts, Expression):
            return parts.tree.value if isinstance(parts.tree, Literal) else None
        return parts if isinstance(parts, bool | int | float) else None

    def check(self, environment: Mapping[str, Shape], problems: Problems) -> Shape:
        """Its shape in an environment of shapes; reports what is wrong."""
        return _check(self._parts, environment, problems)


def _read(data: Any, path: Path, problems: Problems, depth: int) -> Any:
    if depth > DEEPEST:
        problems.add(path, f"a template is nested more than {DEEPEST} deep")
        return None
    if isinstance(data, str):
        try:
            return Expression(parse(data), data, path)
        except ExpressionError as error:
            problems.add_expression(path, error)
            return BROKEN
    if isinstance(data, Mapping):
        return {key: _read(value, (*path, key), problems, depth + 1) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_read(value, (*path, place), problems, depth + 1) for place, value in enumerate(data)]
    if isinstance(data, int) and abs(data) > MAX_INTEGER:
        problems.add(path, "the integer has more than 64 bits", "write it as text: '…'")
    elif data is not None and not isinstance(data, bool | int | float):
        problems.add(path, f"a template holds what JSON can say, got {type(data).__name__}")
        return None
    return data


def _fill(parts: Any, environment: Mapping[str, Any]) -> Any:
    if isinstance(parts, Expression):
        return evaluate(parts.tree, environment, parts.text)
    if isinstance(parts, dict):
        return {key: _fill(value, environment) for key, value in parts.items()}
    if isinstance(parts, list):
        return [_fill(value, environment) for value in parts]
    return parts


def _expressions(parts: Any) -> Iterator[Expression]:
    if isinstance(parts, Expression):
        yield parts
    elif isinstance(parts, dict | list):
        for value in parts.values() if isinstance(parts, dict) else parts:
            yield from _expressions(value)


def _check(parts: Any, environment: Mapping[str, Shape], problems: Problems) -> Shape:
    if parts is BROKEN:
        return ANY
    if isinstance(parts, Expression):
        shape, wrong = infer(parts.tree, environment, parts.text)
        for error in wrong:
            problems.add_expression(parts.path, error)
        return shape
    if isinstance(parts, dict):
        return Shape("object", fields={k: _check(v, environment, problems) for k, v in parts.items()})
    if isinstance(parts, list):
        shapes = [_check(value, environment, problems) for value in parts]
        return Shape("list", item=shapes[0] if len(set(map(str, shapes))) == 1 else None)
    kinds: dict[type, Shape] = {bool: BOOLEAN, int: INTEGER, float: NUMBER, type(None): NULL}
    return kinds.get(type(parts), ANY)
