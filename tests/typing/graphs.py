"""Types of graphs and pictures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from amends import Graph, Retry, Saga, SagaCall, Signal, step
from amends.dialects.graph import Block, Problem
from amends.drawing import Diagram, draw_execution, draw_graph, draw_saga, render
from amends.engine.handle import Handle


@step
async def charge(cents: int) -> str:
    return "p"


approved = Signal[bool]("approved")

graph = Graph("typed", inputs={"cents": int, "name?": "string"}, deadline=timedelta(days=1))
assert_type(
    graph.step("a", charge, {"cents": "cents"}, each="[1]", at_once=2, retry=Retry(attempts=None)), Graph
)
assert_type(graph.receive("b", approved, timeout=5, otherwise=False).pivot("p", after=["a", "b"]), Graph)
assert_type(Block().value("c", [1, {"d": None}]).returns("c"), Block)
assert_type(graph.saga, Saga[..., Any])
call: SagaCall[Any] = assert_type(graph(5), SagaCall[Any])
assert_type(graph.problems(), tuple[Problem, ...])
assert_type(Graph.from_yaml("graph: g"), Graph)
graph.step("a", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def pictures(handle: Handle[Any]) -> None:
    assert_type(draw_graph(graph), Diagram)
    assert_type(draw_saga(graph.saga), Diagram)
    assert_type(draw_execution(await handle.history(), await handle.status(), graph), Diagram)
    assert_type(render(draw_graph(graph), "svg"), str)
