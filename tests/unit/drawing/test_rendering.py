"""Renderers: whatever stands in a diagram, the text is one that its readers can read, and boxes do not overlap."""

from __future__ import annotations

import itertools
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends import UnknownName
from amends.drawing import FORMATS, Cluster, Diagram, Edge, Node, State, render
from amends.drawing.diagram import Kind
from amends.drawing.svg.layers import _inversions
from amends.drawing.svg.layout import Box, layout
from amends.drawing.svg.paint import to_svg
from amends.drawing.text import clean, width, wrap

from .grammars import check_dot, check_mermaid

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    'a "quoted" label', "<script>alert(1)</script>", "a & b; c", "line\nbreak\r\n\ttab", "back\\slash", "]]>", "--", "end",
    "1. list", "- list", "`code`", "#35;", "{curly} [square] (round)", "日本語のラベル", "🙂🙃", "e\u0301", "\u202e rtl", "\x00\x07", "",
    " ", "x" * 500, "a_b*c~d$e|f", "%%comment", "subgraph", "%{init: {}}%", "---",
]  # fmt: skip
labels = st.sampled_from(NASTY) | st.text(max_size=30)


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    """Any diagram whose edges join neighbours."""
    diagram = Diagram(title=draw(labels), caption=draw(labels))
    boxes = [""]
    for number in range(draw(st.integers(0, 4))):
        parent = draw(st.sampled_from(boxes))
        boxes.append(
            diagram.add(
                Cluster(
                    id=f"c{number}", label=draw(labels), parent=parent, state=draw(st.sampled_from(State))
                )
            )
        )
    for number in range(draw(st.integers(0, 9))):
        node = Node(
            id=f"{number} {draw(labels)}", label=draw(labels), kind=draw(st.sampled_from(get_args(Kind))), cluster=draw(st.sampled_from(boxes)),
            state=draw(st.sampled_from(State)), notes=tuple(draw(st.lists(labels, max_size=2))),
        )  # fmt: skip
        diagram.add(node)
        if draw(st.integers(0, 3)) == 0:
            diagram.add(Node(id=f"{node.id}/undo", label=draw(labels), kind="undo", cluster=node.cluster))
            diagram.add(Edge(source=node.id, target=f"{node.id}/undo", kind="undo"))
    places = {node.id: node.cluster for node in diagram.nodes} | {c.id: c.parent for c in diagram.clusters}
    pairs = [
        (a, b)
        for a, b in itertools.permutations(places, 2)
        if places[a] == places[b] and not (a + b).endswith("/undo")
    ]
    if pairs:
        for source, target in draw(st.lists(st.sampled_from(pairs), max_size=10)):
            if not source.endswith("/undo"):
                diagram.add(
                    Edge(
                        source=source,
                        target=target,
                        label=draw(labels),
                        kind=draw(st.sampled_from(["flow", "error"])),
                    )
                )
    return diagram


def contents(diagram: Diagram) -> tuple[int, int, int]:
    return len(diagram.nodes), len(diagram.clusters), len(diagram.edges)


@settings(max_examples=150)
@given(diagrams())
def test_mermaid_is_always_in_the_grammar(diagram: Diagram) -> None:
    kinds = check_mermaid(render(diagram, "mermaid"))
    filled = {n.cluster for n in diagram.nodes} | {c.parent for c in diagram.clusters}
    empty = sum(c.id not in filled for c in diagram.clusters)
    nodes, clusters, edges = contents(diagram)
    assert (kinds.count("node"), kinds.count("subgraph"), kinds.count("edge")) == (
        nodes + empty,
        clusters,
        edges,
    )


@settings(max_examples=150)
@given(diagrams())
def test_dot_is_always_in_the_grammar(diagram: Diagram) -> None:
    kinds = check_dot(render(diagram, "dot"))
    nodes, clusters, edges = contents(diagram)
    assert (kinds.count("node"), kinds.count("subgraph"), kinds.count("edge")) == (
        nodes + clusters,
        clusters,
        edges,
    )


