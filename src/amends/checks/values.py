"""The values of option expressions, as far as the source tells them.

Numbers, text, ``timedelta(…)``, ``Retry(…)`` and names of constants are understood; anything else is
`UNKNOWN`, and rules keep silent about it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ..definition.policy import Retry
from ..errors import DefinitionError
from .resolver import Resolver
from .source import Function, Module


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LEFT_OUT = {"on", "never"}  # classes of exceptions: they do not change how long retries take


def evaluate(node: ast.expr | None, where: Function | Module, resolver: Resolver, depth: int = 0) -> Any:
    """The value of an expression, or `UNKNOWN`."""
    if depth > 8:
        return UNKNOWN
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = evaluate(node.operand, where, resolver, depth + 1)
        return -value if isinstance(value, int | float) else UNKNOWN
    if isinstance(node, ast.BinOp):
        return _binary(node, where, resolver, depth)
    if isinstance(node, ast.Call):
        return _called(node, where, resolver, depth)
    if isinstance(node, ast.Name | ast.Attribute):
        dotted = resolver.dotted(node, where)
        place = None if dotted is None else resolver.project.split(dotted)
        if place is not None:
            binding = place[0].bindings.get(place[1])
            if isinstance(binding, ast.expr):
                return evaluate(binding, place[0], resolver, depth + 1)
    return UNKNOWN


def _binary(node: ast.BinOp, where: Function | Module, resolver: Resolver, depth: int) -> Any:
    left = evaluate(node.left, where, resolver, depth + 1)
    right = evaluate(node.right, where, resolver, depth + 1)
    apply = _BINARY.get(type(node.op))
    if left is UNKNOWN or right is UNKNOWN or apply is None:
        return UNKNOWN
    try:
        return apply(left, right)
    except (TypeError, ArithmeticError):
        return UNKNOWN


def _called(node: ast.Call, where: Function | Module, resolver: Resolver, depth: int) -> Any:
    makers: dict[str | None, Callable[..., Any]] = {"datetime.timedelta": timedelta, "amends.Retry": Retry}
    make = makers.get(resolver.dotted(node.func, where))
    if make is None or any(keyword.arg is None for keyword in node.keywords):
        return UNKNOWN
    values = [evaluate(arg, where, resolver, depth + 1) for arg in node.args]
    named = {
        str(keyword.arg): evaluate(keyword.value, where, resolver, depth + 1)
        for keyword in node.keywords
        if keyword.arg not in _LEFT_OUT
    }
    if any(value is UNKNOWN for value in [*values, *named.values()]):
        return UNKNOWN
    try:
        return make(*values, **named)
    except (TypeError, OverflowError, DefinitionError):
        return UNKNOWN


def seconds(value: Any) -> float | None:
    """A duration as seconds; None if there is none or it is not known."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
