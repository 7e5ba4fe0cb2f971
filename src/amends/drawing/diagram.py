"""The model between sources and renderers: nodes, edges, clusters, states."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Literal

import msgspec

Kind = Literal[
    "start", "end", "step", "saga", "signal", "timer", "value", "choice", "fail", "pivot", "undo", "join"
]


class State(enum.StrEnum):
    """Where a node stands in an execution. Each has a sign and a line of its own, so that no state needs
    colour.
    """

    NONE = ""
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    PARKED = "parked"
    SKIPPED = "not run"

    @property
    def sign(self) -> str:
        """One character."""
        return _SIGNS[self]


_SIGNS = {
    State.NONE: "",
    State.WAITING: "◷",
    State.RUNNING: "▶",
    State.DONE: "✓",
    State.FAILED: "✗",
    State.UNDOING: "↶",
    State.UNDONE: "↩",
    State.PARKED: "!",
    State.SKIPPED: "-",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """`notes` are further lines, smaller; `cluster` is the id of the cluster that holds it (empty:
    none).
    """

    id: str
    label: str
    kind: Kind = "step"
    state: State = State.NONE
    notes: tuple[str, ...] = ()
    cluster: str = ""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """From `source` to `target`, nodes or clusters side by side in one cluster.

    `kind`: ``flow``, ``error`` (taken when something fails), ``undo`` (from a step to what undoes it).
    """

    source: str
    target: str
    label: str = ""
    kind: Literal["flow", "error", "undo"] = "flow"


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A box around nodes and other clusters."""

    id: str
    label: str
    parent: str = ""
    state: State = State.NONE


class Diagram(msgspec.Struct, kw_only=True):
    """A picture, before it has a form. `caption` stands below the title."""

    title: str
    caption: str = ""
    nodes: list[Node] = []
    edges: list[Edge] = []
    clusters: list[Cluster] = []

    def add(self, part: Node | Edge | Cluster) -> str:
        """Add a part; gives its id (of an edge: its target's)."""
        if isinstance(part, Node):
            self.nodes.append(part)
        elif isinstance(part, Cluster):
            self.clusters.append(part)
        else:
            if part not in self.edges:
                self.edges.append(part)
            return part.target
        return part.id

    def connect(self, sources: Iterable[tuple[str, str]], target: str) -> None:
        """Flow edges from each (id, label) to the target."""
        for source, label in sources:
            self.add(Edge(source=source, target=target, label=label))

    @property
    def states(self) -> list[State]:
        """The states that occur, for a legend."""
        found = {node.state for node in self.nodes} | {box.state for box in self.clusters}
        return [state for state in State if state and state in found]