@settings(max_examples=150)
@given(diagrams(), st.sampled_from(["auto", "light", "dark"]))
def test_svg_is_always_a_document(diagram: Diagram, theme: str) -> None:
    root = ElementTree.fromstring(to_svg(diagram, theme))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "style", "rect", "text", "g", "path", "polygon", "circle"
    }  # fmt: skip
    arrows = [e for e in root.iter(f"{SVG}path") if e.get("class") == "arrow"]
    assert len(arrows) == sum(edge.kind != "undo" for edge in diagram.edges)


def overlap(a: Box, b: Box) -> bool:
    return (
        a.x < b.x + b.width - 0.01 and b.x < a.x + a.width - 0.01
        and a.y < b.y + b.height - 0.01 and b.y < a.y + a.height - 0.01
    )  # fmt: skip


@settings(max_examples=200)
@given(diagrams())
def test_nothing_overlaps_and_everything_is_inside(diagram: Diagram) -> None:
    placed = layout(diagram)
    boxes = {box.part.id: box for box in placed.boxes}
    assert len(boxes) == len(diagram.nodes) + len(diagram.clusters)
    around = {
        id: getattr(box.part, "cluster", None) or getattr(box.part, "parent", "") for id, box in boxes.items()
    }
    for a, b in itertools.combinations(boxes, 2):
        if around[a] == around[b]:
            assert not overlap(boxes[a], boxes[b]), (a, b)
    for id, box in boxes.items():
        outer = boxes.get(around[id])
        left, top, right, bottom = (outer.x, outer.y, outer.x + outer.width, outer.y + outer.height) if outer else (
            0.0, 0.0, placed.width, placed.height
        )  # fmt: skip
        assert left - 0.01 <= box.x <= box.x + box.width <= right + 0.01
        assert top - 0.01 <= box.y <= box.y + box.height <= bottom + 0.01
    for line in placed.lines:
        for x, y in line.points:
            assert -0.01 <= x <= placed.width + 0.01
            assert -0.01 <= y <= placed.height + 0.01


@settings(max_examples=200)
@given(diagrams())
def test_lines_cross_no_box_of_their_level(diagram: Diagram) -> None:
    """Between its ends a line passes only where no neighbour stands (it turns only between the rows)."""
    placed = layout(diagram)
    boxes = {box.part.id: box for box in placed.boxes}
    level = {
        id: getattr(box.part, "cluster", None) or getattr(box.part, "parent", "") for id, box in boxes.items()
    }
    for line in placed.lines:
        if line.edge.kind == "undo":
            continue
        others = [
            b
            for id, b in boxes.items()
            if level[id] == level[line.edge.source] and id not in {line.edge.source, line.edge.target}
        ]
        for (x0, y0), (x1, y1) in itertools.pairwise(line.points):
            if x0 == x1:  # straight: the others turn between rows
                assert not [
                    b for b in others if b.x < x0 < b.x + b.width and b.y < (y0 + y1) / 2 < b.y + b.height
                ]


