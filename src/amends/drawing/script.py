"""The durable skeleton of a saga's code: what `code` draws, read from its syntax tree.

Nothing runs.  Names are looked up where Python would: in the function's closure, its module, on its
class.  What is not durable (arithmetic, plain calls) leaves no trace; a branch without anything durable
in it is no branch.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from ..definition import flow
from ..definition.saga import Saga
from ..definition.signal import Signal
from ..definition.step import Step
from ..dialects.graph import Graph
from ..errors import DefinitionError

Item = Any  # one of the classes below


class Act(msgspec.Struct):
    """Something durable: `kind` as in a diagram; `what` is the step or saga."""

    kind: str
    label: str
    notes: list[str] = []
    what: Any = None


class Parallel(msgspec.Struct):
    """Branches at once."""

    label: str
    branches: list[list[Item]]


class Scope(msgspec.Struct):
    """A loop, a savepoint, a timeout: a box around a sequence."""

    label: str
    body: list[Item]


class Choice(msgspec.Struct):
    """Branches, of which one is taken; each with its label."""

    label: str
    branches: list[tuple[str, list[Item]]]


class Attempt(msgspec.Struct):
    """try: `handlers` by what they catch."""

    body: list[Item]
    handlers: list[tuple[str, list[Item]]]


class End(msgspec.Struct):
    """return, raise, continue_as_new."""

    kind: str
    label: str


def read(saga: Saga[..., Any]) -> list[Item]:
    """The skeleton of a saga's body. Raises `DefinitionError` when its source is not there."""
    return _Reader(saga.fn, saga.instance).function()


_FLOW: dict[Any, str] = {flow.pivot: "pivot", flow.continue_as_new: "again", flow.undo_with: "undo_with"}


