"""Payloads: values to JSON and back, by their annotations.

msgspec encodes dataclasses, Structs, attrs classes, TypedDicts, named tuples, enums, datetimes,
Decimal, UUID and bytes by itself; pydantic models pass through hooks.  The order of keys and sets
is fixed, so that equal values have equal bytes.  What JSON cannot say (a NaN, a socket) is refused
where it is written, never where it is read.  Never pickle: a journal must not run code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import msgspec

from .errors import PayloadError
from .models import has_aliases as _has_aliases
from .models import masked_field


def _encode_other(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        if (secret := masked_field(value.__class__)) is not None:
            raise NotImplementedError(
                f"pydantic writes the secret {secret} as stars, and stars would come back: give it a "
                "field_serializer, or journal a reference to the secret"
            )
        return dump(mode="json")
    raise NotImplementedError(f"JSON has no form for {value!r:.100} ({type(value).__name__})")


def _open_other(value: Any) -> Any:
    """Like `_encode_other`, but a NaN stays a NaN (pydantic writes null)."""
    dump = getattr(value, "model_dump", None)
    return None if dump is None else dump()


def _decode_other(type_: type, value: Any) -> Any:
    if type_ is object:
        return value
    validate = getattr(type_, "model_validate", None)
    if validate is not None:
        return validate(value, by_name=True, by_alias=True) if _has_aliases(type_) else validate(value)
    raise NotImplementedError


_ORDER: Literal["deterministic"] = "deterministic"
_encode = msgspec.json.Encoder(enc_hook=_encode_other, order=_ORDER).encode


def encode(value: Any, what: str = "value") -> bytes:
    """The canonical JSON of `value`; `what` names it in errors. Raises `PayloadError`."""
    try:
        try:
            data = _encode(value)
        except TypeError:  # keys that are not text: JSON knows no others, so they travel as text
            data = _encode(_with_text_for_keys(value, what))
        if data.find(b"null") >= 0:  # `in` costs ten times as much: it tries an integer first
            _refuse_non_finite(value, what)
    except PayloadError:
        raise
    except Exception as error:
        raise PayloadError(
            f"{what} cannot be journaled: {_said(error)}",
            hint="use a dataclass, msgspec.Struct, pydantic model or plain JSON values",
        ) from error
    return data


_KEYS = (bytes, datetime, date, time, timedelta, UUID, Decimal)
"""Types of keys that would be turned into text."""


def _with_text_for_keys(value: Any, what: str) -> Any:
    """`value` as JSON's types. Raises `PayloadError` where one key would take the place of another."""
    found = msgspec.to_builtins(value, str_keys=True, enc_hook=_encode_other, order=_ORDER)
    if _entries(found) != _entries(msgspec.to_builtins(value, builtin_types=_KEYS, enc_hook=_encode_other)):
        raise PayloadError(
            f"{what} holds a dict of which two keys are the same as text (such as 1 and '1')",
            hint="JSON has no keys but text: use keys of one kind",
        )
    return found


def _entries(value: Any) -> int:
    """How many there are in all dicts of `value`."""
    count, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            count += len(item)
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
    return count


def _said(error: Exception) -> str:
    """What an error says; one that is not msgspec's comes from a class of the user's own, and is named."""
    plain = (TypeError, ValueError, NotImplementedError, RecursionError, OverflowError)
    return str(error) if isinstance(error, plain) else f"{type(error).__name__}: {error}"


def _refuse_non_finite(value: Any, what: str) -> None:
    """JSON has no NaN or infinity (the encoder would write null and lose the value)."""
    stack = [msgspec.to_builtins(value, str_keys=True, enc_hook=_open_other)]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise PayloadError(
                f"{what} holds the float {item!r}, which JSON cannot carry",
                hint="send None, a string or a Decimal instead",
            )
        if isinstance(item, dict):
            stack.extend(item.values())
            stack.extend(item)
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)


class Decoder:
    """Reads one annotation's values back from JSON."""

    __slots__ = ("_decode", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        try:
            self._decode: Callable[[Any], Any] = msgspec.json.Decoder(type_, dec_hook=_decode_other).decode
        except TypeError as error:
            raise PayloadError(
                f"the annotation {type_!r} cannot be read back from a journal: {error}",
                hint="give each class of a union a tag (a pydantic model shares a union with None alone), "
                "or annotate with a type JSON can tell apart",
            ) from error

    def decode(self, data: bytes | msgspec.Raw, what: str = "value") -> Any:
        """The value that `data` (JSON) stands for. Raises `PayloadError` when it does not fit."""
        try:
            return self._decode(data)
        except Exception as error:  # whatever classes of the user's own raise when they are made
            raise PayloadError(
                f"{what} does not fit {_name(self.type)}: {_said(error)}",
                hint="give new fields a default, or read old shapes with a wider annotation",
            ) from error


@lru_cache(maxsize=4096)
def _cached(type_: Any) -> Decoder:
    return Decoder(type_)


def decoder(type_: Any) -> Decoder:
    """The (shared) decoder of an annotation."""
    try:
        return _cached(type_)
    except TypeError:  # an unhashable annotation, such as Annotated[..., {}]
        return Decoder(type_)


def _name(type_: Any) -> str:
    return getattr(type_, "__name__", None) or str(type_)


ANY = decoder(Any)
