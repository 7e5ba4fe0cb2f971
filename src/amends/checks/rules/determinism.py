"""What replay cannot repeat: the clock, chance, I/O, threads, the environment, the order of sets."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..context import Context, say
from ..finding import Finding
from ..hazards import FOREIGN_METHODS, RIGHT, hazard
from ..reach import Reached
from ..source import Function, Module, own_nodes

_SAID = {
    "AM301": "reads the clock",
    "AM302": "draws chance",
    "AM303": "does I/O",
    "AM304": "leaves the saga's event loop",
    "AM305": "reads the environment of this process",
    "AM308": "is repeated at every replay",
}
_SORTED = {
    f"builtins.{name}"
    for name in ("sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset", "bool")
}


def hazards(context: Context) -> Iterator[Finding]:
    """AM301 to AM305, AM308."""
    seen: set[tuple[str, ast.AST]] = set()
    for saga in context.sagas:
        for place in context.reached[saga]:
            for node, dotted, code in _hazards_of(place.function, context):
                if (code, node) not in seen:
                    seen.add((code, node))
                    yield _finding(place, node, dotted, code, saga.label)


def _finding(place: Reached, node: ast.AST, dotted: str, code: str, saga: str) -> Finding:
    name = dotted.removeprefix("builtins.")
    where = f" (called in the saga {saga})" if place.chain else ""
    hint = f"use {RIGHT[dotted]}, or do it in a step" if dotted in RIGHT else ""
    return say(
        code, place.function.module, node, f"{name} {_SAID[code]}{where}", hint=hint, chain=place.chain
    )


def _hazards_of(function: Function, context: Context) -> Iterator[tuple[ast.AST, str, str]]:
    resolver, inner = context.resolver, set[ast.AST]()
    for node in own_nodes(function.node):
        if isinstance(node, ast.Call):
            yield from _defaults_of(node, function, context)
            dotted = resolver.dotted(node.func, function)
            inner.update(_chain(node.func))
            if dotted and (code := hazard(dotted, arguments=len(node.args) + len(node.keywords))):
                if not _is_judged(node.func, function, context):
                    yield node.func, dotted, code
            elif isinstance(node.func, ast.Attribute) and node.func.attr in FOREIGN_METHODS:
                yield node.func, f"loop.{node.func.attr}", "AM304"
        elif isinstance(node, ast.Name | ast.Attribute) and node not in inner:
            inner.update(_chain(node))
            dotted = resolver.dotted(node, function)
            code = hazard(dotted) if dotted and isinstance(node.ctx, ast.Load) else ""
            if dotted and code and (code == "AM305" or _is_given_away(node, function, context)):
                yield node, dotted, code


def _defaults_of(call: ast.Call, function: Function, context: Context) -> Iterator[tuple[ast.AST, str, str]]:
    """``Order()`` of a class with ``id: UUID = field(default_factory=uuid4)``."""
    made = context.resolver.dotted(call.func, function)
    given = {keyword.arg for keyword in call.keywords}
    if made is None or None in given:
        return
    for node, module in _factories(made, given, len(call.args), context):
        for called in _factory(node):
            dotted = context.resolver.dotted(called, module)
            if dotted and (code := hazard(dotted, arguments=0)):
                yield call, dotted, code


def _factories(
    cls: str, given: set[str | None], positional: int, context: Context
) -> Iterator[tuple[ast.expr, Module]]:
    """The factories of the fields that a call does not give; fields of bases come first in the order."""
    fields = [
        (each, place[0])
        for owner in reversed(context.resolver.bases(cls))
        if (node := context.resolver.class_node(owner)) and (place := context.project.split(owner))
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]
    for each, module in fields[positional:]:
        if isinstance(each.value, ast.Call) and ast.unparse(each.target) not in given:
            for keyword in each.value.keywords:
                if keyword.arg in ("default_factory", "factory"):
                    yield keyword.value, module


def _factory(node: ast.expr) -> list[ast.expr]:
    """What is called when the value is wanted."""
    if isinstance(node, ast.Lambda):
        return [each.func for each in ast.walk(node.body) if isinstance(each, ast.Call)]
    return [node]


def _chain(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a dotted name: they are judged together."""
    yield node
    while isinstance(node, ast.Attribute):
        node = node.value
        yield node


