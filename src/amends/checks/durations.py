"""How long the longest path of a saga may take, up to its pivot.

A loop over ``range(n)`` counts n rounds, any other loop one.  Tasks run beside the rest of their block,
so the longer of the two counts; of what is gathered the longest part.  Waits count when the source tells
how long they are.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from .context import Context
from .definitions import SagaDef, StepDef
from .flow import Event
from .source import Function, FunctionNode
from .values import evaluate, seconds

DEPTH = 8


def longest(saga: SagaDef, context: Context, cost: Callable[[StepDef], float]) -> float:
    """Seconds; `cost` says how long a step may take."""
    events = {event.node: event for event in context.events(saga)}
    return _Longest(context, cost, events, saga.function, 0).block(saga.function.node.body)


class _Longest:
    def __init__(
        self,
        context: Context,
        cost: Callable[[StepDef], float],
        events: dict[ast.AST, Event],
        function: Function,
        depth: int,
    ) -> None:
        self.context = context
        self.cost = cost
        self.events = events
        self.function = function
        self.depth = depth

    def block(self, body: list[ast.stmt]) -> float:
        spent = beside = 0.0
        for position, node in enumerate(body):
            if isinstance(node, ast.If):
                rest = self.block(body[position + 1 :])
                ways = (
                    self.block(part) + (0.0 if _ends(part) else rest) for part in (node.body, node.orelse)
                )
                return max(spent + self.of(node.test) + max(ways), beside)
            beside = max(beside, self._tasks(node))
            spent += self.statement(node)
            if isinstance(node, ast.Return | ast.Raise | ast.Break | ast.Continue):
                break
        return max(spent, beside)

    def statement(self, node: ast.stmt) -> float:
        if isinstance(node, FunctionNode | ast.ClassDef):
            return 0.0
        if isinstance(node, ast.For | ast.AsyncFor):
            return (
                self.of(node.iter) + self._rounds(node.iter) * self.block(node.body) + self.block(node.orelse)
            )
        if isinstance(node, ast.While):
            return self.of(node.test) + self.block(node.body) + self.block(node.orelse)
        if isinstance(node, ast.Try | ast.TryStar):
            handled = max((self.block(handler.body) for handler in node.handlers), default=0.0)
            return self.block(node.body) + max(handled, self.block(node.orelse)) + self.block(node.finalbody)
        if isinstance(node, ast.With | ast.AsyncWith):
            return sum(self.of(item.context_expr) for item in node.items) + self.block(node.body)
        if isinstance(node, ast.Match):
            return self.of(node.subject) + max((self.block(case.body) for case in node.cases), default=0.0)
        return self.of(node)

    def of(self, node: ast.AST) -> float:
        """An expression or a simple statement."""
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Lambda):
            return 0.0
        if isinstance(node, ast.IfExp):
            return self.of(node.test) + max(self.of(node.body), self.of(node.orelse))
        return sum(self.of(child) for child in ast.iter_child_nodes(node))

    def _call(self, node: ast.Call) -> float:
        if _is_task(node):
            return 0.0  # counted beside
        target = self.context.resolver.dotted(node.func, self.function)
        parts = [self.of(each) for each in (node.func, *node.args, *(k.value for k in node.keywords))]
        if target == "asyncio.gather":
            return max(parts, default=0.0)
        return sum(parts) + self._own(node, target)

    def _own(self, node: ast.Call, target: str | None) -> float:
        event = self.events.get(node)
        if event is not None and event.before_pivot:
            if event.step is not None:
                return self.cost(event.step)
            if event.kind == "wait" and target == "asyncio.sleep" and node.args:
                return seconds(evaluate(node.args[0], self.function, self.context.resolver)) or 0.0
        helper = None if target is None else self.context.project.function(target)
        if event is not None or helper is None or self.depth >= DEPTH or helper is self.function:
            return 0.0
        inner = _Longest(self.context, self.cost, self.events, helper, self.depth + 1)
        return inner.block(helper.node.body)

    def _tasks(self, node: ast.stmt) -> float:
        """The longest of the tasks that a simple statement makes."""
        if hasattr(node, "body"):
            return 0.0
        tasks = [each for each in ast.walk(node) if isinstance(each, ast.Call) and _is_task(each)]
        return max((self.of(arg) for task in tasks for arg in task.args), default=0.0)

    def _rounds(self, node: ast.expr) -> float:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and len(node.args) == 1:
            return seconds(evaluate(node.args[0], self.function, self.context.resolver)) or 1.0
        return 1.0


def _is_task(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("create_task", "ensure_future")


def _ends(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
