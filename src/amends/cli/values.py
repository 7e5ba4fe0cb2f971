"""JSON from the command line: inline, ``@file`` or ``-`` (stdin), with errors that show the place."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from ..definition.saga import Saga, SagaCall
from ..definition.signature import Signature
from ..errors import PayloadError, did_you_mean
from .exits import Problem


def read(given: str, option: str) -> Any:
    """The value of an option that takes JSON. Raises `Problem` that shows where it is wrong."""
    text = _text(given, option)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Problem(
            f"{option} is no JSON: {error}\n{_shown(text, str(error))}", hint=_advice(text, option)
        ) from error


def _text(given: str, option: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Problem(f"{option}: cannot read {given[1:]}: {reason}") from error


def _shown(text: str, message: str) -> str:
    """The line with a mark below the byte that is wrong."""
    found = re.search(r"byte (\d+)", message)
    if not found:
        return f"    {text[:200]}"
    before = text.encode()[: int(found[1])].decode(errors="replace")
    column = len(before) - (before.rfind("\n") + 1)
    line = text.splitlines()[before.count("\n")] if text.splitlines() else text
    start = max(0, column - 60)
    return f"    {line[start : start + 100]}\n    {' ' * (column - start)}^"


def _advice(text: str, option: str) -> str:
    if "'" in text and '"' not in text:
        return f"""JSON quotes with ": {option} '{text.replace("'", '"')}'"""
    if re.fullmatch(r"[\w.@ -]+", text.strip()):
        return f"""text needs quotes of its own: {option} '"{text.strip()}"'"""
    return f"""for example {option} '{{"order": "1001"}}', or {option} @file.json"""


def call(saga: Saga[..., Any], given: str | None, deadline: float | None) -> SagaCall[Any]:
    """A call of the saga with arguments from JSON: an object by name, or a list by position.

    Raises `Problem`, `PayloadError` for arguments that do not fit.
    """
    signature = saga.signature
    value = read(given, "--args") if given is not None else {}
    named = by_name(signature, value, "--args")
    try:
        args = signature.decode_args(msgspec.json.encode(named))
    except PayloadError as error:
        raise Problem(
            f"{error.message}", hint=f"it takes {described(signature)}", code=PayloadError.code
        ) from error
    made = SagaCall(saga, args)
    return made if deadline is None else made.options(deadline=deadline)


def by_name(signature: Signature, value: Any, option: str) -> dict[str, Any]:
    """Arguments as a mapping; each name must be a parameter."""
    positional, only, _ = signature.plan
    names = [*positional, *only]
    if isinstance(value, list):
        if len(value) > len(positional):
            raise Problem(f"{option} has {len(value)} values", hint=f"it takes {described(signature)}")
        return dict(zip(positional, value, strict=False))
    if not isinstance(value, dict):
        raise Problem(
            f"{option} is {type(value).__name__}, expected an object by name or a list by position",
            hint=f"it takes {described(signature)}",
        )
    for name in value:
        if name not in names:
            near = did_you_mean(name, names) if names else ""
            raise Problem(
                f"{signature.fn.__name__} has no parameter {name!r}",
                hint=near or f"it takes {described(signature)}",
            )
    return value


def described(signature: Signature) -> str:
    """``place_order(order: Order, express: bool = False)``, without what the worker gives."""
    resources = signature.plan[2]
    parts = [str(parameter) for parameter in signature.parameters if parameter.name not in resources]
    return f"{signature.fn.__name__}({', '.join(parts)})"