def woven(count: int) -> Diagram:
    """Many nodes, with edges over several rows."""
    diagram = Diagram(title="t")
    for place in range(count):
        diagram.add(Node(id=f"n{place}", label=f"node {place}"))
        for other in {place // 3, place // 2, max(0, place - 5)} - {place}:
            diagram.add(Edge(source=f"n{other}", target=f"n{place}"))
    diagram.add(Edge(source=f"n{count - 1}", target="n0", label="again"))
    return diagram


def test_long_lines_stay_inside_too() -> None:
    placed = layout(woven(40))
    assert sum(len(line.points) > 6 for line in placed.lines) > 10
    for line in placed.lines:
        assert all(0 <= x <= placed.width and 0 <= y <= placed.height for x, y in line.points)


@given(st.lists(st.integers(0, 20), max_size=20))
def test_crossings_are_counted(values: list[int]) -> None:
    assert _inversions(values) == sum(a > b for a, b in itertools.combinations(values, 2))


def test_a_layer_of_crossed_edges_is_uncrossed() -> None:
    diagram = Diagram(title="t")
    for name in "abcdxyzw":
        diagram.add(Node(id=name, label=name))
    for a, b in zip("abcd", "wzyx", strict=True):
        diagram.add(Edge(source=a, target=b))
    boxes = {box.part.id: box.x for box in layout(diagram).boxes}
    assert sorted("abcd", key=boxes.__getitem__) == sorted(
        "abcd", key=lambda n: boxes["wzyx"["abcd".index(n)]]
    )


@given(st.text(max_size=200), st.floats(30, 300), st.integers(1, 4))
def test_wrapping_keeps_to_its_bounds(text: str, limit: float, lines: int) -> None:
    found = wrap(text, 13, limit, lines)
    assert 1 <= len(found) <= lines
    assert all(width(line, 13) <= limit or len(line) <= 2 for line in found)
    if len(found) < lines:
        assert "".join(found).replace(" ", "") == clean(text).replace(" ", "")


def test_states_need_no_colour() -> None:
    states = [state for state in State if state]
    signs = [state.sign for state in states]
    assert len(set(signs)) == len(states)
    diagram = Diagram(title="t")
    for state in states:
        diagram.add(Node(id=state.value, label="x", state=state))
    root = ElementTree.fromstring(render(diagram, "svg"))
    icons = {e.get("d") for e in root.iter(f"{SVG}path") if "icon" in (e.get("class") or "")}
    assert len(icons) == len(states)
    assert {state.value for state in states} <= {e.text for e in root.iter(f"{SVG}text")}, (
        "the legend names each"
    )
    assert all(state.sign in render(diagram, "mermaid") for state in states)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    a, b = sorted((luminance(one), luminance(other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def test_colours_have_contrast_on_light_and_dark_ground() -> None:
    from amends.drawing.svg.style import DARK, LIGHT, STATES

    for dark, (ground, text, quiet, line, box, cluster, _) in enumerate((LIGHT, DARK)):
        for fill in (ground, box, cluster, *(row[2 * dark] for row in STATES.values())):
            assert contrast(text, fill) >= 7, (text, fill)
            assert contrast(quiet, fill) >= 4.5, (quiet, fill)
            assert contrast(line, fill) >= 3, (line, fill)
        for fill, stroke in (row[2 * dark : 2 * dark + 2] for row in STATES.values()):
            assert contrast(str(stroke), str(fill)) >= 3, (fill, stroke)


def test_a_format_that_is_none() -> None:
    with pytest.raises(UnknownName, match="did you mean 'svg'"):
        render(Diagram(title="t"), "svgg")
    assert set(FORMATS) == {"mermaid", "dot", "svg"}


# ---------------------------------------------------------------- the grammars can fail


@pytest.mark.parametrize(
    "line",
    [
        '    n0["a"b"]',
        '    n0["a]',
        "    n0[a]",
        '    n0["<b>"]',
        "    n0 --> ",
        '    n0["a#"]',
        "    end end",
        '    n0["a\\"]',
    ],
)
def test_what_is_no_mermaid_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        check_mermaid(f'---\ntitle: "t"\n---\nflowchart TD\n{line}\n')


@pytest.mark.parametrize("line", ['  "a" [label="b"c"]', '  "a', '  "a" -> ', '  "a\\" [label="x"]', "  }"])
def test_what_is_no_dot_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        check_dot(f'digraph "g" {{\n{line}\n}}\n')


def test_an_overlap_is_found() -> None:
    def box(x: float) -> Any:
        return Box(part=Node(id="a", label="a"), x=x, width=10, height=10, lines=[])

    assert overlap(box(0), box(9))
    assert not overlap(box(0), box(10))
