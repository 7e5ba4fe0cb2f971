"""The plan of a graph: its nodes with parsed templates, definitions found, and what each waits for.

Nodes are in the order of their names, not of the document: a JSON object has no order, so none may show
in a journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...definition.saga import Saga
from ...definition.step import Step
from .expression import Shape
from .model import EachNode, FailNode, Node, SagaNode, SignalNode, SleepNode, StepNode, TryNode, ValueNode
from .problems import Path, Problems
from .templates import Template

LOCALS = ("item", "index")


class Task(msgspec.Struct):
    """A node of the plan. `templates`: by field; `needs`: nodes of the same block that must have ended."""

    name: str
    node: Node
    path: Path
    templates: dict[str, Template]
    args: dict[str, Template]
    blocks: dict[str, Plan]
    needs: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()
    step: Step[..., Any] | None = None
    saga: Saga[..., Any] | None = None
    undo_args: dict[str, Template] = {}
    shape: Shape | None = None


class Plan(msgspec.Struct):
    """The nodes of a graph, or of a block in it, and the result."""

    tasks: dict[str, Task]
    result: Template
    path: Path
    shape: Shape | None = None

    def every(self) -> list[Task]:
        """All tasks, also those of inner blocks."""
        found = []
        for task in self.tasks.values():
            found.append(task)
            for block in task.blocks.values():
                found += block.every()
        return found


_FIELDS: dict[type[Node], tuple[str, ...]] = {
    SignalNode: ("otherwise",),
    SleepNode: ("sleep",),
    ValueNode: ("value",),
    FailNode: ("fail",),
}


def plan_of(nodes: Mapping[str, Node], result: Any, path: Path, problems: Problems) -> Plan:
    """Parse every template of the nodes, and see who reads whom."""
    tasks = {name: _task(name, nodes[name], (*path, "nodes", name), problems) for name in sorted(nodes)}
    for task in tasks.values():
        wanted = [*task.node.after, *sorted(task.reads)]
        task.needs = tuple(dict.fromkeys(name for name in wanted if name in tasks))
    return Plan(tasks, Template.read(result, (*path, "result"), problems), path)


def _task(name: str, node: Node, path: Path, problems: Problems) -> Task:
    templates: dict[str, Template] = {}
    if node.when is not None:
        templates["when"] = Template.read(node.when, (*path, "when"), problems)
    if isinstance(node, EachNode) and node.each is not None:
        templates["each"] = Template.read(node.each, (*path, "each"), problems)
    for field in _FIELDS.get(type(node), ()):
        value = getattr(node, field)
        if value is not msgspec.UNSET:
            templates[field] = Template.read(value, (*path, field), problems)
    args = _arguments(getattr(node, "args", {}), (*path, "with"), problems)
    task = Task(name, node, path, templates, args, {})
    if isinstance(node, TryNode):
        for key, block in (("try", node.attempt), ("otherwise", node.otherwise)):
            if block is not None:
                task.blocks[key] = plan_of(block.nodes, block.result, (*path, key), problems)
    undo = node.undo if isinstance(node, StepNode) else None
    if undo:
        task.undo_args = _arguments(undo.args, (*path, "undo", "with"), problems)
    task.reads = frozenset(_reads(task))
    return task


def _arguments(given: Mapping[str, Any], path: Path, problems: Problems) -> dict[str, Template]:
    return {name: Template.read(value, (*path, name), problems) for name, value in given.items()}


def _reads(task: Task) -> set[str]:
    found = {name for template in task.templates.values() for name in template.names}
    own = {name for template in task.args.values() for name in template.names}
    found |= own - set(LOCALS if "each" in task.templates else ())
    for block in task.blocks.values():
        inside = {name for inner in block.tasks.values() for name in inner.reads}
        found |= (inside | set(block.result.names)) - set(block.tasks) - {"error"}
    return found


def versions_of(node: SagaNode, known: Mapping[tuple[str, str], Any]) -> list[str]:
    """The versions in which the node's saga is known."""
    return sorted(version for name, version in known if name == node.saga)