class _Reader:
    def __init__(self, fn: Any, instance: Any, seen: tuple[Any, ...] = ()) -> None:
        self.fn = fn
        self.instance = instance
        self.seen = (*seen, fn)
        self.names = {**getattr(fn, "__globals__", {}), **inspect.getclosurevars(fn).nonlocals}
        self.groups: dict[str, list[list[Item]]] = {}

    def function(self) -> list[Item]:
        try:
            source = textwrap.dedent(inspect.getsource(self.fn))
            (definition,) = ast.parse(source).body
        except (OSError, TypeError, SyntaxError, ValueError) as error:
            raise DefinitionError(
                f"the source of {self.fn.__qualname__} cannot be read: {error}",
                hint="draw one of its executions",
            ) from None
        assert isinstance(definition, ast.AsyncFunctionDef | ast.FunctionDef)
        items = self.block(definition.body)
        last = items[-1] if items else None
        return items[:-1] if isinstance(last, End) and last.label == "return" else items

    def block(self, statements: list[ast.stmt]) -> list[Item]:
        return [item for statement in statements for item in self.statement(statement)]

    # ------------------------------------------------------------ statements

    def statement(self, node: ast.stmt) -> Iterator[Item]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return
            case ast.If():
                yield from self.choice(node)
            case ast.For() | ast.AsyncFor():
                yield from self.expression(node.iter)
                label = f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
                yield from _scope(label, self.block(node.body))
                yield from self.block(node.orelse)
            case ast.While():
                body = [*self.expression(node.test), *self.block(node.body)]
                yield from _scope(f"while {ast.unparse(node.test)}", body)
            case ast.With() | ast.AsyncWith():
                yield from self.within(node)
            case ast.Try() | ast.TryStar():
                yield from self.attempt(node)
            case ast.Match():
                yield from self.expression(node.subject)
                branches = [(ast.unparse(case.pattern), self.block(case.body)) for case in node.cases]
                yield from _choice(f"match {ast.unparse(node.subject)}", [*branches, ("else", [])])
            case ast.Return():
                if node.value is not None:
                    yield from self.expression(node.value)
                yield End("return", "return")
            case ast.Raise():
                yield End("raise", f"raise {ast.unparse(node.exc)}" if node.exc else "raise")
            case _:
                yield from self.expression(node)

    def choice(self, node: ast.If) -> Iterator[Item]:
        yield from self.expression(node.test)
        yes, no = self.block(node.body), self.block(node.orelse)
        yield from _choice(ast.unparse(node.test), [("yes", yes), ("no", no)])

    def within(self, node: ast.With | ast.AsyncWith) -> Iterator[Item]:
        labels, group = [], ""
        for item in node.items:
            call = item.context_expr
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ast.unparse(call)
            if name.endswith("TaskGroup"):
                group = ast.unparse(item.optional_vars) if item.optional_vars else "_"
                self.groups[group] = []
            elif name.endswith("savepoint"):
                labels.append("savepoint")
            elif name.rpartition(".")[2] in {"timeout", "timeout_at"} and isinstance(call, ast.Call):
                labels.append(f"within {', '.join(map(ast.unparse, call.args))} s")
            else:
                yield from self.expression(call)
        body = self.block(node.body)
        if group:
            branches = self.groups.pop(group)
            body = _parallel("at once", [*branches, body] if body else branches)
        for label in reversed(labels):
            body = list(_scope(label, body))
        yield from body

    def attempt(self, node: ast.Try | ast.TryStar) -> Iterator[Item]:
        body = self.block([*node.body, *node.orelse])
        handlers = []
        for handler in node.handlers:
            caught = ast.unparse(handler.type) if handler.type else "anything"
            handlers.append((caught, self.block(handler.body)))
        if _durable(body):
            yield Attempt(body, handlers)
        yield from self.block(node.finalbody)

    # ------------------------------------------------------------ expressions

    def expression(self, node: ast.AST) -> Iterator[Item]:
        match node:
            case ast.Lambda():
                return
            case ast.Call():
                yield from self.call(node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                yield from self.comprehension(node)
            case ast.IfExp():
                yield from self.expression(node.test)
                branches = [("yes", [*self.expression(node.body)]), ("no", [*self.expression(node.orelse)])]
                yield from _choice(ast.unparse(node.test), branches)
            case _:
                for child in ast.iter_child_nodes(node):
                    yield from self.expression(child)

    def comprehension(self, node: Any, label: str = "for") -> Iterator[Item]:
        first = node.generators[0]
        yield from self.expression(first.iter)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        body = [item for part in parts for item in self.expression(part)]
        yield from _scope(f"{label} {ast.unparse(first.target)} in {ast.unparse(first.iter)}", body)

    def call(self, node: ast.Call) -> Iterator[Item]:
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr == "options" and isinstance(func.value, ast.Call):
            yield from self.call(func.value)
            return
        name = ast.unparse(func)
        last = name.rpartition(".")[2]
        if (
            isinstance(func, ast.Attribute)
            and func.attr == "create_task"
            and ast.unparse(func.value) in self.groups
        ):
            self.groups[ast.unparse(func.value)].append([*self.arguments(node)])
            return
        if last == "gather":
            yield from self.gather(node)
            return
        found = self.look_up(func)
        if found is None and isinstance(func, ast.Attribute):
            yield from self.expression(func.value)
        yield from self.arguments(node)
        yield from self.act(node, found, name)

    def arguments(self, node: ast.Call) -> Iterator[Item]:
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            yield from self.expression(argument)

    def gather(self, node: ast.Call) -> Iterator[Item]:
        branches = []
        for argument in node.args:
            inner = argument.value if isinstance(argument, ast.Starred) else argument
            if isinstance(inner, ast.GeneratorExp | ast.ListComp):
                branches.append([*self.comprehension(inner, "at once, for")])
            else:
                branches.append([*self.expression(inner)])
        yield from _parallel("at once", branches)

    def act(self, node: ast.Call, found: Any, name: str) -> Iterator[Item]:
        """What the call itself is, if it is anything durable."""
        said = ", ".join(map(ast.unparse, node.args))
        kind = next((word for fn, word in _FLOW.items() if found is fn), None)
        match found:
            case Step():
                yield Act("step", found.fn.__name__, what=found)
            case Graph():
                yield Act("saga", found.name, what=found.saga)
            case Saga():
                yield Act("saga", found.fn.__name__, what=found)
            case Signal():
                timeout = [f"within {ast.unparse(k.value)}" for k in node.keywords if k.arg == "timeout"]
                yield Act("signal", found.name, timeout or [f"within {said}"] * bool(said))
            case _ if kind == "pivot":
                yield Act("pivot", "pivot")
            case _ if kind == "again":
                yield End("return", "continue as new")
            case _ if kind == "undo_with":
                yield Act("undo", f"registers {said}")
            case _ if name.endswith("asyncio.sleep") or name == "sleep":
                yield Act("timer", f"sleep {said}")
            case _ if inspect.iscoroutinefunction(found) and _own(found) and found not in self.seen:
                yield from _scope(found.__name__, _Reader(found, None, self.seen).function())

    def look_up(self, node: ast.expr) -> Any:
        """The object that an expression names; of ``signal.receive`` the signal; None if it is not
        known.
        """
        path = ast.unparse(node).split(".")
        if not all(part.isidentifier() for part in path):
            return None
        if path[0] == "self" and len(path) > 1:
            owner = type(self.instance) if self.instance is not None else self.owner()
            found: Any = getattr(owner, path[1], None)
            path = path[1:]
        else:
            found = self.names.get(path[0])
        for part in path[1:]:
            if isinstance(found, Signal) and part == "receive":
                return found
            found = getattr(found, part, None) if inspect.ismodule(found) or inspect.isclass(found) else None
        return None if isinstance(found, Signal) else found

    def owner(self) -> Any:
        found: Any = None
        for part in self.fn.__qualname__.split(".")[:-1]:
            found = getattr(found, part, None) if found is not None else self.names.get(part)
        return found


def _own(fn: Any) -> bool:
    """Is it the user's function (and not a library's)?"""
    return getattr(fn, "__module__", "").partition(".")[0] not in {"asyncio", "amends"}


def _durable(items: list[Item]) -> bool:
    return any(not isinstance(item, End) for item in items)


def _scope(label: str, body: list[Item]) -> Iterator[Item]:
    if body:
        yield Scope(label, body)


def _parallel(label: str, branches: list[list[Item]]) -> list[Item]:
    kept = [branch for branch in branches if branch]
    return [Parallel(label, kept)] if len(kept) > 1 else [item for branch in kept for item in branch]


def _choice(label: str, branches: list[tuple[str, list[Item]]]) -> Iterator[Item]:
    if any(items for _, items in branches):
        yield Choice(label, branches)
