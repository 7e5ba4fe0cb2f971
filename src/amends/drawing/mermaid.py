"""Diagrams as Mermaid flowcharts, for READMEs, issues and wikis that draw them."""

from __future__ import annotations

import re

from .diagram import Cluster, Diagram, Edge, Node, State
from .text import clean

_SHAPES = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "step": ("[", "]"),
    "saga": ("[[", "]]"),
    "signal": (">", "]"),
    "timer": ("((", "))"),
    "value": ("[/", "/]"),
    "choice": ("{", "}"),
    "fail": ("{{", "}}"),
    "pivot": ("[\\", "/]"),
    "undo": ("(", ")"),
    "join": ("((", "))"),
}
_ARROWS = {"flow": "-->", "error": "-.->", "undo": "-.-"}
_STYLES = {
    State.WAITING: "fill:#fff8e1,stroke:#8d6e00,color:#1b1b1b,stroke-dasharray:2 3",
    State.RUNNING: "fill:#e3f2fd,stroke:#0d47a1,color:#1b1b1b,stroke-width:3px",
    State.DONE: "fill:#e8f5e9,stroke:#1b5e20,color:#1b1b1b",
    State.FAILED: "fill:#ffebee,stroke:#b71c1c,color:#1b1b1b,stroke-width:3px",
    State.UNDOING: "fill:#f3e5f5,stroke:#4a148c,color:#1b1b1b,stroke-width:3px,stroke-dasharray:8 4",
    State.UNDONE: "fill:#f3e5f5,stroke:#4a148c,color:#1b1b1b,stroke-dasharray:8 4",
    State.PARKED: "fill:#fff3e0,stroke:#bf360c,color:#1b1b1b,stroke-width:5px",
    State.SKIPPED: "fill:#f5f5f5,stroke:#9e9e9e,color:#616161,stroke-dasharray:1 4",
}


def to_mermaid(diagram: Diagram) -> str:
    """The diagram as a Mermaid flowchart."""
    parts: list[Node | Cluster] = [*diagram.nodes, *diagram.clusters]
    ids = {part.id: f"n{place}" for place, part in enumerate(parts)}
    lines = ["---", f"title: {_title(diagram)}", "---", "flowchart TD"]
    lines += _inside("", diagram, ids, 1)
    lines += [_edge(edge, ids) for edge in diagram.edges]
    for state in diagram.states:
        name = _class(state)
        members = [ids[p.id] for p in parts if p.state is state]
        lines += [f"    classDef {name} {_STYLES[state]}", f"    class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def _class(state: State) -> str:
    return state.value.replace(" ", "")


def _title(diagram: Diagram) -> str:
    text = " · ".join(part for part in (clean(diagram.title), clean(diagram.caption)) if part)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _inside(cluster: str, diagram: Diagram, ids: dict[str, str], depth: int) -> list[str]:
    indent = "    " * depth
    lines = [indent + _node(node, ids) for node in diagram.nodes if node.cluster == cluster]
    for inner in diagram.clusters:
        if inner.parent == cluster:
            lines.append(f'{indent}subgraph {ids[inner.id]}["{_label(inner)}"]')
            content = _inside(inner.id, diagram, ids, depth + 1)
            lines += content or [f'{indent}    {ids[inner.id]}e[" "]']
            lines.append(f"{indent}end")
    return lines


def _node(node: Node, ids: dict[str, str]) -> str:
    opening, closing = _SHAPES[node.kind]
    return f'{ids[node.id]}{opening}"{_label(node)}"{closing}'


def _label(part: Node | Cluster) -> str:
    notes = part.notes if isinstance(part, Node) else ()
    head = f"{part.state.sign} {part.label}".strip()
    lines = [escaped(head) or " ", *(f"<small>{escaped(note)}</small>" for note in notes)]
    return "<br/>".join(lines)


def _edge(edge: Edge, ids: dict[str, str]) -> str:
    text = escaped(edge.label)
    label = f'|"{text}"|' if text else ""
    return f"    {ids[edge.source]} {_ARROWS[edge.kind]}{label} {ids[edge.target]}"


def escaped(text: str) -> str:
    """Text for a quoted label. Mermaid has no backslash: characters with a meaning are numbered
    entities.
    """
    line = clean(text)
    safe = "".join(f"#{ord(c)};" if c in '#"<>&`\\{}[]|;_*~$' else c for c in line)
    return f"#8203;{safe}" if re.match(r"(\d+[.)]|[-+]|=+)", line) else safe  # else read as a Markdown list
