"""What has to be known of a pydantic model before it is journaled.

Looked up once a class.  pydantic is not imported: who has no models need not have it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=4096)
def masked_field(model: type) -> str | None:
    """The path of a field, in `model` or a model within, that pydantic dumps as stars; None: none is."""
    return next(_masked(model, model.__name__, set()), None)


@lru_cache(maxsize=4096)
def has_aliases(model: type) -> bool:
    """Does `model`, or a model within, read a field under another name than it is dumped under?

    (Before pydantic 2.11 a model cannot be asked to read both.)
    """
    asked = inspect.signature(model.model_validate).parameters  # type: ignore[attr-defined]
    return "by_name" in asked and any(_aliases(model, set()))


def _masked(model: type, path: str, seen: set[type]) -> Iterator[str]:
    decorators = getattr(model, "__pydantic_decorators__", None)
    if model in seen or decorators is None or decorators.model_serializers:  # by hand: as the writer means it
        return
    seen.add(model)
    by_hand = {name for given in decorators.field_serializers.values() for name in given.info.fields}
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        if name in by_hand or any(hasattr(mark, "return_type") for mark in field.metadata):
            continue
        for kind in _classes(field.annotation):
            if hasattr(kind, "get_secret_value"):
                yield f"{path}.{name}"
            else:
                yield from _masked(kind, f"{path}.{name}", seen)


def _aliases(model: type, seen: set[type]) -> Iterator[bool]:
    if model in seen:
        return
    seen.add(model)
    fields = getattr(model, "model_fields", None)
    for field in fields.values() if isinstance(fields, dict) else ():
        yield field.validation_alias is not None
        for kind in _classes(field.annotation):
            yield from _aliases(kind, seen)


def _classes(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of."""
    for found in (annotation, typing.get_origin(annotation)):
        if isinstance(found, type):
            yield found
    for part in typing.get_args(annotation):
        yield from _classes(part)