def _is_judged(node: ast.expr, function: Function, context: Context) -> bool:
    """Is it a method of an object whose making, in the same function, was a finding already?"""
    made = node.value if isinstance(node, ast.Attribute) else None
    if isinstance(made, ast.Name):
        made = function.bindings.get(made.id)  # type: ignore[assignment]
    if not isinstance(made, ast.Call):
        return False
    dotted = context.resolver.dotted(made.func, function)
    return dotted is not None and hazard(dotted) != ""


def _is_given_away(node: ast.AST, function: Function, context: Context) -> bool:
    """Is a function handed to another one that will call it (``map(open, paths)``), itself no finding?"""
    parents = function.module.parents
    parent = parents.get(node)
    if isinstance(parent, ast.keyword):
        parent = parents.get(parent)
    if not isinstance(parent, ast.Call) or parent.func is node or _asks_for_class(parent):
        return False
    taker = context.resolver.dotted(parent.func, function)
    return taker is None or not hazard(taker)


def _asks_for_class(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("isinstance", "issubclass")


# ---------------------------------------------------------------- the order of sets


def unordered(context: Context) -> Iterator[Finding]:
    """AM307."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        for place in context.reached[saga]:
            for node, body in _loops(place.function):
                if node in seen or not _is_set(node, place.function, context):
                    continue
                if any(_is_durable(call, place.function, context) for call in body):
                    seen.add(node)
                    text = ast.unparse(node)
                    message = f"the steps of this loop come in the order of the set {text}"
                    hint = f"iterate over sorted({text})"
                    yield say("AM307", place.function.module, node, message, hint=hint, chain=place.chain)


def _loops(function: Function) -> Iterator[tuple[ast.expr, list[ast.AST]]]:
    """What is iterated over, and what is done for each item."""
    for node in own_nodes(function.node):
        if isinstance(node, ast.For):
            yield node.iter, [each for part in node.body for each in ast.walk(part)]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and not _is_sorted(
            node, function
        ):
            yield node.generators[0].iter, list(ast.walk(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "map" and len(node.args) == 2:
            yield node.args[1], [ast.Call(node.args[0], [], [])]


def _is_sorted(node: ast.AST, function: Function) -> bool:
    parent = function.module.parents.get(node)
    return isinstance(parent, ast.Call) and f"builtins.{ast.unparse(parent.func)}" in _SORTED


def _is_durable(node: ast.AST, function: Function, context: Context) -> bool:
    """Does it issue a command to the journal?"""
    if not isinstance(node, ast.Call):
        return False
    dotted = context.resolver.dotted(node.func, function)
    definitions = context.definitions
    if (
        definitions.step(dotted)
        or definitions.saga(dotted)
        or dotted in ("asyncio.sleep", "asyncio.create_task")
    ):
        return True
    helper = None if dotted is None else context.project.function(dotted)
    return helper is not None and isinstance(helper.node, ast.AsyncFunctionDef)


def _is_set(node: ast.AST, function: Function, context: Context, depth: int = 0) -> bool:
    if isinstance(node, ast.Set):
        return len(node.elts) > 1
    if isinstance(node, ast.SetComp):
        return True
    if isinstance(node, ast.BinOp):
        return any(_is_set(side, function, context, depth) for side in (node.left, node.right))
    made = ("builtins.set", "builtins.frozenset")
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple", "enumerate") and node.args:
            return _is_set(node.args[0], function, context, depth)
        return context.resolver.dotted(node.func, function) in made
    if isinstance(node, ast.Name) and depth < 4:
        binding = function.bindings.get(node.id)
        if isinstance(binding, ast.arg):
            return context.resolver.annotated(binding.annotation, function) in made
        return isinstance(binding, ast.expr) and _is_set(binding, function, context, depth + 1)
    return False
