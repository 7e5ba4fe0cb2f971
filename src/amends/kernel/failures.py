"""Exceptions to faults and back: what a journal keeps of an error, and what saga code sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .. import codec
from ..definition.step import Step
from ..errors import Rejected, StepFailed
from .entries import NULL, Fault, Raw

MESSAGE_LIMIT = 4000


def fault_of(error: BaseException) -> Fault:
    """The journal's form of an exception: its type's name, its text (our own errors: with what to do about
    it), and its details or arguments.
    """
    message = _text(error)
    if isinstance(error, BaseExceptionGroup):
        message += "".join(f"\n  {type(leaf).__name__}: {_text(leaf)}" for leaf in _leaves(error))
    if len(message) > MESSAGE_LIMIT:
        message = message[:MESSAGE_LIMIT] + "…"
    details = error.details if isinstance(error, Rejected) else list(error.args)
    return Fault(type(error).__name__, message, _details(details))


def _text(error: BaseException) -> str:
    """What it says, as text that can be stored, whatever its class makes of that."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception as broken:  # noqa: BLE001 - an error must not get lost because it cannot speak
        return f"(no text: str() of it raised {type(broken).__name__})"


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _details(value: Any) -> Raw:
    if value is None or value == []:
        return NULL
    try:
        data = codec.encode(value)
    except Exception:  # noqa: BLE001 - likewise: what it carries cannot be told, and may be anything
        return NULL
    return Raw(data) if len(data) <= MESSAGE_LIMIT else NULL


def failure_of(step: Step[..., Any], fault: Fault, outcome: str) -> BaseException:
    """What saga code sees: an exception named in `rejects=` or `raises=` rebuilt, else `StepFailed`."""
    details: Any = None if fault.details == NULL else msgspec.json.decode(fault.details)
    for type_ in (*step.options.rejects, *step.options.raises):
        found = _named(type_, fault.type)
        if found is not None:
            rebuilt = _rebuild(found, fault, details)
            if rebuilt is not None:
                return rebuilt
    if isinstance(details, list) and fault.type != Rejected.__name__:
        details = None
    return StepFailed(step.name, fault.type, fault.message, outcome=outcome, details=details)


def _named(type_: type[BaseException], name: str) -> type[BaseException] | None:
    """`type_` or its (known) subclass of that name."""
    if type_.__name__ == name:
        return type_
    for sub in type_.__subclasses__():
        found = _named(sub, name)
        if found is not None:
            return found
    return None


def _rebuild(type_: type[BaseException], fault: Fault, details: Any) -> BaseException | None:
    if issubclass(type_, Rejected):
        return type_(fault.message, details=details)
    try:
        return type_(*details) if isinstance(details, list) else type_(fault.message)
    except Exception:  # noqa: BLE001 - another signature: the caller falls back to StepFailed
        return None
