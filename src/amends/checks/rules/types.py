"""Payloads as the imported objects show them: can a journal hold and read back what the annotations say?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import msgspec

from ... import codec
from ...definition.compensation import Compensation
from ...definition.resource import resource_type
from ...definition.signal import Signal
from ...errors import AmendsError, PayloadError
from ..context import Context, say
from ..definitions import SagaDef, StepDef
from ..finding import Finding
from ..loading import Loaded
from ..source import Function, Module, first_line


def unreadable(context: Context) -> Iterator[Finding]:
    """AM502."""
    for each in context.definitions_here:
        live = each.live if isinstance(each, StepDef | SagaDef) else None
        if live is None:
            continue
        yield from _of_function(each.function, live.signature)
        undo: Compensation | None = getattr(live, "undo", None)
        if undo is not None and isinstance(each, StepDef) and each.undos:
            yield from _of_function(each.undos[0].function, undo.candidates[0][1], skip_return=True)
    for loaded in context.loaded.values():
        yield from _of_signals(loaded)


def _of_function(function: Function, signature: Any, *, skip_return: bool = False) -> Iterator[Finding]:
    try:
        hints = signature.hints
    except AmendsError as error:
        yield say("AM502", function.module, function.node, error.message, hint=error.hint)
        return
    names = [p.name for p in signature.parameters]
    for name in names if skip_return else [*names, "return"]:
        hint = hints.get(name, Any)
        if resource_type(hint) is not None:
            continue
        wrong = complaint(type(None) if hint is None else hint)
        if wrong:
            what = "the result" if name == "return" else f"the parameter {name}"
            message = f"{what} of {function.name} cannot be read back from a journal: {wrong}"
            yield say("AM502", function.module, _annotation(function, name), message)


def _annotation(function: Function, name: str) -> ast.AST:
    if name == "return":
        return function.node.returns or function.node
    found = next((p for p in function.parameters if p.arg == name), None)
    return function.node if found is None else found


def _of_signals(loaded: Loaded) -> Iterator[Finding]:
    module = loaded.module
    for name, value in vars(loaded.value).items() if loaded.value is not None else ():
        binding = module.bindings.get(name)
        if isinstance(value, Signal) and isinstance(binding, ast.AST):
            wrong = complaint(value.type)
            if wrong:
                message = (
                    f"the value of the signal {value.name!r} cannot be read back from a journal: {wrong}"
                )
                yield say("AM502", module, binding, message)


def complaint(hint: Any) -> str:
    """What is wrong with an annotation; empty if a journal can hold and read it."""
    try:
        codec.decoder(hint)
        kind = msgspec.inspect.type_info(hint)
    except PayloadError as error:
        return error.message.rpartition("journal: ")[2]
    except TypeError as error:
        return str(error)
    custom = next(_customs(kind, set()), None)
    return "" if custom is None else f"JSON has no form for {getattr(custom, '__name__', custom)}"


def _customs(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """Types that neither msgspec nor the hooks of the codec know, wherever they are nested."""
    if isinstance(kind, msgspec.inspect.CustomType):
        if kind.cls is not object and not hasattr(kind.cls, "model_validate"):
            yield kind.cls
        return
    owner = getattr(kind, "cls", None)
    if owner is not None:
        if owner in seen:
            return
        seen.add(owner)
    for name in getattr(kind, "__struct_fields__", ()):
        value = getattr(kind, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, msgspec.inspect.Field):
                yield from _customs(each.type, seen)
            elif isinstance(each, msgspec.inspect.Type):
                yield from _customs(each, seen)


def refused(context: Context) -> Iterator[Finding]:
    """AM902, unless a rule has found the reason in the source (AM104)."""
    for loaded in context.loaded.values():
        error = loaded.refused
        if error is not None:
            yield say("AM902", loaded.module, _at(loaded.module, loaded.line), error.message, hint=error.hint)


def _at(module: Module, line: int) -> ast.AST:
    """The definition that begins around a line, or the line itself."""
    for function in module.functions.values():
        if first_line(function.node) <= line <= function.node.body[0].lineno:
            return function.node
    return ast.Pass(lineno=max(line, 1), col_offset=0, end_lineno=max(line, 1), end_col_offset=1)
