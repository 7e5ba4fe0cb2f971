"""What a condition means, said in Python: the reference for every store."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..port import Header
from .terms import All, Compare, Either, Field, Missing, Not, OneOf, Term, indexed

_OPS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "startswith": str.startswith,
}


def matches(term: Term, header: Header) -> bool:
    """Does the condition hold for this execution?"""
    match term:
        case Compare(field, op, value):
            found = _value(field, header)
            return isinstance(found, type(value)) and _OPS[op](found, value)
        case OneOf(field, values):
            found = _value(field, header)
            return any(isinstance(found, type(value)) and found == value for value in values)
        case Missing(field):
            return _value(field, header) is None
        case Not(inner):
            return not matches(inner, header)
        case All(terms):
            return all(matches(each, header) for each in terms)
        case Either(terms):
            return any(matches(each, header) for each in terms)


def _value(field: Field, header: Header) -> str | float | None:
    if field.attribute:
        return dict(indexed(header.attributes)).get(field.name)
    found = getattr(header, field.column)
    return float(found) if isinstance(found, int) else found
