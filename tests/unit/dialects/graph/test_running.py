"""Graphs at work on the real engine: what they give, in which order, and how they are undone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import amends
from amends import Graph, Rejected, Retry, Signal, saga, step
from amends.definition.registry import REGISTRY
from amends.dialects.graph import Block
from tests.simulation.promises.book import OK, Call
from tests.simulation.promises.world import World, forget

from .conftest import Bank

go = Signal[dict[str, int]]("go")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World("memory", tmp_path)


def run(world: World, graph: Graph, *args: Any, drive: Any = None, **options: Any) -> amends.Result[Any]:
    async def main() -> amends.Result[Any]:
        async with world.engine(graph.saga, **options) as engine:
            handle = await engine.start(graph(*args), id="one")
            if drive is not None:
                await drive(handle)
            return await world.ended(handle)

    return world.run(main)


def takes(seconds: float) -> Any:
    async def work(call: Call) -> None:
        await asyncio.sleep(seconds)

    return work


def tag(text: str) -> dict[str, str]:
    return {"tag": f"'{text}'"}


# ---------------------------------------------------------------- what it gives


def test_values_and_arguments_go_through_expressions(world: World) -> None:
    world.book.step("a")
    graph = Graph("g", inputs={"x": int, "name?": "string"})
    graph.value("double", "x * 2").step("act", "a", {"tag": "format('{}-{}', name, double)"})
    graph.returns({"acted": "act", "list": ["double", 7, None, "'text'"], "name": "coalesce(name, '?')"})
    assert run(world, graph, 3).value == {"acted": "a:null-6", "list": [6, 7, None, "text"], "name": "?"}


def test_typed_steps_get_their_types(world: World) -> None:
    graph = Graph("g", inputs={"order": {"number": "string"}})
    graph.step("p", "shop.charge", {"order": "order"}).returns("p")
    assert run(world, graph, {"number": "7"}, resources=[Bank()]).value == "p-7"


def test_inputs_are_checked_before_anything_begins(world: World) -> None:
    graph = Graph("g", inputs={"x": int})
    with pytest.raises(amends.PayloadError, match="Expected `int`, got `str`"):
        run(world, graph, "three")
    with pytest.raises(TypeError, match="Missing required argument 'x'"):
        graph()


def test_a_condition_skips_a_node_and_its_value_is_null(world: World) -> None:
    world.book.step("a")
    graph = Graph("g", inputs={"x": int})
    graph.step("one", "a", tag("1"), when="x > 5").step("two", "a", tag("2"), after="one", when="one == null")
    assert run(world, graph.returns("[one, two]"), 3).value == [None, "a:2"]
    assert world.book.done() == ["a:2"]


def test_a_condition_that_is_no_condition_undoes_everything(world: World) -> None:
    world.book.step("a")
    graph = Graph("g", inputs={"x": "any"}).step("one", "a").value("two", 1, when="x", after="one")
    found = run(world, graph, 3)
    assert found.status == "compensated"
    assert found.error is not None
    assert "the condition must be true or false, it is 3" in found.error["message"]
    assert world.book.remaining == []


def test_each_is_done_for_every_item_a_few_at_a_time(world: World) -> None:
    running: list[int] = []
    most = 0

    async def work(call: Call) -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await asyncio.sleep(1 + int(call.tag) % 3)
        running.pop()

    world.book.step("a", work)
    graph = Graph("g", inputs={"xs": list})
    graph.step("all", "a", {"tag": "text(item + index)"}, each="xs", at_once=2).returns("all")
    assert run(world, graph, [5, 6, 7, 8, 9]).value == ["a:5", "a:7", "a:9", "a:11", "a:13"]
    assert most == 2
    most = 0
    world.book.calls.clear()
    free = (
        Graph("h", inputs={"xs": list})
        .step("all", "a", {"tag": "text(item + index)"}, each="xs")
        .returns("all")
    )
    second = World("memory", world.folder)
    assert run(second, free, []).value == []


def test_each_without_a_cap_runs_all_at_once(world: World) -> None:
    world.book.step("a", takes(10))
    graph = Graph("g", inputs={"xs": list}).step("all", "a", {"tag": "text(item)"}, each="xs")
    run(world, graph, [1, 2, 3, 4])
    assert {call.at for call in world.book.of("a")} == {world.book.calls[0].at}


def test_each_needs_a_list(world: World) -> None:
    world.book.step("a")
    found = run(world, Graph("g", inputs={"xs": "any"}).step("all", "a", each="xs"), "no list")
    assert found.error is not None
    assert "`each` needs a list, it is 'no list'" in found.error["message"]


def test_signals_and_timers(world: World) -> None:
    graph = Graph("g").sleep("pause", timedelta(minutes=20)).receive("yes", go, after="pause")
    graph.receive("no", "never", timeout=60, otherwise="'late'").sleep("more", "yes.seconds")
    graph.returns("[yes.seconds, no]")

    async def drive(handle: Any) -> None:
        await handle.send(go, {"seconds": 100})

    assert run(world, graph, drive=drive).value == [100, "late"]
    assert world.virtual.monotonic() > 1299


def test_a_timeout_without_another_value_fails(world: World) -> None:
    found = run(world, Graph("g").receive("no", "never", timeout=60))
    assert found.status == "compensated"
    assert found.error is not None
    assert found.error["type"] == "TimeoutError"


def test_sagas_and_graphs_nest(world: World) -> None:
    a = world.book.step("a")

    @saga(name="inner.code")
    async def code(tag: str) -> str:
        return await a(tag)

    inner = Graph("inner.graph", inputs={"t": str}).step("x", "a", {"tag": "t"}).returns({"r": "x"})
    graph = Graph("g").nest("one", code, tag("1")).nest("two", inner, {"t": "one"})
    graph.nest("many", inner, {"t": "text(item)"}, each="[7, 8]").returns("[two.r, pluck(many, 'r')]")
    assert run(world, graph).value == ["a:a:1", ["a:7", "a:8"]]


def test_a_graph_is_awaited_in_a_saga(world: World) -> None:
    inner = Graph("inner").value("x", 41).returns("x + 1")

    @saga(name="outer")
    async def outer() -> int:
        return int(await inner())

    async def main() -> int:
        async with world.engine(outer) as engine:
            return await engine.run(outer())

    assert world.run(main) == 42


def test_a_step_may_be_a_method_of_an_object_that_the_engine_has(world: World) -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name
            self.undone: list[str] = []

        @step(name="method.act")
        async def act(self, n: int) -> str:
            return f"{self.name}{n}"

        @act.compensation
        async def undo(self, result: str | None, n: int) -> None:
            self.undone.append(f"{self.name}: {result}")

        @saga(name="method.saga")
        async def nested(self) -> str:
            return await self.act(2)

    shop = Shop("corner")
    graph = Graph("g", inputs={"ok": bool}).step("a", "method.act", {"n": 1}).nest("b", "method.saga")
    graph.fail("f", "'no'", when="not ok", after=["a", "b"]).returns("[a, b]")
    assert run(world, graph, True, steps=[shop]).value == ["corner1", "corner2"]
    assert run(World("memory", world.folder), graph, False, steps=[shop]).status == "compensated"
    assert sorted(shop.undone) == ["corner: corner1", "corner: corner2"]


def test_policies_of_a_node(world: World) -> None:
    world.book.step("a", ConnectionError("x"), ConnectionError("x"), OK, retry=Retry(attempts=1))
    world.book.step("slow", takes(100), undo=None)
    graph = Graph("g").step("a", "a", retry=Retry(attempts=3, delay=7, jitter=0, factor=1))
    graph.attempt("b", Block().step("slow", "slow", timeout=5), otherwise=Block().returns("error.message"))
    found = run(world, graph.returns("b"))
    assert found.status == "completed"
    assert [call.at - world.book.calls[0].at for call in world.book.of("a")] == [0, 7, 14]
    assert world.book.of("slow")[0].how == "cancelled"


# ---------------------------------------------------------------- order and parallelism


def test_all_runs_at_once_that_may(world: World) -> None:
    for name, seconds in (("a", 10), ("b", 20), ("c", 5), ("d", 1)):
        world.book.step(name, takes(seconds))
    graph = (
        Graph("g").step("a", "a").step("b", "b").step("c", "c", after="a").step("d", "d", after=["b", "c"])
    )
    run(world, graph)
    begin = world.book.calls[0].at
    assert {c.name: c.at - begin for c in world.book.calls} == {"a": 0, "b": 0, "c": 10, "d": 20}


def undoing(world: World, name: str, seconds: float = 10, **options: Any) -> None:
    world.book.step(name, undo=(takes(seconds),), **options)


def test_dependent_branches_are_undone_in_reverse_and_independent_ones_side_by_side(world: World) -> None:
    for name in ("a1", "a2", "b1", "b2"):
        undoing(world, name)
    world.book.step("bad", Rejected("no"))
    graph = (
        Graph("g").step("a1", "a1").step("a2", "a2", after="a1").step("b1", "b1").step("b2", "b2", after="b1")
    )
    assert run(world, graph.step("bad", "bad", after=["a2", "b2"])).status == "compensated"
    undone = [c for c in world.book.calls if c.direction == "undo"]
    begin = undone[0].at
    assert {c.name: c.at - begin for c in undone} == {"a2": 0, "b2": 0, "a1": 10, "b1": 10}


def test_without_the_dependency_they_are_undone_side_by_side(world: World) -> None:
    """The ablation of the test above: the same steps, all independent."""
    for name in ("a1", "a2"):
        undoing(world, name)
    world.book.step("bad", takes(1), Rejected("no"))
    world.book.step("bad", Rejected("no"))
    graph = Graph("g").step("a1", "a1").step("a2", "a2").step("bad", "bad", after=["a1", "a2"])
    run(world, graph)
    undone = [c for c in world.book.calls if c.direction == "undo"]
    assert {c.at for c in undone} == {undone[0].at}


def test_reading_a_value_is_a_dependency(world: World) -> None:
    world.book.step("a", takes(10))
    graph = Graph("g").step("z", "a", tag("first")).step("b", "a", {"tag": "z"})
    run(world, graph)
    assert world.book.done() == ["a:first", "a:a:first"]


# ---------------------------------------------------------------- failing


def test_a_failure_is_itself_and_several_are_a_group(world: World) -> None:
    world.book.step("bad", Rejected("no"))
    world.book.step("a")
    found = run(world, Graph("g").step("a", "a").step("bad", "bad", after="a"))
    assert found.error is not None
    assert (found.error["type"], "bad rejected: Rejected: no" in found.error["message"]) == (
        "StepFailed",
        True,
    )
    assert world.book.remaining == []


def test_fail_nodes(world: World) -> None:
    world.book.step("a")
    graph = (
        Graph("g", inputs={"x": int})
        .step("a", "a")
        .fail("f", "format('too much: {}', x)", when="x > 3", after="a")
    )
    assert run(world, graph, 1).status == "completed"
    second = World("memory", world.folder)
    second.book = world.book
    found = run(second, graph, 5)
    assert found.error == {"type": "GraphFailed", "message": "too much: 5"}
    assert len(world.book.undone) == 1


def test_a_savepoint_is_undone_and_another_way_is_tried(world: World) -> None:
    for name in ("a", "b", "c", "kept"):
        undoing(world, name)
    world.book.step("bad", Rejected("no", details=None))
    first = Block().step("a", "a").step("b", "b", after="a").step("bad", "bad", after="b").returns("'first'")
    second = Block().step("c", "c").returns("concat('second after ', error.type, ' of ', error.step)")
    graph = (
        Graph("g").step("kept", "kept").attempt("way", first, otherwise=second, after="kept").returns("way")
    )
    found = run(world, graph)
    assert (found.status, found.value) == ("completed", "second after Rejected of bad")
    assert world.book.undone == ["b", "a"]
    assert world.book.remaining == ["c", "kept"]


def test_what_is_wrong_with_the_graph_is_not_tried_another_way(world: World) -> None:
    graph = Graph("g", inputs={"x": "any"}).attempt(
        "t", Block().value("v", "x.a"), otherwise=Block().returns("1")
    )
    found = run(world, graph.returns("t"), {})
    assert (found.status, found.error and found.error["type"]) == ("compensated", "ExpressionError")


def test_inner_nodes_read_outer_ones(world: World) -> None:
    world.book.step("a", takes(5))
    inner = Block().step("in", "a", {"tag": "out"}).returns("in")
    with pytest.raises(amends.GraphError, match="'in' has a meaning of its own"):
        Graph("g").step("out", "a", tag("x")).attempt("t", inner).saga  # noqa: B018
    inner = Block().step("inner", "a", {"tag": "out"}).returns("inner")
    assert run(world, Graph("g").step("out", "a", tag("x")).attempt("t", inner).returns("t")).value == "a:a:x"


def test_after_the_pivot_nothing_is_undone(world: World) -> None:
    world.book.step("a")
    world.book.step("stubborn", ConnectionError("x"), ConnectionError("x"), None)
    graph = Graph("g").step("a", "a").pivot("go", after="a").step("s", "stubborn", after="go")
    assert run(world, graph).status == "completed"
    assert len(world.book.of("stubborn")) == 3
    assert world.book.undone == []


# ---------------------------------------------------------------- another compensation


def test_a_node_can_be_undone_another_way(world: World) -> None:
    undoing(world, "a")
    world.book.step("bad", Rejected("no"))
    said: list[Any] = []

    @step(name="give_back")
    async def give_back(what: str | None, how: str) -> None:
        said.append((what, how, amends.current().direction))

    graph = Graph("g").step(
        "x",
        "a",
        tag("t"),
        undo={"step": give_back, "with": {"what": "result", "how": "concat(tag, outcome)"}},
    )
    graph.step("y", "a", tag("own")).step("z", "a", tag("none"), undo=False).step(
        "bad", "bad", after=["x", "y", "z"]
    )
    assert run(world, graph).status == "compensated"
    assert said == [("a:t", "tsucceeded", "undo")]
    assert world.book.undone == ["a:own"]


def test_an_unknown_outcome_is_undone_the_other_way_too(world: World) -> None:
    undoing(world, "a")
    world.book.step("lost", ConnectionError("after the effect"))
    said: list[Any] = []

    @step(name="give_back")
    def give_back(what: str | None, tag: str) -> None:
        said.append((what, tag))

    graph = Graph("g").step("x", "lost", tag("t"), undo=give_back)
    assert run(world, graph).status == "compensated"
    assert said == [(None, "t")]


def test_its_policies(world: World) -> None:
    world.book.step("a")
    world.book.step("bad", Rejected("no"))

    @step(name="give_back")
    async def give_back(what: str | None) -> None:
        said.append(amends.current().attempt)
        raise ConnectionError("x")

    said: list[int] = []
    undo = {"step": give_back, "retry": Retry(attempts=2, delay=1), "critical": False}
    found = run(world, Graph("g").step("x", "a", undo=undo).step("bad", "bad", after="x"))
    assert (found.status, said) == ("partially_compensated", [1, 2])


def test_it_is_found_again_by_name_in_another_process(world: World) -> None:
    """Promise 8: only names are needed. A new process that loads the graph has them."""
    undoing(world, "a")
    world.book.step("bad", takes(10), Rejected("no"))

    @step(name="give_back")
    async def give_back(what: str | None) -> None:
        said.append(what)

    said: list[str | None] = []
    graph = Graph("g").step("x", "a", undo=give_back).step("bad", "bad", after="x")
    text = graph.to_json()

    async def main() -> str:
        async with world.engine(graph.saga) as engine:
            await engine.start(graph(), id="one")
            await world.book.begun("bad")
            await world.crash(engine)
        forget(graph.saga, *[s for name, s in REGISTRY.steps.items() if name.startswith("g@")])
        world.book.step("bad", Rejected("no"))
        again = Graph.from_json(text)
        async with world.engine(again.saga) as engine:
            return (await world.ended(engine.handle(again.saga, "one"))).status

    assert world.run(main) == "compensated"
    assert said == ["a:"]


# ---------------------------------------------------------------- changing a graph that runs


def changed(world: World, old: Graph, new: Graph, *, keep: bool) -> amends.Status:
    """Start with the old graph, kill the worker while `slow` runs, and go on with the new one."""

    async def main() -> amends.Status:
        async with world.engine(old.saga) as engine:
            await engine.start(old(), id="one")
            await world.book.begun("slow")
            await world.crash(engine)
        if not keep and old.version != new.version:
            forget(old.saga)
        sagas = [old.saga, new.saga] if keep else [new.saga]
        async with world.engine(*sagas) as engine:
            return await world.reaches(engine.handle(new.saga, "one"), "attention", "completed")

    return world.run(main)


def pair(world: World, version: str | None) -> tuple[Graph, Graph]:
    world.book.step("slow", takes(10))
    world.book.step("other", takes(10))
    old = Graph("g", version=version).step("a", "slow")
    return old, Graph("g", version=version).step("a", "other")


def test_another_graph_under_the_same_version_diverges_and_says_so(world: World) -> None:
    old, new = pair(world, "1")
    old.saga  # noqa: B018
    status = changed(world, old, new, keep=False)
    assert (status.status, status.cause) == ("attention", "divergence")
    assert "slow" in str(status.items)
    assert "other" in str(status.items)


def test_without_a_version_another_graph_is_another_version(world: World) -> None:
    old, new = pair(world, None)
    assert old.version != new.version
    status = changed(world, old, new, keep=False)
    assert (status.status, status.cause) == ("attention", "missing_definition")


def test_the_old_version_can_stay_registered(world: World) -> None:
    old, new = pair(world, None)
    assert changed(world, old, new, keep=True).status == "completed"


def test_the_order_of_fields_is_no_change(world: World) -> None:
    one = Graph("g").value("a", 1).value("b", {"x": 1, "y": 2})
    other = Graph("g").value("b", {"y": 2, "x": 1}).value("a", 1)
    assert one == other
    assert one.version == other.version
    assert one.version != Graph("g").value("a", 2).version
    assert Graph("g", title="a").version == Graph("g", title="b").version


def test_an_engine_takes_a_graph_as_it_is(world: World) -> None:
    graph = Graph("g").value("a", 1).returns("a")

    async def main() -> Any:
        async with world.engine(graph) as engine:
            return await engine.run(graph())

    assert world.run(main) == 1
