"""Awaits that come too late, are cut off, or are missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import CoroutineType

from ...definition.saga import SagaCall
from ...definition.step import StepCall
from ..context import Context, say
from ..finding import Finding
from ..reach import Reached
from ..source import Function, own_nodes

CANCELS = {"asyncio.CancelledError", "builtins.BaseException", "asyncio.exceptions.CancelledError"}
OF_CALLS = {name for kind in (StepCall, SagaCall, CoroutineType) for name in dir(kind)}
AWAITABLE = {"amends.pivot", "amends.continue_as_new", "asyncio.sleep"}


def in_finally(context: Context) -> Iterator[Finding]:
    """AM401."""
    for saga in context.sagas:
        for event in context.events(saga):
            if event.kind in ("step", "child") and event.inside("finally") and not event.inside("shield"):
                what = event.step or event.saga
                assert what is not None
                message = f"{what.label} stands in a finally: after a cancel or a deadline it does not run"
                yield say("AM401", event.function.module, event.node, message, chain=event.chain)


def swallowed(context: Context) -> Iterator[Finding]:
    """AM402."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        for place in context.reached[saga]:
            for node in own_nodes(place.function.node):
                if node not in seen and (what := _swallows(node, place, context)):
                    seen.add(node)
                    yield say(
                        "AM402",
                        place.function.module,
                        node,
                        f"{what} swallows the cancellation of the saga",
                        chain=place.chain,
                    )


def _swallows(node: ast.AST, place: Reached, context: Context) -> str:
    function, resolver = place.function, context.resolver
    if isinstance(node, ast.ExceptHandler):
        guarded = function.module.parents[node]
        assert isinstance(guarded, ast.Try | ast.TryStar)
        caught = _caught(node.type)
        names = {resolver.dotted(each, function) for each in caught}
        if node.type is not None and not names & CANCELS:
            return ""
        if not _awaits(guarded.body) or _awaits_own_cancelled(guarded.body, function) or _raises(node.body):
            return ""
        if _has_reraised(guarded, node, function, context):
            return ""
        return "except:" if node.type is None else f"except {ast.unparse(node.type)}"
    if isinstance(node, ast.Return):
        return "a return in a finally" if _leaves_a_finally(node, function) else ""
    if isinstance(node, ast.With | ast.AsyncWith) and _awaits(node.body):
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and resolver.dotted(call.func, function) == "contextlib.suppress":
                given = {resolver.dotted(each, function) for each in call.args}
                if given & CANCELS and not _awaits_own_cancelled(node.body, function):
                    return ast.unparse(call)
    return ""


def _leaves_a_finally(node: ast.Return, function: Function) -> bool:
    """Does it replace whatever exception is on its way?"""
    parents = function.module.parents
    inner: ast.AST = node
    while inner is not function.node:
        outer = parents[inner]
        if isinstance(outer, ast.Try | ast.TryStar) and inner in outer.finalbody and _awaits(outer.body):
            return True
        inner = outer
    return False


def _caught(node: ast.expr | None) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node] if node is not None else []


def _has_reraised(
    guarded: ast.Try | ast.TryStar, handler: ast.ExceptHandler, function: Function, context: Context
) -> bool:
    """Does a handler before this one let cancellations through?"""
    for each in guarded.handlers:
        if each is handler:
            return False
        if {context.resolver.dotted(t, function) for t in _caught(each.type)} & CANCELS and _raises(
            each.body
        ):
            return True
    return False


def _awaits(body: list[ast.stmt]) -> bool:
    kinds = ast.Await | ast.AsyncFor | ast.AsyncWith
    return any(isinstance(node, kinds) for statement in body for node in ast.walk(statement))


def _raises(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Raise) for statement in body for node in ast.walk(statement))


def _awaits_own_cancelled(body: list[ast.stmt], function: Function) -> bool:
    """``task.cancel()`` and then ``await task``: the cancellation is the code's own."""
    awaited = [
        node.value for statement in body for node in ast.walk(statement) if isinstance(node, ast.Await)
    ]
    cancelled = {
        ast.unparse(node.func.value)
        for node in own_nodes(function.node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cancel"
    }
    return bool(awaited) and all(ast.unparse(each) in cancelled for each in awaited)


# ---------------------------------------------------------------- calls that nobody awaits


def not_awaited(context: Context) -> Iterator[Finding]:
    """AM403."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        for place in context.reached[saga]:
            for node, name in _calls(place.function, context):
                if node not in seen and (_is_lost(node, place.function) or _is_handed_out(node, place)):
                    seen.add(node)
                    message = f"{name} is called and never awaited, so it never happens"
                    yield say("AM403", place.function.module, node, message, chain=place.chain)


def _calls(function: Function, context: Context) -> Iterator[tuple[ast.expr, str]]:
    """Calls that give an awaitable, together with ``.options(…)`` behind them."""
    definitions, parents = context.definitions, function.module.parents
    for node in own_nodes(function.node):
        if not isinstance(node, ast.Call):
            continue
        dotted = context.resolver.dotted(node.func, function)
        what = definitions.step(dotted) or definitions.saga(dotted)
        if what is None and not _is_awaitable(dotted, context):
            continue
        name = what.label if what is not None else str(dotted)
        outer: ast.expr = node
        attribute = parents.get(node)
        if isinstance(attribute, ast.Attribute) and attribute.attr == "options":
            call = parents.get(attribute)
            outer = call if isinstance(call, ast.Call) else node
        yield outer, name


def _is_awaitable(dotted: str | None, context: Context) -> bool:
    if dotted is None or dotted in AWAITABLE or dotted == "amends.Signal.receive":
        return dotted is not None
    helper = context.project.function(dotted)
    if (
        helper is None
        or not isinstance(helper.node, ast.AsyncFunctionDef)
        or helper in context.definitions.undo_functions
    ):
        return False
    decorated = bool(helper.node.decorator_list)
    return not decorated and not any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own_nodes(helper.node))


def _is_lost(node: ast.expr, function: Function) -> bool:
    parent = function.module.parents.get(node)
    if isinstance(parent, ast.Expr):
        return True
    if isinstance(parent, ast.If | ast.While | ast.IfExp) and parent.test is node:
        return True
    if isinstance(parent, ast.Compare | ast.FormattedValue | ast.UnaryOp | ast.BinOp):
        return True
    if isinstance(parent, ast.Attribute) and parent.value is node:
        return parent.attr not in OF_CALLS  # it is the result that is meant, and there is none yet
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return True
    if (
        isinstance(parent, ast.Assign)
        and len(parent.targets) == 1
        and isinstance(parent.targets[0], ast.Name)
    ):
        return not _is_read(parent.targets[0].id, function)
    return False


def _is_handed_out(node: ast.expr, place: Reached) -> bool:
    """Does the saga itself return the call, instead of its result?"""
    return not place.chain and isinstance(place.function.module.parents.get(node), ast.Return)


def _is_read(name: str, function: Function) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        for node in ast.walk(function.node)
    )
