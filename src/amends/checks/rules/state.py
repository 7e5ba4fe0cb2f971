"""State outside of the journal: globals that something changes, and attributes of a saga's object."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..context import Context, say
from ..finding import Finding
from ..reach import Reached
from ..source import Function, Module, own_nodes

_METHODS = """
append appendleft extend insert remove pop popleft popitem clear update setdefault add discard sort reverse
subtract move_to_end
"""
CHANGING = frozenset(_METHODS.split())


def shared(context: Context) -> Iterator[Finding]:
    """AM306."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        for place in context.reached[saga]:
            for node, message in _uses(place, context):
                if node not in seen:
                    seen.add(node)
                    yield say("AM306", place.function.module, node, message, chain=place.chain)


def _uses(place: Reached, context: Context) -> Iterator[tuple[ast.AST, str]]:
    function = place.function
    said: set[str] = set()
    for node in own_nodes(function.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            if _is_self(node.value, function) and not _is_being_made(function) and _is_shared(place):
                yield node, f"self.{node.attr} is changed, and the journal does not know of it"
        elif isinstance(node, ast.Name) and (found := _global(node, function, context)) is not None:
            module, name = found
            line = changes(module).get(name)
            if line is not None and f"{module.name}.{name}" not in said:
                said.add(f"{module.name}.{name}")
                where = f"on line {line} of {module.path.name}"
                yield node, f"the global {name} is changed {where}, and the journal does not know of it"


def _is_self(node: ast.expr, function: Function) -> bool:
    first = function.parameters[0].arg if function.bound and function.parameters else ""
    return isinstance(node, ast.Name) and node.id == first


def _is_shared(place: Reached) -> bool:
    """Is `self` the saga's own object, or one at the top of a module? What the saga itself made is local."""
    function = place.function
    for caller, node in reversed(place.chain):
        called = node.func if isinstance(node, ast.Call) else node
        receiver = called.value if isinstance(called, ast.Attribute) else None
        if isinstance(receiver, ast.Name) and not _is_self(receiver, caller):
            return _is_at_top(receiver.id, caller)
        if not isinstance(receiver, ast.Name) and not _is_super(receiver):
            return False
        function = caller
    return function.bound


def _is_super(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _is_at_top(name: str, function: Function) -> bool:
    scope: Function | None = function
    while scope is not None:
        if name in scope.bindings:
            return False
        scope = scope.outer
    return name in function.module.bindings


def _is_being_made(function: Function) -> bool:
    return function.name in ("__init__", "__post_init__", "__attrs_post_init__", "__new__")


def _global(node: ast.Name, function: Function, context: Context) -> tuple[Module, str] | None:
    """The module and name of a variable at the top of a module."""
    module = function.module
    if not _is_at_top(node.id, function):
        return None
    dotted = context.resolver.dotted(node, function) or f"{module.name}.{node.id}"
    found = context.project.split(dotted)
    return found if found is not None and "." not in found[1] else None


def changes(module: Module) -> dict[str, int]:
    """The variables at the top of a module that a function changes, and the line that does."""
    known: dict[str, int] | None = module.__dict__.get("changes")
    if known is None:
        known = module.__dict__["changes"] = dict(_changes(module))
    return known


def _changes(module: Module) -> Iterator[tuple[str, int]]:
    for function in module.functions.values():
        declared = {
            n for node in own_nodes(function.node) if isinstance(node, ast.Global) for n in node.names
        }
        for node in own_nodes(function.node):
            if (
                isinstance(node, ast.Name)
                and node.id in declared
                and isinstance(node.ctx, ast.Store | ast.Del)
            ):
                yield node.id, node.lineno
            target = _changed(node)
            if target is None or target.id in function.bindings or not _is_top(target.id, function):
                continue
            yield target.id, target.lineno


def _changed(node: ast.AST) -> ast.Name | None:
    """The name whose object this changes in place."""
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
        target = node.func.value
    while isinstance(target, ast.Subscript):
        target = target.value
    return target if isinstance(target, ast.Name) else None


def _is_top(name: str, function: Function) -> bool:
    """Is it a variable of the module that holds something changeable?"""
    outer = function.outer
    while outer is not None:
        if name in outer.bindings:
            return False
        outer = outer.outer
    binding = function.module.bindings.get(name)
    return isinstance(
        binding, ast.Dict | ast.List | ast.Set | ast.Call | ast.ListComp | ast.DictComp | ast.SetComp
    )
