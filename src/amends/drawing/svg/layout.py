"""Places for all of a diagram: every cluster is laid out by itself, and is then one item of what is
around it.

Edges join neighbours in one cluster only, so no line ever enters a box.  What undoes a step stands to its
right and moves with it.
"""

from __future__ import annotations

import msgspec

from ..diagram import Cluster, Diagram, Edge, Node
from ..text import clean, width, wrap
from .layers import Item, place

LABEL, NOTE = 13.0, 11.0
LINE, NOTE_LINE = 17.0, 14.0
WIDEST = 230.0
PAD = 18.0
HEADER = 26.0
ROW = 40.0
UNDO_GAP = 26.0
EDGE_LABEL = 24  # characters

Point = tuple[float, float]


class Box(msgspec.Struct, kw_only=True):
    """Where a node or cluster is: its corner and size, and its text in lines."""

    part: Node | Cluster
    x: float = 0.0
    y: float = 0.0
    width: float
    height: float
    lines: list[str]
    notes: list[str] = []

    @property
    def middle(self) -> float:
        """The x of its axis."""
        return self.x + self.width / 2


class Line(msgspec.Struct):
    """An edge, as points that it goes through with vertical tangents (an undo edge: straight)."""

    edge: Edge
    points: list[Point]


class Layout(msgspec.Struct):
    """Boxes (clusters before what they hold) and lines, within `width` and `height`."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def layout(diagram: Diagram) -> Layout:
    """Place everything."""
    return _Level(diagram, "").place()


def box_of(node: Node) -> Box:
    """A node's box, as large as its text."""
    if node.kind == "join":
        return Box(part=node, width=8, height=8, lines=[])
    lines = wrap(node.label, LABEL, WIDEST, 3)
    notes = [line for note in node.notes for line in wrap(note, NOTE, WIDEST, 2)]
    text = max([label_width(node, lines), *(width(line, NOTE) for line in notes)])
    wide, high = text + 26, len(lines) * LINE + len(notes) * NOTE_LINE + 15
    if node.kind == "choice":
        wide, high = wide + high * 0.7, high + 4
    return Box(part=node, width=max(wide, 44.0), height=high, lines=lines, notes=notes)


ICON = 19.0
_ICONS = {"saga", "signal", "timer", "pivot", "undo", "fail"}


def has_icon(node: Node) -> bool:
    """Does a sign stand before the label?"""
    return bool(node.state) or node.kind in _ICONS


def label_width(node: Node, lines: list[str]) -> float:
    """The width of a label with its sign."""
    return max(width(line, LABEL) for line in lines) + (ICON if has_icon(node) else 0.0)


