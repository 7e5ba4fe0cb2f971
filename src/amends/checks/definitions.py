"""Steps, sagas, compensations and signals, as the source declares them.

Where a module could be imported, `loading` adds the real objects: their options replace what was read here,
and what a decorator of the user's own made is added.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from ..definition.policy import DEFAULT_RETRY, Retry
from ..definition.saga import Saga
from ..definition.step import Step
from .project import Project
from .resolver import Resolver
from .source import Function, FunctionNode, Module
from .values import UNKNOWN, evaluate, seconds


@dataclass
class Undo:
    """A function that undoes a step."""

    function: Function
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Definition:
    """What steps and sagas have in common. `options`: evaluated arguments of the decorator."""

    function: Function
    options: dict[str, Any]
    nodes: dict[str, ast.expr]
    open_ended: bool = False  # `**options`: what is not named may be there all the same

    def option(self, name: str, default: Any = None) -> Any:
        """An option's value; `UNKNOWN` if the source does not tell."""
        return self.options.get(name, UNKNOWN if self.open_ended else default)

    @property
    def named(self) -> bool:
        """Has it a durable name of its own?"""
        return self.option("name") is not None

    @property
    def durable_name(self) -> str | None:
        """Its durable name, if it is known."""
        name = self.option("name")
        return (
            self.function.dotted.replace(".<locals>", "")
            if name is None
            else (name if name is not UNKNOWN else None)
        )

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.function.qualname.replace(".<locals>", "")


@dataclass(eq=False)
class StepDef(Definition):
    """A step."""

    undos: list[Undo] = field(default_factory=list)
    live: Step[..., Any] | None = None

    @property
    def irreversible(self) -> bool:
        """Is it said that there is no undo (or might it be)?"""
        return bool(self.option("irreversible", False))  # UNKNOWN counts as yes

    @property
    def retry(self) -> Retry | None:
        """Its Retry; None if the source does not tell."""
        value = self.option("retry", DEFAULT_RETRY)
        return value if isinstance(value, Retry) else None

    def duration(self, name: str) -> float | None:
        """`timeout` or `schedule_to_close` in seconds; None: none, or not known."""
        return seconds(self.option(name))


@dataclass(eq=False)
class SagaDef(Definition):
    """A saga."""

    live: Saga[..., Any] | None = None


class Definitions:
    """All definitions of the modules that were looked into."""

    def __init__(self, project: Project, resolver: Resolver) -> None:
        self.project = project
        self.resolver = resolver
        self.steps: dict[str, StepDef] = {}
        self.sagas: dict[str, SagaDef] = {}
        self.undo_functions: set[Function] = set()
        self._seen: set[str] = set()

    def step(self, dotted: str | None) -> StepDef | None:
        """The step of that dotted name."""
        return None if dotted is None else self._at(dotted) and self.steps.get(dotted)

    def saga(self, dotted: str | None) -> SagaDef | None:
        """The saga of that dotted name."""
        return None if dotted is None else self._at(dotted) and self.sagas.get(dotted)

    def _at(self, dotted: str) -> Any:
        place = self.project.split(dotted)
        if place is None:
            return None
        self.look_into(place[0])
        return True

    def look_into(self, module: Module) -> None:
        """Read the definitions of a module."""
        if module.name in self._seen:
            return
        self._seen.add(module.name)
        for function in list(module.functions.values()):
            for decorator in function.node.decorator_list:
                self._decorated(function, decorator)
        for name, binding in module.bindings.items():
            if isinstance(binding, ast.Call):
                self._assigned(module, name, binding)
        for function in list(module.functions.values()):
            for decorator in function.node.decorator_list:
                self._undoing(function, decorator)

    def _decorated(self, function: Function, decorator: ast.expr) -> None:
        where = function.outer or function.module
        call = decorator if isinstance(decorator, ast.Call) else None
        kind = self.resolver.dotted(call.func if call else decorator, where)
        if kind in ("amends.step", "amends.saga"):
            self.define(kind, function.dotted, function, call)

    def define(self, kind: str, dotted: str, function: Function, call: ast.Call | None) -> None:
        """Enter a definition; `call` holds its options."""
        keywords = call.keywords if call else []
        nodes = {k.arg: k.value for k in keywords if k.arg is not None}
        where = function.outer or function.module
        options = {name: evaluate(node, where, self.resolver) for name, node in nodes.items()}
        open_ended = any(k.arg is None for k in keywords)
        if kind == "amends.step":
            self.steps[dotted] = StepDef(function, options, nodes, open_ended)
        else:
            self.sagas[dotted] = SagaDef(function, options, nodes, open_ended)

    def _assigned(self, module: Module, name: str, call: ast.Call) -> None:
        """``charge = step(plain)`` and ``charge = step(name="…")(plain)``."""
        options = call.func if isinstance(call.func, ast.Call) else call
        kind = self.resolver.dotted(options.func, module)
        if kind not in ("amends.step", "amends.saga") or not call.args:
            return
        dotted = self.resolver.dotted(call.args[0], module)
        function = None if dotted is None else self.project.function(dotted)
        if function is not None:
            self.define(kind, f"{module.name}.{name}", function, options)

    def _undoing(self, function: Function, decorator: ast.expr) -> None:
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call else decorator
        if not isinstance(target, ast.Attribute) or target.attr not in ("compensation", "verify", "probe"):
            return
        step = self._step_of(function, target.value)
        if step is None:
            return
        if target.attr != "compensation":
            return
        where = function.outer or function.module
        keywords = call.keywords if call else []
        options = {k.arg: evaluate(k.value, where, self.resolver) for k in keywords if k.arg is not None}
        step.undos.append(Undo(function, options))
        self.undo_functions.add(function)

    def _step_of(self, function: Function, node: ast.expr) -> StepDef | None:
        """The step that ``@charge.compensation`` means: in a class body its own names come first."""
        if function.owner and isinstance(node, ast.Name):
            found = self.steps.get(f"{function.module.name}.{function.owner}.{node.id}")
            if found is not None:
                return found
        return self.step(self.resolver.dotted(node, function.outer or function.module))

    def of_function(self, node: FunctionNode) -> Definition | None:
        """The definition made of a function."""
        every: list[Definition] = [*self.steps.values(), *self.sagas.values()]
        return next((d for d in every if d.function.node is node), None)
