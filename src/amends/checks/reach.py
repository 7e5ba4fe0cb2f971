"""Which functions run as part of a saga: its body, and the helpers of the same project that it calls."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from .definitions import Definitions, SagaDef
from .source import Function, own_nodes

MADE = ("__init__", "__post_init__", "__attrs_post_init__")


@dataclass(frozen=True)
class Reached:
    """A function and the calls that lead to it (empty: the saga itself)."""

    function: Function
    chain: tuple[tuple[Function, ast.AST], ...] = ()


def reached(saga: SagaDef, definitions: Definitions) -> list[Reached]:
    """The functions of a saga, nearest first. Steps and nested sagas are not part of it."""
    found = [Reached(saga.function)]
    seen = {saga.function}
    waiting = deque(found)
    while waiting:
        current = waiting.popleft()
        for node, helper in called(current.function, definitions):
            if helper not in seen:
                seen.add(helper)
                next_one = Reached(helper, (*current.chain, (current.function, node)))
                found.append(next_one)
                waiting.append(next_one)
    return found


def called(function: Function, definitions: Definitions) -> Iterator[tuple[ast.expr, Function]]:
    """The helpers that a function calls, or gives to another function to be called; and properties."""
    for node in own_nodes(function.node):
        if isinstance(node, ast.Call):
            for each in (node.func, *node.args, *(k.value for k in node.keywords)):
                for helper in _meant(each, function, definitions):
                    yield node, helper
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            for helper in _meant(node, function, definitions):
                if helper.is_property:
                    yield node, helper


def _meant(node: ast.expr, function: Function, definitions: Definitions) -> Iterator[Function]:
    if not isinstance(node, ast.Name | ast.Attribute):
        return
    resolver, project = definitions.resolver, definitions.project
    dotted = resolver.dotted(node, function)
    if dotted is None or definitions.step(dotted) or definitions.saga(dotted):
        return
    helper = project.function(dotted)
    if helper is not None and helper not in definitions.undo_functions:
        yield helper
    elif resolver.class_node(dotted) is not None:
        for name in MADE:
            maker = project.function(resolver.member(dotted, name))
            if maker is not None:
                yield maker