class _Level:
    """One cluster's inside."""

    def __init__(self, diagram: Diagram, cluster: str) -> None:
        self.diagram = diagram
        inside = [n for n in diagram.nodes if n.cluster == cluster]
        self.boxes = {node.id: box_of(node) for node in inside}
        self.inner: dict[str, Layout] = {}
        for child in diagram.clusters:
            if child.parent == cluster:
                self.inner[child.id] = found = _Level(diagram, child.id).place()
                lines = wrap(f"{child.label}", NOTE, max(found.width, WIDEST), 1)
                wide = max(found.width + 2 * PAD, width(lines[0], NOTE) + 2 * PAD + 24)
                high = found.height + HEADER + PAD
                self.boxes[child.id] = Box(part=child, width=wide, height=high, lines=lines)
        known = self.boxes
        self.edges = [e for e in diagram.edges if e.source in known and e.target in known]
        self.undo = {e.source: e.target for e in self.edges if e.kind == "undo"}

    def place(self) -> Layout:
        followers = set(self.undo.values())
        ids = [id for id in self.boxes if id not in followers]
        items = [self.item(id) for id in ids]
        places = {id: place for place, id in enumerate(ids)}
        flow = [e for e in self.edges if e.kind != "undo" and e.source in places and e.target in places]
        self.layers: dict[str, int] = {}
        placed = place(items, [(places[e.source], places[e.target]) for e in flow])
        self.layers.update((id, item.layer) for id, item in zip(ids, items, strict=True))
        labelled = {items[places[e.source]].layer for e in flow if e.label}
        tops, heights, bottom = self.rows(placed.layers, labelled)
        left = min((item.x - item.left for layer in placed.layers for item in layer), default=0.0)
        for id, item in zip(ids, items, strict=True):
            self.put(id, item.x - left, tops[item.layer] + (heights[item.layer] - self.height(id)) / 2)
        lines = [
            self.line(e, chain, left, tops, heights) for e, chain in zip(flow, placed.chains, strict=True)
        ]
        lines += [self.beside(e) for e in self.edges if e.kind == "undo"]
        right = max((item.x + item.right - left for layer in placed.layers for item in layer), default=0.0)
        return self.whole(lines, right, bottom)

    def item(self, id: str) -> Item:
        box = self.boxes[id]
        more = UNDO_GAP + self.boxes[self.undo[id]].width if id in self.undo else 0.0
        labels = [width(clean(e.label, EDGE_LABEL), NOTE) for e in self.edges if e.target == id]
        half = max([box.width, *(label + 6 for label in labels)]) / 2  # labels stand above what they lead to
        return Item(half, max(half, box.width / 2 + more), self.height(id), above=[], below=[])

    def height(self, id: str) -> float:
        other = self.boxes[self.undo[id]].height if id in self.undo else 0.0
        return max(self.boxes[id].height, other)

    def rows(self, layers: list[list[Item]], labelled: set[int]) -> tuple[list[float], list[float], float]:
        """The top and height of each layer, and the bottom of all."""
        y, tops, heights = 0.0, [], []
        for place_, layer in enumerate(layers):
            tops.append(y)
            heights.append(max((item.height for item in layer), default=0.0))
            y += heights[-1] + ROW + (14.0 if place_ in labelled else 0.0) + min(24.0, len(layer) * 1.5)
        return tops, heights, (tops[-1] + heights[-1]) if tops else 0.0

    def put(self, id: str, axis: float, top: float) -> None:
        box = self.boxes[id]
        high = self.height(id)
        box.x, box.y = axis - box.width / 2, top + (high - box.height) / 2
        if id in self.undo:
            other = self.boxes[self.undo[id]]
            other.x, other.y = axis + box.width / 2 + UNDO_GAP, top + (high - other.height) / 2

    def line(
        self, edge: Edge, chain: list[Item], left: float, tops: list[float], heights: list[float]
    ) -> Line:
        """Straight to the border of its own layer, so that it turns only where nothing stands."""
        source, target = self.boxes[edge.source], self.boxes[edge.target]
        first, last = self.layers[edge.source], self.layers[edge.target]
        down = first <= last
        points = [(source.middle, source.y + source.height if down else source.y)]
        points.append((source.middle, tops[first] + heights[first] * down))
        for item in chain:
            ends = (tops[item.layer], tops[item.layer] + heights[item.layer])
            points += [(item.x - left, y) for y in (ends if down else ends[::-1])]
        points.append((target.middle, tops[last] + heights[last] * (not down)))
        points.append((target.middle, target.y if down else target.y + target.height))
        return Line(edge, points)

    def beside(self, edge: Edge) -> Line:
        source, target = self.boxes[edge.source], self.boxes[edge.target]
        return Line(
            edge,
            [
                (source.x + source.width, source.y + source.height / 2),
                (target.x, target.y + target.height / 2),
            ],
        )

    def whole(self, lines: list[Line], right: float, bottom: float) -> Layout:
        """Put what is inside the clusters where they are now."""
        boxes: list[Box] = []
        for id, box in self.boxes.items():
            boxes.append(box)
            if id in self.inner:
                found = self.inner[id]
                dx, dy = box.x + (box.width - found.width) / 2, box.y + HEADER
                for inside in found.boxes:
                    inside.x, inside.y = inside.x + dx, inside.y + dy
                for line in found.lines:
                    line.points = [(x + dx, y + dy) for x, y in line.points]
                boxes += found.boxes
                lines = lines + found.lines
        return Layout(boxes, lines, right, bottom)
