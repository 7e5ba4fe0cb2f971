"""Values made up from annotations: what steps return and signals bring when nobody says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...definition.step import Step
from ...errors import AmendsError

_DAY = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
_PLAIN: dict[Any, Any] = {
    str: "text",
    int: 1,
    float: 1.0,
    bool: True,
    bytes: b"bytes",
    dict: {},
    list: [],
    tuple: (),
    set: set(),
    frozenset: frozenset(),
    dt.datetime: _DAY,
    dt.date: _DAY.date(),
    dt.time: _DAY.time(),
    dt.timedelta: dt.timedelta(minutes=1),
    decimal.Decimal: decimal.Decimal(1),
    uuid.UUID: uuid.UUID(int=1),
    None: None,
    type(None): None,
    Any: None,
}


class NoStub(AmendsError):
    """No value can be made up for an annotation."""

    code = "no_stub"


class Stubs:
    """Values for what steps return: those that were given by name, or made up."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)
        self._known: dict[str, Any] = {}

    def result_of(self, step: Step[..., Any]) -> Any:
        """What the step returns."""
        if step.name not in self._known:
            short = step.name.rpartition(".")[2]
            given = next((self._given[n] for n in (step.name, short) if n in self._given), self)
            if given is self:
                given = example(step.signature.hints.get("return", Any), f"what {step.name} returns")
            self._known[step.name] = given
        return self._known[step.name]


def example(kind: Any, what: str) -> Any:
    """A value of an annotation. Raises `NoStub`."""
    try:
        return _example(kind, 0)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise NoStub(
            f"{what}: no value can be made up for {kind!r} ({error})",
            hint='say which: explore(…, values={"step": value}, signals={"name": [value]})',
        ) from error


def _example(kind: Any, depth: int) -> Any:
    if depth > 8:
        raise ValueError("the type contains itself")
    try:
        if kind in _PLAIN:
            return _PLAIN[kind]
    except TypeError:  # an annotation that has no hash
        pass
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _example(arguments[0], depth)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return _example(next(a for a in arguments if a is not type(None)), depth + 1)
    if origin in (list, set, frozenset, Sequence):
        made = [_example(arguments[0], depth + 1)]
        return made if origin in (list, Sequence) else origin(made)
    if origin is tuple:
        return tuple(_example(a, depth + 1) for a in arguments if a is not ...)
    if origin in (dict, Mapping):
        return {_example(arguments[0], depth + 1): _example(arguments[1], depth + 1)}
    return _made(kind, depth)


def _made(kind: Any, depth: int) -> Any:
    """An instance of a class."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    hints = typing.get_type_hints(kind, include_extras=True)
    if typing.is_typeddict(kind):
        return {name: _example(hint, depth + 1) for name, hint in hints.items()}
    return kind(**{name: _example(hints.get(name, Any), depth + 1) for name in _required(kind)})


def _required(kind: Any) -> list[str]:
    """Names of the fields that have no default."""
    if dataclasses.is_dataclass(kind):
        none = dataclasses.MISSING
        return [
            f.name
            for f in dataclasses.fields(kind)
            if f.init and f.default is none and f.default_factory is none
        ]
    if issubclass(kind, msgspec.Struct):
        return [f.name for f in msgspec.structs.fields(kind) if f.required]
    if hasattr(kind, "model_fields"):
        return [name for name, field in kind.model_fields.items() if field.is_required()]
    if hasattr(kind, "__attrs_attrs__"):
        return [a.name for a in kind.__attrs_attrs__ if a.init and a.default.__class__.__name__ == "_Nothing"]
    if hasattr(kind, "_fields"):
        return [name for name in kind._fields if name not in kind._field_defaults]
    raise TypeError("it is no dataclass, Struct, pydantic or attrs class")
