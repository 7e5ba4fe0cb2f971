"""Pictures of sagas in code, from their source: steps, branches, what runs at once, loops, savepoints,
nested sagas.
"""

from __future__ import annotations

import itertools
from typing import Any

from ..definition.saga import Saga
from ..dialects.graph import Graph
from .diagram import Cluster, Diagram, Edge, Node
from .graphs import draw_graph
from .nesting import add_nested, add_step
from .script import Act, Attempt, Choice, End, Parallel, Scope, read

Ends = list[tuple[str, str]]
"""Where the next thing comes from: ids, and labels for the edges."""


def draw_saga(saga: Saga[..., Any]) -> Diagram:
    """The picture of a saga, from its source; a graph's saga is drawn as the graph.

    Raises `DefinitionError` when the source cannot be read.
    """
    if isinstance(graph := getattr(saga.fn, "graph", None), Graph):
        return draw_graph(graph)
    name = saga.name + (f", version {saga.version}" if saga.version else "")
    diagram = Diagram(title=saga.fn.__name__, caption=f"saga {name}")
    inputs = ", ".join(parameter.name for parameter in saga.signature.parameters)
    diagram.add(Node(id="start", label=f"start ({inputs})" if inputs else "start", kind="start"))
    artist = _Artist(diagram, (saga.name,))
    open_ends = artist.sequence(read(saga), "", [("start", "")])
    diagram.add(Node(id="end", label="end", kind="end"))
    diagram.connect([*open_ends, *artist.returns], "end")
    return diagram


def draw_code(diagram: Diagram, saga: Saga[..., Any], cluster: str, seen: tuple[str, ...]) -> bool:
    """The body of a nested saga into its cluster. False when there is nothing durable in it."""
    items = read(saga)
    _Artist(diagram, seen, cluster).sequence(items, cluster, [])
    return any(node.cluster == cluster for node in diagram.nodes) or any(
        inner.parent == cluster for inner in diagram.clusters
    )


class _Artist:
    def __init__(self, diagram: Diagram, seen: tuple[str, ...], top: str = "") -> None:
        self.diagram = diagram
        self.seen = seen
        self.top = top
        self.returns: Ends = []
        self._numbers = itertools.count(1)

    def id(self, cluster: str) -> str:
        return f"{self.top}/{next(self._numbers)}" if self.top else str(next(self._numbers))

    def sequence(self, items: list[Any], cluster: str, ends: Ends) -> Ends:
        """One thing after the other; gives where it can end (empty: it never comes to what follows)."""
        for item in items:
            ends = self.item(item, cluster, ends)
            if not ends:
                break
        return ends

    def item(self, item: Any, cluster: str, ends: Ends) -> Ends:
        match item:
            case Act():
                id = self.act(item, cluster)
            case Scope():
                id = self.box(item.label, cluster)
                self.sequence(item.body, id, [])
            case Parallel():
                id = self.box(item.label, cluster)
                for branch in item.branches:
                    self.sequence(branch, id, [])
            case Choice():
                return self.choice(item, cluster, ends)
            case Attempt():
                return self.attempt(item, cluster, ends)
            case End():
                return self.end(item, cluster, ends)
            case _:
                raise AssertionError(item)
        self.diagram.connect(ends, id)
        return [(id, "")]

    def box(self, label: str, cluster: str) -> str:
        return self.diagram.add(Cluster(id=self.id(cluster), label=label, parent=cluster))

    def act(self, act: Act, cluster: str) -> str:
        id = self.id(cluster)
        if act.kind == "step":
            return add_step(self.diagram, act.what, id, act.label, act.notes, cluster)
        if act.kind == "saga":
            return add_nested(self.diagram, act.what, id, act.label, act.notes, cluster, self.seen)
        node = Node(id=id, label=act.label, kind=act.kind, notes=tuple(act.notes), cluster=cluster)  # type: ignore[arg-type]
        return self.diagram.add(node)

    def choice(self, choice: Choice, cluster: str, ends: Ends) -> Ends:
        id = self.diagram.add(Node(id=self.id(cluster), label=choice.label, kind="choice", cluster=cluster))
        self.diagram.connect(ends, id)
        found: Ends = []
        for label, items in choice.branches:
            found += self.sequence(items, cluster, [(id, label)])
        return found

    def attempt(self, attempt: Attempt, cluster: str, ends: Ends) -> Ends:
        body = self.box("try", cluster)
        self.diagram.connect(ends, body)
        inner = self.sequence(attempt.body, body, [])
        found: Ends = [(body, "")] if inner or not _ends(attempt.body) else []
        for caught, items in attempt.handlers:
            if not items:
                found = found or [(body, "")]
                continue
            handler = self.box(f"except {caught}", cluster)
            self.diagram.add(Edge(source=body, target=handler, label="fails", kind="error"))
            if self.sequence(items, handler, []) or not _ends(items):
                found.append((handler, ""))
        return found

    def end(self, end: End, cluster: str, ends: Ends) -> Ends:
        if end.kind == "return" and not cluster and end.label == "return":
            self.returns += ends
            return []
        kind: Any = "fail" if end.kind == "raise" else "end"
        if ends or end.kind == "raise":
            id = self.diagram.add(Node(id=self.id(cluster), label=end.label, kind=kind, cluster=cluster))
            self.diagram.connect(ends, id)
        return []


def _ends(items: list[Any]) -> bool:
    """Does the sequence end the saga (at its own level)?"""
    return any(isinstance(item, End) for item in items)
