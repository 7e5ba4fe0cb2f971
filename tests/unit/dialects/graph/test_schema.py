"""The published schema is that of the classes, and agrees with what is read."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from amends import Graph, Retry, Signal
from amends.dialects.graph import Block, schema
from tests.docs.pages import ROOT, blocks
from tests.simulation.graphs.random_graphs import Case, build, cases
from tests.simulation.promises.book import Book

from .test_checks import GOOD, TEACHING, graph

PUBLISHED: Any = json.loads((Path(schema.__file__).with_name("schema.json")).read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(PUBLISHED)


def everything() -> Graph:
    """A graph that uses every field there is."""
    made = Graph(
        "all",
        inputs={"order": {"number": "string", "cents?": "integer"}, "x?": int},
        version="1",
        deadline=9,
        title="t",
    )
    made.step(
        "a", "shop.charge", {"order": "item", "cents": 1}, each="[order]", at_once=2, timeout=1, schedule_to_close=2,
        heartbeat=3, retry=Retry(attempts=None, total=9.0), when="true == true",
        undo={"step": "shop.unreserve", "with": {"stock": None, "sku": "outcome"}, "retry": Retry(), "timeout": 1, "critical": False},
    )  # fmt: skip
    made.nest("b", "shop.inner", {"t": "'x'"}, version="1", deadline=timedelta(hours=1))
    made.receive("c", Signal[dict[str, int]]("s"), timeout=5, otherwise=None)
    made.sleep("d", "1 + 1", after=["a", "b", "c"]).sleep("e", 0.5)
    made.attempt(
        "f", Block().value("g", [1, {"x": "'y'"}]).returns("g"), otherwise=Block().fail("h", "error.message")
    )
    made.pivot("p", after=["d", "e", "f"]).step("z", "shop.charge", {"order": "order"}, after="p", undo=False)
    return made.returns({"all": ["f", None, True, 1.5]})


def test_the_published_schema_is_up_to_date() -> None:
    published = Path(schema.__file__).with_name("schema.json").read_text(encoding="utf-8")
    assert published == schema.text(), (
        "python -m amends.dialects.graph.schema > src/amends/dialects/graph/schema.json"
    )


def test_it_is_a_schema() -> None:
    VALIDATOR.check_schema(PUBLISHED)


def test_every_field_is_valid_and_comes_back() -> None:
    Graph("shop.inner", inputs={"t": str}, version="1").saga  # noqa: B018
    made = everything()
    VALIDATOR.validate(json.loads(made.to_json()))
    assert Graph.from_json(made.to_json()) == made
    assert made.problems() == ()
    used = json.dumps(json.loads(made.to_json()))
    for name, part in PUBLISHED["$defs"].items():
        for field in part.get("properties", {}):
            assert f'"{field}"' in used, f"{name}.{field} is not in the example"


@pytest.mark.parametrize("nodes", GOOD)
def test_what_is_good_is_valid(nodes: Any) -> None:
    made = graph(nodes)
    VALIDATOR.validate({"$schema": "https://example.org/graph.json", **made._data})
    assert Graph.from_json(made.to_json()) == made


SHAPES = (
    "expected `",
    "a node is",
    "nothing says",
    "a node does",
    "unknown field",
    "cannot be read",
    "is no type",
)


def test_what_one_document_shows_to_be_wrong_is_invalid() -> None:
    wrong = [nodes for nodes, message, _ in TEACHING if any(shape in message for shape in SHAPES)]
    assert len(wrong) > 8
    for nodes in wrong:
        assert not VALIDATOR.is_valid(graph(nodes)._data), nodes


def test_yaml_says_the_same_as_json() -> None:
    made = everything()
    assert Graph.from_yaml(made.to_json()) == made  # JSON is YAML
    assert Graph.from_yaml("$schema: x\ngraph: g\nnodes: {a: {sleep: 1}}") == Graph("g").sleep("a", 1)


@settings(max_examples=100)
@given(cases)
def test_random_graphs_are_valid_and_come_back(case: Case) -> None:
    made = build(case, Book(lambda: 0.0)).graph
    VALIDATOR.validate(json.loads(made.to_json()))
    for again in (Graph.from_json(made.to_json()), Graph.from_yaml(made.to_json())):
        assert again == made
        assert again.version == made.version
        assert again.to_json() == made.to_json()


def test_the_examples_of_the_documentation_are_valid() -> None:
    found = 0
    for block in blocks((ROOT / "docs" / "graphs.md").read_text(encoding="utf-8")):
        if block.language == "json" and '"graph"' in block.text:
            VALIDATOR.validate(json.loads(block.text))
        elif block.language == "yaml":
            VALIDATOR.validate(json.loads(Graph.from_yaml(block.text).to_json()))
        else:
            continue
        found += 1
    assert found
