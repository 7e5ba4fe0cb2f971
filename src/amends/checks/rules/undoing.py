"""Compensations: missing, not fitting, needing what is not there; and effects that nothing takes back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain

from ..context import Context, say
from ..definitions import StepDef, Undo
from ..effects import has_effects, says_mail
from ..finding import Finding
from ..flow import Event
from ..source import Function, own_nodes
from ..values import UNKNOWN


def missing_compensation(context: Context) -> Iterator[Finding]:
    """AM101: at the step, or at its call when the step is defined elsewhere."""
    seen: set[StepDef] = set()
    for saga in context.sagas:
        for event in context.events(saga):
            if event.step is None or not event.before_pivot:
                continue
            for step in (event.step, *_alternatives(event.step, context)):
                if step in seen or _is_covered(step) or not has_effects(step.function, context):
                    continue
                seen.add(step)
                message = (
                    f"{step.label} has no compensation, and the saga {saga.label} calls it before any pivot"
                )
                name = step.function.name
                hint = f"declare @{name}.compensation, say irreversible=True, or call it after the pivot"
                if step.function.module in context.targets:
                    yield say("AM101", step.function.module, step.function.node, message, hint=hint)
                else:
                    yield say(
                        "AM101", event.function.module, event.node, message, hint=hint, chain=event.chain
                    )


def _is_covered(step: StepDef) -> bool:
    return bool(step.undos) or step.irreversible or (step.live is not None and step.live.undo is not None)


def _alternatives(step: StepDef, context: Context) -> Iterator[StepDef]:
    """The steps of ``fallback=[…]``."""
    node = step.nodes.get("fallback")
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node] if node is not None else []
    where = step.function.outer or step.function.module
    for item in items:
        found = context.definitions.step(context.resolver.dotted(item, where))
        if found is not None:
            yield found


# ---------------------------------------------------------------- parameters


def unfit(context: Context) -> Iterator[Finding]:
    """AM104."""
    for step, undo in _undos(context):
        function = undo.function
        if step.option("irreversible", False) is True:
            message = f"{step.label} is declared irreversible and has the compensation {function.name}"
            yield say("AM104", function.module, function.node, message)
        elif (wrong := _misfit(step.function, function, context)) is not None:
            yield say("AM104", function.module, function.node, wrong)
        elif undo is not step.undos[0] and step.function.module is function.module:
            message = f"{step.label} has a compensation already ({step.undos[0].function.name})"
            yield say("AM104", function.module, function.node, message)


def _undos(context: Context) -> Iterator[tuple[StepDef, Undo]]:
    for step in context.definitions.steps.values():
        for undo in step.undos:
            if undo.function.module in context.targets:
                yield step, undo


def _misfit(action: Function, undo: Function, context: Context) -> str | None:
    positional, named = _parameters(action, context)
    have_positional, have_named = _parameters(undo, context)
    fits = (
        len(have_positional) == len(positional) + 1
        and set(have_named) == set(named)
        and have_positional[0] not in positional
    )
    if fits or undo.node.args.vararg or undo.node.args.kwarg:
        return None
    have = ", ".join([*have_positional, *(["*", *have_named] if have_named else [])])
    wanted = ", ".join(["result", *positional, *(["*", *named] if named else [])])
    return f"{undo.name} cannot undo {action.name}: its parameters are ({have}), expected ({wanted})"


def _parameters(function: Function, context: Context) -> tuple[list[str], list[str]]:
    """Names of positional and keyword-only parameters that are journaled (without self and resources)."""
    args = function.node.args
    positional = [a for a in (*args.posonlyargs, *args.args) if not is_resource(a, function, context)]
    named = [a for a in args.kwonlyargs if not is_resource(a, function, context)]
    if function.bound:
        positional = positional[1:]
    return [a.arg for a in positional], [a.arg for a in named]


def is_resource(parameter: ast.arg, function: Function, context: Context) -> bool:
    """Is it given by the engine?"""
    annotation, where = parameter.annotation, function.outer or function.module
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return "Resource[" in annotation.value
    if not isinstance(annotation, ast.Subscript):
        default = function.defaults.get(parameter.arg)
        return context.resolver.dotted(default, where) == "amends.injected"
    return context.resolver.dotted(annotation.value, where) == "amends.Resource"


# ---------------------------------------------------------------- the result


def result(context: Context) -> Iterator[Finding]:
    """AM102 and AM103."""
    for step, undo in _undos(context):
        function = undo.function
        parameters = function.parameters[1:] if function.bound else function.parameters
        if not parameters or step.option("transaction", False):  # its outcome is never unknown
            continue
        if _misfit(step.function, function, context) is not None:  # AM104 says it
            continue
        first = parameters[0]
        if first.annotation is not None and not _allows_none(first.annotation, function, context):
            said = f"{first.arg}: {ast.unparse(first.annotation)}"
            message = (
                f"{function.name} gets None as {first.arg!r} when the outcome is unknown, and says ({said})"
            )
            hint = f"{said} | None, and look for the effect by amends.current().idempotency_key"
            yield say("AM102", function.module, first, message, hint=hint)
        elif (use := _unchecked_use(first.arg, function)) is not None:
            message = f"{function.name} uses {ast.unparse(use)} without asking whether {first.arg} is None"
            yield say("AM103", function.module, use, message)


def _allows_none(node: ast.expr, function: Function, context: Context) -> bool:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            try:
                return _allows_none(ast.parse(node.value, mode="eval").body, function, context)
            except SyntaxError:
                return True
        return node.value is None
    if isinstance(node, ast.BinOp):
        return _allows_none(node.left, function, context) or _allows_none(node.right, function, context)
    where = function.outer or function.module
    if isinstance(node, ast.Subscript):
        made = context.resolver.dotted(node.value, where)
        if made == "typing.Annotated" and isinstance(node.slice, ast.Tuple):
            return _allows_none(node.slice.elts[0], function, context)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        in_union = made in ("typing.Union", "typing.Literal")
        return made == "typing.Optional" or (
            in_union and any(_allows_none(e, function, context) for e in inner)
        )
    made = context.resolver.dotted(node, where)
    if made in ("typing.Any", "builtins.object", None):
        return True
    return _is_alias_of_optional(made, context)


def _is_alias_of_optional(dotted: str, context: Context) -> bool:
    """``Maybe = Payment | None`` and annotations that cannot be followed are given the benefit."""
    place = context.project.split(dotted)
    return place is not None and "." not in place[1] and place[1] not in place[0].classes


def _unchecked_use(name: str, function: Function) -> ast.AST | None:
    """The first attribute, item or unpacking of a name that the function never asks about."""
    uses: list[ast.AST] = []
    parents = function.module.parents
    body = function.node.body  # without the decorators, which know no parameters
    for node in chain.from_iterable(map(ast.walk, body if isinstance(body, list) else [body])):
        if isinstance(node, ast.Attribute) and node.attr == "outcome":
            return None  # it asks how the action ended
        if not isinstance(node, ast.Name) or node.id != name:
            continue
        parent = parents.get(node)
        if isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is node:
            uses.append(parent)
        elif isinstance(parent, ast.Call | ast.keyword | ast.FormattedValue | ast.Starred):
            continue
        else:
            return None  # compared, tested, matched, bound anew: it may well be a question
    return min(uses, key=lambda use: (use.lineno, use.col_offset), default=None)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what others have seen


def exposed(context: Context) -> Iterator[Finding]:
    """AM105: an irreversible step or a mail before what may fail, its result not needed there."""
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        events = context.events(saga)
        for event in events:
            for early in sorted(_exposed_before(event, events), key=lambda e: e.node.lineno):  # type: ignore[attr-defined]
                if early.node in seen or early.step is None or not _can_move(early, event):
                    continue
                seen.add(early.node)
                what = event.step or event.saga
                then = (
                    "the pivot"
                    if event.kind == "pivot"
                    else f"{what.label if what else 'steps'}, which may fail"
                )
                message = f"{early.step.label} cannot be taken back and comes before {then}"
                yield say("AM105", early.function.module, early.node, message, chain=early.chain)


def _exposed_before(event: Event, events: list[Event]) -> set[Event]:
    found: set[Event] = set()
    if (
        event.kind in ("step", "child")
        and event.before_pivot
        and (event.step is None or not event.step.irreversible)
    ):
        found |= {
            e for s in event.states if s.pivot is None for e in s.exposed if e.step and _is_certain(e.step)
        }
    elif event.kind == "pivot":
        found |= {
            e for s in event.states if s.pivot is None for e in s.exposed if e.step and _is_certain(e.step)
        }
        line = getattr(event.node, "lineno", 0)
        found |= {
            e
            for e in events
            if e.step is not None
            and says_mail(e.step.function.name)
            and not e.after_pivot
            and e.function is event.function
            and getattr(e.node, "lineno", 0) < line
        }
    return found


def _is_certain(step: StepDef) -> bool:
    return step.option("irreversible", False) is True and step.option("irreversible") is not UNKNOWN


def _can_move(early: Event, later: Event) -> bool:
    """Is its result left alone until the later event, and is it a statement of its own?"""
    module = early.function.module
    node = module.parents.get(early.node)
    if isinstance(node, ast.Await):
        node = module.parents.get(node)
    if isinstance(node, ast.Expr):
        return True
    if isinstance(node, ast.Call):  # create_task(…), gather(…)
        return isinstance(module.parents.get(node), ast.Expr | ast.Await)
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and later.function is early.function
    ):
        name, end = node.targets[0].id, getattr(later.node, "end_lineno", 0)
        reads = [
            each
            for each in own_nodes(early.function.node)
            if isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load)
        ]
        return not any(node.lineno < each.lineno <= end for each in reads)
    return False
