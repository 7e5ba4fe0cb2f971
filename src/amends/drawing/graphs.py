"""Pictures of graphs: every node, its conditions, what undoes it; an edge for each dependency that no
other implies.
"""

from __future__ import annotations

from ..dialects.graph import Graph
from ..dialects.graph.model import (
    EachNode,
    FailNode,
    PivotNode,
    SagaNode,
    SignalNode,
    SleepNode,
    StepNode,
    TryNode,
    ValueNode,
    kind_of,
)
from ..dialects.graph.order import ancestors
from ..dialects.graph.plan import Plan, Task
from .diagram import Cluster, Diagram, Edge, Kind, Node
from .nesting import add_nested, add_step

_KINDS: dict[type, Kind] = {
    SignalNode: "signal",
    SleepNode: "timer",
    ValueNode: "value",
    FailNode: "fail",
    PivotNode: "pivot",
}


def draw_graph(graph: Graph) -> Diagram:
    """The picture of a graph. Raises `GraphError` for one with problems."""
    document, plan = graph.document, graph.plan
    diagram = Diagram(
        title=document.title or document.graph, caption=f"graph {document.graph}, version {graph.version}"
    )
    inputs = ", ".join(document.inputs)
    diagram.add(Node(id="start", label=f"start ({inputs})" if inputs else "start", kind="start"))
    draw_plan(diagram, plan, "", (document.graph,))
    diagram.add(Node(id="end", label="end", kind="end"))
    waited = {name for task in plan.tasks.values() for name in task.needs}
    for name, task in plan.tasks.items():
        if not task.needs:
            diagram.add(Edge(source="start", target=name))
        if name not in waited:
            diagram.add(Edge(source=name, target="end"))
    if not plan.tasks:
        diagram.add(Edge(source="start", target="end"))
    return diagram


def draw_plan(diagram: Diagram, plan: Plan, cluster: str, seen: tuple[str, ...]) -> None:
    """The nodes of a plan into a cluster."""
    before = ancestors(plan)
    for name, task in plan.tasks.items():
        _task(diagram, task, cluster, seen)
        for other in task.needs:
            implied = any(other in before[between] for between in task.needs if between != other)
            if not implied:
                diagram.add(Edge(source=id_of(other, cluster), target=id_of(name, cluster)))


def id_of(name: str, cluster: str) -> str:
    """The id of a node in a diagram."""
    return f"{cluster}/{name}" if cluster else name


def _task(diagram: Diagram, task: Task, cluster: str, seen: tuple[str, ...]) -> None:
    node, id = task.node, id_of(task.name, cluster)
    label, notes = node.title or task.name, _notes(task)
    match node:
        case StepNode():
            assert task.step is not None
            if node.step != label:
                notes.insert(0, node.step)
            add_step(diagram, task.step, id, label, notes, cluster)
        case SagaNode():
            assert task.saga is not None
            if node.saga != label:
                notes.insert(0, node.saga)
            add_nested(diagram, task.saga, id, label, notes, cluster, seen)
        case TryNode():
            _attempt(diagram, task, id, " · ".join([label, *notes]), cluster, seen)
        case _:
            diagram.add(
                Node(id=id, label=label, kind=_KINDS[type(node)], notes=tuple(notes), cluster=cluster)
            )


def _attempt(diagram: Diagram, task: Task, id: str, label: str, cluster: str, seen: tuple[str, ...]) -> None:
    diagram.add(Cluster(id=id, label=f"savepoint {label}", parent=cluster))
    if "otherwise" not in task.blocks:
        draw_plan(diagram, task.blocks["try"], id, seen)
        return
    for key in ("try", "otherwise"):
        diagram.add(Cluster(id=f"{id}/{key}", label=key, parent=id))
        draw_plan(diagram, task.blocks[key], f"{id}/{key}", seen)
        if not task.blocks[key].tasks:
            diagram.add(Node(id=f"{id}/{key}/-", label="only a result", kind="value", cluster=f"{id}/{key}"))
    diagram.add(Edge(source=f"{id}/try", target=f"{id}/otherwise", label="undone", kind="error"))


def _notes(task: Task) -> list[str]:
    """What else is to say of a node, in small lines."""
    node, notes = task.node, []
    if "each" in task.templates:
        assert isinstance(node, EachNode)
        at_once = f", {node.at_once} at once" if node.at_once else ""
        notes.append(f"for each of {_said(node.each)}{at_once}")
    if isinstance(node, SignalNode) and node.signal != task.name:
        notes.append(f"signal {node.signal}")
    if isinstance(node, SleepNode | ValueNode | FailNode):
        value = getattr(node, kind_of(node))
        notes.append(f"{_said(value)} s" if isinstance(node, SleepNode) else _said(value))
    if timeout := getattr(node, "timeout", None):
        notes.append(f"within {timeout:g} s")
    if node.when is not None:
        notes.append(f"if {_said(node.when)}")
    return notes


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else str(value)
