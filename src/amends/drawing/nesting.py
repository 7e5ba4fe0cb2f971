"""What stands inside a nested saga's cluster: the picture of its graph or of its code."""

from __future__ import annotations

from typing import Any

from ..definition.saga import Saga
from ..definition.step import Step
from .diagram import Cluster, Diagram, Edge, Node

DEEPEST = 4


def draw_inside(diagram: Diagram, saga: Saga[..., Any], cluster: str, seen: tuple[str, ...]) -> bool:
    """Draw the saga's body into the cluster; False (and nothing) for one that is not known or goes round
    in circles.
    """
    from .code import draw_code  # noqa: PLC0415 - the modules know each other
    from .graphs import draw_plan  # noqa: PLC0415

    if saga.name in seen or len(seen) >= DEEPEST:
        return False
    plan = getattr(saga.fn, "plan", None)
    if plan is not None:
        draw_plan(diagram, plan, cluster, (*seen, saga.name))
        return bool(plan.tasks)
    return draw_code(diagram, saga, cluster, (*seen, saga.name))


def add_nested(
    diagram: Diagram,
    saga: Saga[..., Any],
    id: str,
    label: str,
    notes: list[str],
    cluster: str,
    seen: tuple[str, ...],
) -> str:
    """A nested saga as a cluster with its body, or as a node when there is nothing to show inside."""
    text = " · ".join([label, *notes])
    box = Cluster(id=id, label=f"saga {text}", parent=cluster)
    diagram.clusters.append(box)
    if draw_inside(diagram, saga, id, seen):
        return id
    diagram.clusters.remove(box)
    return diagram.add(Node(id=id, label=label, kind="saga", notes=tuple(notes), cluster=cluster))


def add_step(
    diagram: Diagram, step: Step[..., Any], id: str, label: str, notes: list[str], cluster: str
) -> str:
    """A step, and beside it what undoes it."""
    more = [*notes, *(["irreversible"] if step.options.irreversible else [])]
    diagram.add(Node(id=id, label=label, notes=tuple(more), cluster=cluster))
    if step.undo is not None:
        name = step.undo.fn.__name__
        diagram.add(Node(id=f"{id}/undo", label=name, kind="undo", cluster=cluster))
        diagram.add(Edge(source=id, target=f"{id}/undo", kind="undo"))
    return id
