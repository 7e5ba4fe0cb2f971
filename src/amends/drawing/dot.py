"""Diagrams in Graphviz's language DOT."""

from __future__ import annotations

from .diagram import Diagram, Edge, Node, State
from .text import clean

_SHAPES = {
    "start": 'shape=box style="rounded,filled"',
    "end": 'shape=box style="rounded,filled"',
    "step": 'shape=box style="filled"',
    "saga": 'shape=box peripheries=2 style="filled"',
    "signal": 'shape=cds style="filled"',
    "timer": 'shape=ellipse style="filled"',
    "value": 'shape=parallelogram style="filled"',
    "choice": 'shape=diamond style="filled"',
    "fail": 'shape=octagon style="filled"',
    "pivot": 'shape=invtrapezium style="filled"',
    "undo": 'shape=box style="rounded,dashed,filled"',
    "join": 'shape=point width=0.08 style="filled"',
}
_COLOURS = {
    State.NONE: ("#ffffff", "#37474f", 1),
    State.WAITING: ("#fff8e1", "#8d6e00", 1),
    State.RUNNING: ("#e3f2fd", "#0d47a1", 3),
    State.DONE: ("#e8f5e9", "#1b5e20", 1),
    State.FAILED: ("#ffebee", "#b71c1c", 3),
    State.UNDOING: ("#f3e5f5", "#4a148c", 3),
    State.UNDONE: ("#f3e5f5", "#4a148c", 1),
    State.PARKED: ("#fff3e0", "#bf360c", 4),
    State.SKIPPED: ("#f5f5f5", "#9e9e9e", 1),
}
_DASHED = {State.WAITING: "dotted", State.UNDOING: "dashed", State.UNDONE: "dashed", State.SKIPPED: "dotted"}
_EDGES = {"flow": "", "error": " style=dashed", "undo": " style=dashed dir=none constraint=false"}


def to_dot(diagram: Diagram) -> str:
    """The diagram as a digraph."""
    title = " · ".join(part for part in (clean(diagram.title), clean(diagram.caption)) if part)
    lines = [
        f"digraph {quoted(diagram.title)} {{",
        f"  graph [label={quoted(title)} labelloc=t compound=true fontname=sans rankdir=TB]",
        "  node [fontname=sans fontsize=11]",
        "  edge [fontname=sans fontsize=9]",
        *_inside("", diagram, "  "),
        *(_edge(edge, diagram) for edge in diagram.edges),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _inside(cluster: str, diagram: Diagram, indent: str) -> list[str]:
    lines = [indent + _node(node) for node in diagram.nodes if node.cluster == cluster]
    for inner in diagram.clusters:
        if inner.parent == cluster:
            label = quoted(f"{inner.state.sign} {inner.label}".strip())
            colour = _COLOURS[inner.state][1]
            lines.append(f"{indent}subgraph {quoted(f'cluster_{inner.id}')} {{")
            lines.append(f"{indent}  graph [label={label} labeljust=l style=rounded color={quoted(colour)}]")
            anchor = quoted(f"{inner.id} (inside)")  # edges of a cluster need a node in it
            lines.append(f'{indent}  {anchor} [style=invis shape=point width=0 height=0 label=""]')
            lines += _inside(inner.id, diagram, indent + "  ")
            lines.append(f"{indent}}}")
    return lines


def _node(node: Node) -> str:
    fill, line, pen = _COLOURS[node.state]
    text = "\n".join([f"{node.state.sign} {clean(node.label)}".strip(), *map(clean, node.notes)])
    shape = _SHAPES[node.kind]
    if node.state in _DASHED and node.kind != "join":
        shape = shape.replace('style="', f'style="{_DASHED[node.state]},')
    return (
        f"{quoted(node.id)} [label={quoted(text)} {shape} fillcolor={quoted(fill)}"
        f" color={quoted(line)} penwidth={pen}]"
    )


def _edge(edge: Edge, diagram: Diagram) -> str:
    clusters = {cluster.id for cluster in diagram.clusters}
    ends, more = [], ""
    for id, name in ((edge.source, "ltail"), (edge.target, "lhead")):
        inside = id in clusters
        ends.append(quoted(f"{id} (inside)" if inside else id))
        more += f" {name}={quoted(f'cluster_{id}')}" if inside else ""
    label = f" label={quoted(clean(edge.label))}" if edge.label else ""
    attributes = f"{_EDGES[edge.kind]}{label}{more}".strip()
    return f"  {ends[0]} -> {ends[1]}" + (f" [{attributes}]" if attributes else "")


def quoted(text: str) -> str:
    """A DOT string. Line breaks stay, everything else that is not printable goes."""
    lines = [clean(line) for line in text.split("\n")]
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
