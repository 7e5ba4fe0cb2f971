"""Journals that grow without end."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..context import Context, say
from ..definitions import SagaDef
from ..finding import Finding
from ..reach import Reached
from ..source import own_nodes


def recursion(context: Context) -> Iterator[Finding]:
    """AM404: a saga that is reached again through the sagas it nests."""
    for saga in context.sagas:
        for event in context.events(saga):
            if event.saga is None:
                continue
            way = _way_back(event.saga, saga, context)
            if way is not None:
                through = " → ".join(each.label for each in (saga, *way))
                message = f"{saga.label} nests itself ({through}) and does not continue as new"
                yield say("AM404", event.function.module, event.node, message, chain=event.chain)


def _way_back(begin: SagaDef, goal: SagaDef, context: Context) -> list[SagaDef] | None:
    waiting = [[begin]]
    seen: set[SagaDef] = set()
    while waiting:
        way = waiting.pop(0)
        if way[-1] is goal:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            waiting += [[*way, e.saga] for e in context.events(way[-1]) if e.saga is not None]
    return None


def endless(context: Context) -> Iterator[Finding]:
    """AM405: ``while True`` that only an exception leaves, with something durable in it."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        if any(event.kind == "again" for event in context.events(saga)):
            continue
        for place in context.reached[saga]:
            for node in own_nodes(place.function.node):
                if node not in seen and _is_endless(node, place, context):
                    seen.add(node)
                    message = f"this loop of the saga {saga.label} has no end, and never continues as new"
                    yield say("AM405", place.function.module, _head(node), message, chain=place.chain)


def _is_endless(node: ast.AST, place: Reached, context: Context) -> bool:
    if isinstance(node, ast.While):
        forever = isinstance(node.test, ast.Constant) and bool(node.test.value)
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
        forever = context.resolver.dotted(node.iter.func, place.function) in (
            "itertools.count",
            "itertools.cycle",
        )
    else:
        return False
    if not forever:
        return False
    inside = [each for statement in node.body for each in ast.walk(statement)]
    if not any(isinstance(each, ast.Await) for each in inside):
        return False
    return not any(isinstance(each, ast.Return | ast.Raise) for each in inside) and not _breaks(node.body)


def _breaks(body: list[ast.stmt]) -> bool:
    """Is there a `break` of this loop (not of one inside it)?"""
    for node in body:
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, ast.For | ast.AsyncFor | ast.While):
            if _breaks(node.orelse):
                return True
            continue
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, [])
            if isinstance(inner, list) and _breaks([s for each in inner for s in _statements(each)]):
                return True
    return False


def _statements(node: ast.AST) -> list[ast.stmt]:
    if isinstance(node, ast.ExceptHandler | ast.match_case):
        return node.body
    return [node] if isinstance(node, ast.stmt) else []


def _head(node: ast.AST) -> ast.AST:
    """The first line of a loop, for the caret."""
    assert isinstance(node, ast.While | ast.For)
    return node.test if isinstance(node, ast.While) else node.iter
