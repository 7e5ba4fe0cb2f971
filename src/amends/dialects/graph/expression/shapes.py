"""Shapes: what is known of a value before it is there, enough to find a misspelt field or a number used
as text.

Written as data: a word (``"string"``), an object of fields (``{"number": "string", "note?": "string"}``;
the question mark: may be missing or null), or a list of one shape (``["string"]``).  Whatever is not
known is ``any``, and fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import msgspec
from msgspec import inspect as types

from ....errors import DefinitionError, PayloadError, did_you_mean

WORDS = ("any", "string", "integer", "number", "boolean", "null", "list", "object")
_DEEPEST = 8
_DEEPEST_WRITTEN = 32
_PYTHON = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
    Any: "any",
}


class Shape(msgspec.Struct, frozen=True):
    """`kind` is one of `WORDS`; `fields` of an object and `item` of a list if known; `optional`: may be
    null.
    """

    kind: str
    fields: Mapping[str, Shape] | None = None
    item: Shape | None = None
    optional: bool = False

    def __str__(self) -> str:
        text = self.kind
        if self.item is not None:
            text = f"list of {self.item}"
        elif self.fields is not None:
            text = f"object with {', '.join(self.fields)}" if self.fields else "object without fields"
        return f"{text} or null" if self.optional else text

    def or_null(self) -> Shape:
        """The same, or null."""
        return (
            self
            if self.optional or self.kind in {"any", "null"}
            else msgspec.structs.replace(self, optional=True)
        )


ANY = Shape("any")
"""Nothing is known about the value."""
STRING, INTEGER, NUMBER, BOOLEAN, NULL = map(Shape, ("string", "integer", "number", "boolean", "null"))
LIST, OBJECT = Shape("list"), Shape("object")


def shape_from(data: Any, depth: int = 0) -> Shape:
    """The shape that a graph writes down. Raises `DefinitionError`."""
    if depth > _DEEPEST_WRITTEN:
        raise DefinitionError(f"a type is nested more than {_DEEPEST_WRITTEN} deep", hint="say `any` below")
    if isinstance(data, str):
        word = data.removesuffix("?")
        if word not in WORDS:
            raise DefinitionError(
                f"{data!r} is no type", hint=did_you_mean(word, WORDS) or f"there are {', '.join(WORDS)}"
            )
        return Shape(word, optional=data != word)
    if isinstance(data, list) and len(data) == 1:
        return Shape("list", item=shape_from(data[0], depth + 1))
    if isinstance(data, Mapping):
        fields = {name.removesuffix("?"): _field(name, given, depth + 1) for name, given in data.items()}
        return Shape("object", fields=fields)
    raise DefinitionError(f"{data!r} is no type", hint='a word, {"field": type} or [type]')


def _field(name: str, given: Any, depth: int) -> Shape:
    shape = shape_from(given, depth)
    return msgspec.structs.replace(shape, optional=True) if name.endswith("?") else shape


def written(shape: Shape) -> Any:
    """The shape as a graph writes it down; the opposite of `shape_from`."""
    if shape.item is not None:
        return [written(shape.item)]
    if shape.fields is not None:
        return {
            name + "?" * inner.optional: written(_required(inner)) for name, inner in shape.fields.items()
        }
    return shape.kind + "?" * shape.optional


def _required(shape: Shape) -> Shape:
    return msgspec.structs.replace(shape, optional=False)


def shape_of(hint: Any, depth: int = 0) -> Shape:
    """The shape of a Python annotation's values, once they are JSON."""
    if hint is None:
        return NULL
    if hint in _PYTHON if isinstance(hint, type) else hint is Any:
        return Shape(_PYTHON[hint])
    try:
        return _from_info(types.type_info(hint), depth)
    except (TypeError, PayloadError, NameError):  # what cannot be described is not checked
        return ANY


def _from_info(info: Any, depth: int) -> Shape:  # noqa: C901 - one case for each kind of type
    if depth > _DEEPEST:
        return ANY
    match info:
        case types.StrType() | types.DateTimeType() | types.DateType() | types.TimeType() | types.UUIDType():
            return STRING
        case types.BytesType():
            return STRING
        case types.IntType():
            return INTEGER
        case types.FloatType():
            return NUMBER
        case types.BoolType():
            return BOOLEAN
        case types.NoneType():
            return NULL
        case types.ListType() | types.SetType() | types.FrozenSetType() | types.VarTupleType():
            return Shape("list", item=_from_info(info.item_type, depth + 1))
        case types.TupleType():
            return LIST
        case types.DictType():
            return OBJECT
        case types.StructType(array_like=False) | types.DataclassType() | types.TypedDictType():
            fields = {field.encode_name: _from_field(field, depth + 1) for field in info.fields}
            return Shape("object", fields=fields)
        case types.UnionType():
            rest = [kind for kind in info.types if not isinstance(kind, types.NoneType)]
            inner = _from_info(rest[0], depth + 1) if len(rest) == 1 else ANY
            return inner.or_null() if len(rest) < len(info.types) else inner
        case _:
            return ANY


def _from_field(field: Any, depth: int) -> Shape:
    shape = _from_info(field.type, depth)
    return shape if field.required else shape.or_null()


def fits(have: Shape, want: Shape) -> str:
    """Why a value of the shape `have` cannot be given where `want` is asked; empty if it may."""
    if "any" in (have.kind, want.kind):
        return ""
    if have.kind == "null":
        return "" if want.optional or want.kind == "null" else f"expected {want}, got null"
    if have.kind != want.kind and (have.kind, want.kind) != ("integer", "number"):
        return f"expected {want}, got {have}"
    if have.item is not None and want.item is not None and (why := fits(have.item, want.item)):
        return f"in the list: {why}"
    if have.fields is not None and want.fields is not None:
        for name, inner in want.fields.items():
            if name not in have.fields:
                if not inner.optional:
                    return f"the field {name!r} is missing"
            elif why := fits(have.fields[name], inner):
                return f"in the field {name!r}: {why}"
    return ""


def either(one: Shape, other: Shape) -> Shape:
    """What is known of a value that has one of two shapes."""
    if one.kind == "null":
        return other.or_null()
    if other.kind == "null":
        return one.or_null()
    if _required(one) == _required(other):
        return one if one.optional else other
    if {one.kind, other.kind} == {"integer", "number"}:
        return NUMBER.or_null() if one.optional or other.optional else NUMBER
    return ANY


_typed_dict: Any = TypedDict  # made from data, which type checkers do not follow
_ANNOTATIONS: dict[str, Any] = {
    "any": Any, "string": str, "integer": int, "number": int | float, "boolean": bool, "null": None,
    "list": list[Any], "object": dict[str, Any],
}  # fmt: skip


def hint_of(shape: Shape) -> Any:
    """An annotation by which values of the shape are read, and others refused."""
    if shape.item is not None:
        hint: Any = list.__class_getitem__(hint_of(shape.item))
    elif shape.fields is not None:
        fields = {
            name: NotRequired[hint_of(inner)] if inner.optional else hint_of(inner)
            for name, inner in shape.fields.items()
        }
        hint = _typed_dict("Object", fields)
    else:
        hint = _ANNOTATIONS[shape.kind]
    return hint | None if shape.optional and shape.kind not in {"any", "null"} else hint
