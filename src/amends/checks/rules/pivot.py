"""The point of no return: passed twice, passed in the middle of things, and what may not fail after it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..context import Context, say
from ..finding import Finding
from ..flow import Event
from ..source import own_nodes
from ..summaries import Summaries


def twice(context: Context) -> Iterator[Finding]:
    """AM201: also a nested saga that pivots, after the parent's own pivot."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        for event in context.events(saga):
            if event.node in seen or not event.after_pivot:
                continue
            first = next(s.pivot for s in sorted(event.states, key=_line) if s.pivot is not None)
            line = getattr(first, "lineno", 0)
            again = "in the round before" if first is event.node else f"on line {line}"
            if event.kind == "pivot":
                message = f"the saga {saga.label} has passed its pivot already ({again})"
            elif event.saga is not None and True in context.summaries.pivots(event.saga):
                message = f"{event.saga.label} has a pivot, and {saga.label} has passed one already ({again})"
            else:
                continue
            seen.add(event.node)
            yield say("AM201", event.function.module, event.node, message, chain=event.chain)


def _line(state: object) -> int:
    return getattr(getattr(state, "pivot", None), "lineno", 0)


def afterwards(context: Context) -> Iterator[Finding]:
    """AM202, AM203, AM204 and AM206."""
    seen: set[tuple[str, ast.AST]] = set()
    for saga in context.sagas:
        for event in context.events(saga):
            if not event.after_pivot:
                continue
            for code, message in _complaints(event, context):
                if (code, event.node) not in seen:
                    seen.add((code, event.node))
                    yield say(code, event.function.module, event.node, message, chain=event.chain)


def _complaints(event: Event, context: Context) -> Iterator[tuple[str, str]]:
    if event.step is not None:
        label, retry = event.step.label, event.step.retry
        if retry is not None and retry.attempts == 1:
            yield "AM202", f"{label} has one attempt only, but after the pivot it is tried until it succeeds"
        if (how := _refuses(event, context)) is not None:
            yield "AM203", f"{label} {how}, and after the pivot nothing can be undone"
        if event.inside("limit"):
            yield "AM204", f"{label} stands in a time limit, after which its effect is left as it is"
    elif event.saga is not None:
        if not event.before_pivot and not event.inside("try") and _may_be_undone(event, context.summaries):
            yield (
                "AM203",
                f"{event.saga.label} can end compensated, and after the pivot nothing else can be undone",
            )
    elif event.kind == "raise" and not event.before_pivot and not _is_caught(event):
        yield "AM206", "raised after the pivot: nothing is undone, the execution parks"


def _refuses(event: Event, context: Context) -> str | None:
    """How a step says no, if the source shows it."""
    assert event.step is not None
    step = event.step
    if step.option("rejects"):
        return "can be rejected (rejects=…)"
    for node in own_nodes(step.function.node):
        if isinstance(node, ast.Raise) and node.exc is not None:
            made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if context.resolver.dotted(made, step.function) == "amends.Rejected":
                return "can raise Rejected"
    return None


def _may_be_undone(event: Event, summaries: Summaries) -> bool:
    """Has the nested saga anything that may fail before a pivot of its own?"""
    assert event.saga is not None
    paths = summaries.of(event.saga)
    events = paths.events.values() if paths is not None else ()
    return any(each.before_pivot and each.kind in ("step", "child", "raise") for each in events)


def _is_caught(event: Event) -> bool:
    return event.inside("try") or event.inside("handler") or event.inside("suppress")


def in_flight(context: Context) -> Iterator[Finding]:
    """AM205: a pivot inside a TaskGroup that has tasks, in a gather, or while a task is not awaited."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        events = context.events(saga)
        for event in events:
            if event.kind == "pivot" and event.node not in seen and (why := _flying(event, events, context)):
                seen.add(event.node)
                yield say("AM205", event.function.module, event.node, f"pivot() {why}", chain=event.chain)


def _flying(pivot: Event, events: list[Event], context: Context) -> str:
    for kind, around in pivot.around:
        if kind == "group" and any(_is_started_in(other, around, pivot) for other in events):
            return "inside a TaskGroup whose tasks have begun"
    parents = pivot.function.module.parents
    outer = parents.get(pivot.node)
    if (
        isinstance(outer, ast.Call)
        and context.resolver.dotted(outer.func, pivot.function) == "asyncio.gather"
        and any(other is not pivot and other.node in ast.walk(outer) for other in events)
    ):
        return "beside other actions"
    statement: ast.AST | None = pivot.node
    while statement is not None and not isinstance(statement, ast.stmt):
        statement = parents.get(statement)
    name = None if statement is None else _open_task(statement, events, pivot, context)
    return f"while the task {name} is in flight" if name else ""


def _open_task(statement: ast.stmt, events: list[Event], pivot: Event, context: Context) -> str | None:
    """A task of a step that an earlier statement of the same block has begun, and that nobody has used."""
    parents = pivot.function.module.parents
    block = getattr(parents.get(statement), "body", [])
    before = block[: block.index(statement)] if statement in block else []
    steps = {each.node for each in events if each.kind in ("step", "child")}
    for position, earlier in enumerate(before):
        if not isinstance(earlier, ast.Assign) or not isinstance(earlier.targets[0], ast.Name):
            continue
        value, name = earlier.value, earlier.targets[0].id
        if (
            isinstance(value, ast.Call)
            and context.resolver.dotted(value.func, pivot.function) == "asyncio.create_task"
            and any(arg in steps for arg in value.args)
            and not any(_mentions(each, name) for each in before[position + 1 :])
        ):
            return name
    return None


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))


def _is_started_in(other: Event, group: ast.AST, pivot: Event) -> bool:
    """Was it begun in that group, as a task, before the pivot?"""
    if other.kind not in ("step", "child") or all(around is not group for _, around in other.around):
        return False
    parent = other.function.module.parents.get(other.node)
    as_task = (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Attribute)
        and parent.func.attr == "create_task"
    )
    return as_task and getattr(other.node, "lineno", 0) < getattr(pivot.node, "lineno", 0)
