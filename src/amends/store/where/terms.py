"""The tree of a condition, the fields it may name, and which attributes can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

LONGEST_NAME = 100
"""Characters of an attribute's name that can be asked for."""

LONGEST_TEXT = 500
"""Characters of an attribute's value that can be asked for."""

LARGEST = 1e300
"""Numbers beyond are kept, but cannot be asked for."""

_NUL = "\\u0000"  # as JSON writes it; no database's text holds it


class Field(msgspec.Struct, frozen=True):
    """What a condition may be about. `kind`: ``text``, ``number`` or ``time``; an attribute has any."""

    name: str
    kind: str
    column: str = ""
    nullable: bool = False

    @property
    def attribute(self) -> bool:
        """Is it one of the user's own (`name` is its)?"""
        return not self.column


FIELDS = {
    field.name: field
    for field in (
        Field("id", "text", "id"),
        Field("uid", "text", "uid"),
        Field("saga", "text", "saga"),
        Field("version", "text", "version"),
        Field("status", "text", "status"),
        Field("cause", "text", "cause"),
        Field("depth", "number", "depth"),
        Field("started", "time", "created_at"),
        Field("updated", "time", "updated_at"),
        Field("finished", "time", "finished_at", nullable=True),
        Field("deadline", "time", "deadline", nullable=True),
    )
}


class Compare(msgspec.Struct, frozen=True):
    """``field op value``; op is ``=``, ``<``, ``<=``, ``>``, ``>=`` or ``startswith``."""

    field: Field
    op: str
    value: str | float


class OneOf(msgspec.Struct, frozen=True):
    """``field in (values)``"""

    field: Field
    values: tuple[str | float, ...]


class Missing(msgspec.Struct, frozen=True):
    """``field is null``"""

    field: Field


class Not(msgspec.Struct, frozen=True):
    """``not term``"""

    term: Term


class All(msgspec.Struct, frozen=True):
    """``a and b``"""

    terms: tuple[Term, ...]


class Either(msgspec.Struct, frozen=True):
    """``a or b``"""

    terms: tuple[Term, ...]


Term = Compare | OneOf | Missing | Not | All | Either
ALL = All(())
"""The condition that holds for everything."""


def indexed(attributes: str) -> Iterator[tuple[str, str | float]]:
    """The attributes that can be asked for, of their JSON text: name, and a text or a number.

    The databases' triggers say the same in SQL (see `amends_attributes` in both schemas).
    """
    if attributes == "{}" or _NUL in attributes:
        return
    try:
        found: Any = msgspec.json.decode(attributes)
    except msgspec.DecodeError:
        return
    if not isinstance(found, dict):
        return
    for name, value in found.items():
        if len(name) > LONGEST_NAME:
            continue
        if isinstance(value, str):
            if len(value) <= LONGEST_TEXT:
                yield name, value
        elif isinstance(value, (bool, int, float)) and -LARGEST <= value <= LARGEST:
            yield name, float(value)
