"""From places to SVG. Signs are drawn, not written, so that no font can lack them; the whole text is in
the tooltips.
"""

from __future__ import annotations

from itertools import pairwise
from xml.sax.saxutils import escape

from ..diagram import Cluster, Diagram, Node, State
from ..text import clean, width
from .layout import (
    EDGE_LABEL,
    HEADER,
    ICON,
    LINE,
    NOTE,
    NOTE_LINE,
    Box,
    Layout,
    Line,
    has_icon,
    label_width,
    layout,
)
from .style import name, sheet

MARGIN = 24.0
TITLE = 44.0
LEGEND = 34.0

# Paths in a square of 12 by 12, centred on 0.
ICONS = {
    State.DONE.value: "M-5,0 L-1.5,4 L5,-4",
    State.FAILED.value: "M-4,-4 L4,4 M4,-4 L-4,4",
    State.RUNNING.value: "M-3,-5 L5,0 L-3,5 Z",
    State.WAITING.value: "M5,0 A5,5 0 1 1 -5,0 A5,5 0 1 1 5,0 M0,-3 L0,0 L2.5,1.5",
    State.UNDOING.value: "M-5,-2 L-2,-5 M-5,-2 L-2,1 M-5,-2 L2,-2 A3.5,3.5 0 0 1 2,5 L0,5 M-4,5 L-2.5,5",
    State.UNDONE.value: "M-5,-2 L-2,-5 M-5,-2 L-2,1 M-5,-2 L2,-2 A3.5,3.5 0 0 1 2,5 L-3,5",
    State.PARKED.value: "M0,-5 L0,1.5 M0,4.8 L0,5",
    State.SKIPPED.value: "M-5,0 L5,0",
    "saga": "M-5,-5 L5,-5 L5,5 L-5,5 Z M-2,-2 L2,-2 M-2,1 L2,1",
    "signal": "M-5,-3.5 L5,-3.5 L5,4 L-5,4 Z M-5,-3.5 L0,1 L5,-3.5",
    "timer": "M5,0 A5,5 0 1 1 -5,0 A5,5 0 1 1 5,0 M0,-3 L0,0 L2.5,1.5",
    "pivot": "M-5,-5 L5,-5 M-5,5 L5,5 M0,-4 L0,4 M-2.5,1.5 L0,4 L2.5,1.5",
    "fail": "M-2,-5 L2,-5 L5,-2 L5,2 L2,5 L-2,5 L-5,2 L-5,-2 Z",
    "undo": "M-5,-2 L-2,-5 M-5,-2 L-2,1 M-5,-2 L2,-2 A3.5,3.5 0 0 1 2,5 L-3,5",
}


def to_svg(diagram: Diagram, theme: str = "auto") -> str:
    """The diagram as an SVG document; `theme` is ``auto`` (as the viewer prefers), ``light`` or
    ``dark``.
    """
    placed = layout(diagram)
    legend = _legend(diagram.states)
    head = TITLE if diagram.caption else TITLE - 14
    texts = [width(clean(diagram.title), 17), width(clean(diagram.caption), 12), legend[1]]
    wide = max([placed.width, *texts]) + 2 * MARGIN
    high = placed.height + head + 2 * MARGIN + (LEGEND if legend[0] else 0)
    body = [
        f'<rect class="ground" width="{wide:.0f}" height="{high:.0f}"/>',
        f'<text class="title" x="{MARGIN:g}" y="{MARGIN + 10:g}">{_text(diagram.title)}</text>',
    ]
    if diagram.caption:
        body.append(
            f'<text class="caption" x="{MARGIN:g}" y="{MARGIN + 29:g}">{_text(diagram.caption)}</text>'
        )
    shift = MARGIN + (wide - 2 * MARGIN - placed.width) / 2
    body += [f'<g transform="translate({shift:.1f} {MARGIN + head:.1f})">', *_picture(placed), "</g>"]
    if legend[0]:
        body += [f'<g transform="translate({MARGIN:g} {high - MARGIN:.1f})">', *legend[0], "</g>"]
    return _document(diagram, wide, high, theme, body)


def _document(diagram: Diagram, wide: float, high: float, theme: str, body: list[str]) -> str:
    size = f'viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" height="{high:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        f'<title id="title">{_text(diagram.title)}</title>',
        f"<style>\n{sheet(theme)}</style>",
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _picture(placed: Layout) -> list[str]:
    clusters = [box for box in placed.boxes if isinstance(box.part, Cluster)]
    nodes = [box for box in placed.boxes if isinstance(box.part, Node)]
    parts = [part for box in clusters for part in _cluster(box)]
    parts += [part for line in placed.lines for part in _line(line)]
    parts += [part for box in nodes for part in _node(box, box.part)]  # type: ignore[arg-type]
    return parts + [part for line in placed.lines for part in _edge_label(line)]


def _cluster(box: Box) -> list[str]:
    state = box.part.state
    look = f"cluster c-{name(state)[2:]}" if state else "cluster"
    text = box.x + 12
    parts = [
        "<g>",
        f"<title>{_text(box.part.label)}</title>",
        f'<rect class="{look}" {_rect(box)} rx="10"/>',
    ]
    if state:
        parts.append(_icon(state.value, box.x + 16, box.y + HEADER / 2 + 2, state))
        text += 16
    return [
        *parts,
        f'<text class="head" x="{text:.1f}" y="{box.y + 18:.1f}">{_text(box.lines[0])}</text>',
        "</g>",
    ]


