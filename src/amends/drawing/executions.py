"""Pictures of executions: what ran, in which order, how it ended, what was undone, and what is open.

The order is promise 6's: an edge leads from A to B if A had ended when B was commanded, and nothing
between them implies it. A graph's execution is drawn on the picture of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..definition.saga import Saga
from ..dialects.graph import Graph
from .diagram import Diagram, Edge, Kind, Node
from .graphs import draw_graph
from .overlay import states_on
from .story import Deed, ending, tell

CROWD = 8
_KINDS: dict[str, Kind] = {
    "run": "step",
    "child": "saga",
    "timer": "timer",
    "await": "signal",
    "pivot": "pivot",
    "undo_with": "undo",
}


class Standing(Protocol):
    """What is needed of `amends.Status`."""

    @property
    def id(self) -> str: ...
    @property
    def saga(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...
    @property
    def items(self) -> Sequence[Mapping[str, Any]]: ...


def draw_execution(
    history: Sequence[Mapping[str, Any]], status: Standing, definition: Graph | Saga[..., Any] | None = None
) -> Diagram:
    """The picture of an execution: `await handle.history()` and `await handle.status()`.

    With the `Graph` of which it is an execution, its nodes are drawn, also those that have not begun.
    """
    deeds = tell(history, status.items)
    if isinstance(definition, Graph) or hasattr(getattr(definition, "fn", None), "plan"):
        diagram = states_on(_of_graph(definition), _plan(definition), deeds, status.status)
    else:
        diagram = _by_order(deeds, status)
    diagram.title = status.id
    diagram.caption = _caption(status)
    return diagram


def _of_graph(definition: Any) -> Diagram:
    graph = definition if isinstance(definition, Graph) else definition.fn.graph
    return draw_graph(graph)


def _plan(definition: Any) -> Any:
    return definition.plan if isinstance(definition, Graph) else definition.fn.plan


def _caption(status: Standing) -> str:
    text = f"{status.saga} · {status.status}"
    error = status.error or {}
    said = ": ".join(str(error[key]) for key in ("type", "message") if error.get(key))
    why = " · ".join(part for part in (status.cause, said) if part)
    return f"{text} ({why})" if why else text


# ---------------------------------------------------------------- by what came before what


def _by_order(deeds: Sequence[Deed], status: Standing) -> Diagram:
    diagram = Diagram(title="")
    diagram.add(Node(id="start", label="start", kind="start"))
    parts = _crowded(deeds)
    for ids, part in parts:
        _add(diagram, ids, part)
    _edges(diagram, [(ids, part[0]) for ids, part in parts])
    last = {edge.source for edge in diagram.edges if edge.kind == "flow"}
    diagram.add(Node(id="end", label=status.status, kind="end", state=ending(status.status)))
    for id in ["start", *(ids for ids, _ in parts)]:
        if id not in last:
            diagram.add(Edge(source=id, target="end"))
    return diagram


def _crowded(deeds: Sequence[Deed]) -> list[tuple[str, list[Deed]]]:
    """The deeds by themselves, but those of one kind that did the same at once together when they are
    many.
    """
    alike: dict[tuple[Any, ...], list[Deed]] = {}
    for deed in deeds:
        alike.setdefault((deed.kind, deed.name, deed.start, deed.end, deed.state, deed.undo), []).append(deed)
    parts = []
    for same in alike.values():
        parts += [(same[0].id, same)] if len(same) > CROWD else [(deed.id, [deed]) for deed in same]
    return sorted(parts, key=lambda part: (part[1][0].start, part[1][0].place))


def _add(diagram: Diagram, id: str, deeds: list[Deed]) -> None:
    deed = deeds[0]
    many = f" (x {len(deeds)})" if len(deeds) > 1 else ""
    kind = _KINDS[deed.kind]
    name = deed.name.rpartition("/")[2] if "@" in deed.name else deed.name  # a graph's own copy of a step
    diagram.add(Node(id=id, label=name + many, kind=kind, state=deed.state, notes=tuple(deed.notes)))
    if deed.undo:
        notes = () if len(deeds) > 1 else tuple(deed.undo_notes)
        diagram.add(Node(id=f"{id}/undo", label=deed.undo_label, kind="undo", state=deed.undo, notes=notes))
        diagram.add(Edge(source=id, target=f"{id}/undo", kind="undo"))


def _edges(diagram: Diagram, parts: Iterable[tuple[str, Deed]]) -> None:
    """Who directly preceded whom, in an interval order: A ended by the start of B, but nothing lies
    wholly between.
    """
    known = list(parts)
    groups: dict[tuple[str, ...], list[str]] = {}
    for id, deed in known:
        before = [
            (other, d) for other, d in known if d.end is not None and d.end <= deed.start and other != id
        ]
        latest = max((d.start for _, d in before), default=-1.0)
        direct = tuple(other for other, d in before if d.end is not None and d.end > latest)
        groups.setdefault(direct or ("start",), []).append(id)
    for place, (sources, targets) in enumerate(groups.items()):
        direct = sources
        if len(sources) > 1 and len(targets) > 1:
            join = diagram.add(Node(id=f"join {place}", label="", kind="join"))
            diagram.connect([(source, "") for source in sources], join)
            direct = (join,)
        for target in targets:
            diagram.connect([(source, "") for source in direct], target)
