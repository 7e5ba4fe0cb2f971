"""Payloads as the source shows them: annotations that are missing, defaults that can be changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..context import Context, say
from ..definitions import SagaDef, StepDef
from ..finding import Finding
from ..source import Function, own_nodes
from .undoing import is_resource

MUTABLE = {f"builtins.{name}" for name in ("list", "dict", "set", "bytearray")} | {
    "collections.defaultdict",
    "collections.deque",
    "collections.Counter",
    "collections.OrderedDict",
}


def _functions(context: Context) -> Iterator[tuple[str, Function]]:
    """Functions whose parameters are journaled, and what they are."""
    for each in context.definitions_here:
        yield ("saga" if isinstance(each, SagaDef) else "step"), each.function
        if isinstance(each, StepDef):
            for undo in each.undos:
                yield "compensation", undo.function


def unannotated(context: Context) -> Iterator[Finding]:
    """AM501."""
    for kind, function in _functions(context):
        args = function.node.args
        parameters = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        for parameter in parameters[1:] if function.bound else parameters:
            if parameter.annotation is None and not is_resource(parameter, function, context):
                message = f"the parameter {parameter.arg} of the {kind} {function.name} has no annotation"
                yield say("AM501", function.module, parameter, message, hint=f"{parameter.arg}: …")
        if kind != "compensation" and function.node.returns is None and _gives_value(function):
            message = f"the {kind} {function.name} returns a value and has no annotation for it"
            yield say("AM501", function.module, function.node, message, hint="-> …")


def _gives_value(function: Function) -> bool:
    return any(
        isinstance(node, ast.Return)
        and node.value is not None
        and not (isinstance(node.value, ast.Constant) and node.value.value is None)
        for node in own_nodes(function.node)
    )


def mutable_defaults(context: Context) -> Iterator[Finding]:
    """AM503: of steps, sagas and compensations, and of the helpers in saga code."""
    seen: set[ast.AST] = set()
    every = [function for _, function in _functions(context)]
    every += [place.function for saga in context.sagas for place in context.reached[saga]]
    for function in every:
        for name, default in function.defaults.items():
            if default not in seen and _is_mutable(default, function, context):
                seen.add(default)
                message = f"the default of {name} in {function.name} is one object for all calls"
                yield say("AM503", function.module, default, message)


def _is_mutable(node: ast.expr, function: Function, context: Context) -> bool:
    if isinstance(node, ast.Call):
        return context.resolver.dotted(node.func, function.outer or function.module) in MUTABLE
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