def _rect(box: Box) -> str:
    return f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'


def _node(box: Box, node: Node) -> list[str]:
    if node.kind == "join":
        return [f'<circle class="join" cx="{box.middle:.1f}" cy="{box.y + 4:.1f}" r="4"/>']
    tip = "\n".join([node.label, *node.notes, *([node.state.value] if node.state else [])])
    parts = ["<g>", f"<title>{escape(_visible(tip))}</title>", _shape(box, node)]
    y = box.y + (box.height - len(box.lines) * LINE - len(box.notes) * NOTE_LINE) / 2 + 12.5
    middle = box.middle
    if has_icon(node):
        x = middle - label_width(node, box.lines) / 2 + 6
        parts.append(_icon(node.state.value or node.kind, x, y - 4.5, node.state))
        middle += ICON / 2
    for text in box.lines:
        parts.append(
            f'<text class="label" text-anchor="middle" x="{middle:.1f}" y="{y:.1f}">{_text(text)}</text>'
        )
        y += LINE
    y -= LINE - NOTE_LINE
    for text in box.notes:
        place = f'x="{box.middle:.1f}" y="{y + 1:.1f}"'
        parts.append(f'<text class="note" text-anchor="middle" {place}>{_text(text)}</text>')
        y += NOTE_LINE
    return [*parts, "</g>"]


def _shape(box: Box, node: Node) -> str:
    look = f'class="{name(node.state)}"'
    x, y, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    middle = (y + bottom) / 2
    match node.kind:
        case "choice":
            deep = box.height / 2
            points = [
                (x + deep, y),
                (right - deep, y),
                (right, middle),
                (right - deep, bottom),
                (x + deep, bottom),
            ]
            points.append((x, middle))
        case "pivot":
            points = [(x, y), (right, y), (right - 10, bottom), (x + 10, bottom)]
        case "signal":
            points = [
                (x, y),
                (right - 9, y),
                (right, middle),
                (right - 9, bottom),
                (x, bottom),
                (x + 7, middle),
            ]
        case "fail":
            a, b = x + 8, right - 8
            points = [
                (a, y),
                (b, y),
                (right, y + 8),
                (right, bottom - 8),
                (b, bottom),
                (a, bottom),
                (x, bottom - 8),
            ]
            points.append((x, y + 8))
        case _:
            round_ = {"start": 16, "end": 16, "timer": 16, "undo": 12, "value": 0}.get(node.kind, 5)
            return f'<rect {look} {_rect(box)} rx="{min(round_, box.height / 2):g}"/>'
    return f'<polygon {look} points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'


def _icon(sign: str, x: float, y: float, state: State) -> str:
    colour = f" i-{name(state)[2:]}" if state else ""
    return f'<path class="icon{colour}" transform="translate({x:.1f} {y:.1f})" d="{ICONS[sign]}"/>'


def _line(line: Line) -> list[str]:
    points = line.points
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    if line.edge.kind == "undo":
        return [f'<path class="line undo" d="{path} L{points[1][0]:.1f},{points[1][1]:.1f}"/>']
    end, tip = points[-1], 7.0 if points[-1][1] >= points[-2][1] else -7.0
    for (x0, y0), (x1, y1) in pairwise([*points[:-1], (end[0], end[1] - tip)]):
        bend = (y1 - y0) * 0.5
        path += (
            f" L{x1:.1f},{y1:.1f}"
            if abs(x1 - x0) < 0.5
            else f" C{x0:.1f},{y0 + bend:.1f} {x1:.1f},{y1 - bend:.1f} {x1:.1f},{y1:.1f}"
        )
    look = "line error" if line.edge.kind == "error" else "line"
    head = f"M{end[0]:.1f},{end[1]:.1f} l-4.5,{-tip * 1.15:.1f} l9,0 Z"
    return [f'<path class="{look}" d="{path}"/>', f'<path class="arrow" d="{head}"/>']


def _edge_label(line: Line) -> list[str]:
    if not line.edge.label:
        return []
    (x0, y0), (x1, y1) = line.points[1:3]  # the first stretch leads out of the layer
    text = clean(line.edge.label, EDGE_LABEL)
    look = 'class="edge-label" text-anchor="middle" stroke-width="4" paint-order="stroke"'
    x, y = x0 + 0.784 * (x1 - x0), y0 + 0.658 * (y1 - y0)  # the curve at 0.7, where branches have parted
    place = f'x="{x:.1f}" y="{y + 4:.1f}"'
    return [f"<text {look} {place}>{_text(text)}</text>"]


def _legend(states: list[State]) -> tuple[list[str], float]:
    parts, x = [], 6.0
    for state in states:
        parts.append(_icon(state.value, x, -4, state))
        parts.append(f'<text class="note" x="{x + 12:.1f}" y="0">{_text(state.value)}</text>')
        x += 34 + width(state.value, NOTE)
    return parts, x


def _text(text: str) -> str:
    return escape(clean(text))


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


__all__ = ["to_svg"]
