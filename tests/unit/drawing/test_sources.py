"""What stands in the pictures of graphs, of sagas in code, and of executions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import amends
from amends import DefinitionError, Graph, GraphError, Rejected, Retry, Saga, Signal, StepFailed, saga, step
from amends.definition.registry import REGISTRY
from amends.dialects.graph import Block
from amends.drawing import FORMATS, Diagram, State, draw_execution, draw_graph, draw_saga, render
from amends.drawing.story import lasted
from tests.simulation.promises.world import World

from .grammars import check_dot, check_mermaid


@pytest.fixture(autouse=True)
def _definitions() -> Iterator[None]:
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    yield
    REGISTRY.steps.clear()
    REGISTRY.steps.update(steps)
    REGISTRY.sagas.clear()
    REGISTRY.sagas.update(sagas)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World("memory", tmp_path)


def edges(diagram: Diagram) -> set[tuple[str, str]]:
    """Edges by the labels of their ends."""
    names = {part.id: part.label for part in (*diagram.nodes, *diagram.clusters)}
    found = set()
    for edge in diagram.edges:
        arrow = {"flow": "", "error": "!", "undo": "~"}[edge.kind]
        found.add((names[edge.source], f"{arrow}{edge.label + ':' * bool(edge.label)}{names[edge.target]}"))
    return found


def inside(diagram: Diagram) -> dict[str, list[str]]:
    """What stands in each cluster, by labels."""
    found: dict[str, list[str]] = {}
    for cluster in diagram.clusters:
        nodes = [n.label for n in diagram.nodes if n.cluster == cluster.id and n.kind != "undo"]
        found[cluster.label] = sorted(nodes + [c.label for c in diagram.clusters if c.parent == cluster.id])
    return found


def in_all_formats(diagram: Diagram) -> None:
    for name in FORMATS:
        assert render(diagram, name)
    check_mermaid(render(diagram, "mermaid"))
    check_dot(render(diagram, "dot"))


@step(name="draw.charge")
async def charge(cents: int) -> str:
    return "p"


@charge.compensation
async def refund(payment: str | None, cents: int) -> None:
    return None


@step(name="draw.mail", irreversible=True)
async def mail(to: str) -> None:
    return None


approved = Signal[bool]("approved")

# ---------------------------------------------------------------- graphs


def test_a_graph() -> None:
    inner = Graph("draw.inner").step("deep", charge, {"cents": 1})
    graph = Graph("draw.order", inputs={"cents": int, "xs": list}, title="An order")
    graph.step("pay", charge, {"cents": "cents"}).step(
        "each", charge, {"cents": "item"}, each="xs", at_once=3, after="pay"
    )
    graph.receive("yes", approved, timeout=60, when="cents > 100", after="pay").fail(
        "no", "'no'", when="yes == false"
    )
    graph.nest("gift", inner, after="each").sleep("rest", 5, after=["no", "pay", "each"])
    graph.attempt(
        "way", Block().step("a", mail, {"to": "'x'"}), otherwise=Block().value("v", 1), after="rest"
    )
    graph.pivot("go", after=["way", "gift"])
    diagram = draw_graph(graph)
    in_all_formats(diagram)
    assert edges(diagram) == {
        ("start (cents, xs)", "pay"), ("pay", "~refund"), ("pay", "each"), ("each", "~refund"), ("pay", "yes"), ("yes", "no"),
        ("each", "saga gift · draw.inner"), ("deep", "~refund"), ("no", "rest"), ("each", "rest"),
        ("rest", "savepoint way"), ("try", "!undone:otherwise"), ("savepoint way", "go"), ("saga gift · draw.inner", "go"),
        ("go", "end"),
    }  # fmt: skip
    assert inside(diagram) == {
        "saga gift · draw.inner": ["deep"], "savepoint way": ["otherwise", "try"], "try": ["a"], "otherwise": ["v"]
    }  # fmt: skip
    notes = {node.label: node.notes for node in diagram.nodes}
    assert notes["each"] == ("draw.charge", "for each of xs, 3 at once")
    assert notes["yes"] == ("signal approved", "within 60 s", "if cents > 100")
    assert notes["a"] == ("draw.mail", "irreversible")
    assert {n.label: n.kind for n in diagram.nodes}["go"] == "pivot"


def test_the_saga_of_a_graph_is_drawn_as_the_graph() -> None:
    graph = Graph("draw.as_saga").step("x", charge, {"cents": 1})
    assert draw_saga(graph.saga) == draw_graph(graph)


def test_a_graph_with_problems_is_not_drawn() -> None:
    with pytest.raises(GraphError, match="no step named"):
        draw_graph(Graph("draw.bad").step("a", "draw.nothing"))
    in_all_formats(draw_graph(Graph("draw.empty")))


# ---------------------------------------------------------------- code


async def helper(cents: int) -> str:
    return await charge(cents)


@saga(name="draw.nested")
async def nested(cents: int) -> str:
    while cents:
        await charge(cents)
    return "x"


@saga(name="draw.recursive")
async def recursive(n: int) -> int:
    if n:
        await recursive(n - 1)
    return n


@saga(name="draw.everything", version="2")
async def everything(cents: int, xs: list[int]) -> str | None:
    payment = await charge(cents).options(timeout=3)
    if cents > 100:
        await approved.receive(timeout=timedelta(days=1))
    elif cents < 0:
        raise ValueError("negative")
    if not payment:
        print("nothing durable here")
    async with asyncio.TaskGroup() as group:
        one = group.create_task(charge(1))
        group.create_task(mail("x"))
        await asyncio.sleep(1)
    for x in xs:
        await charge(x)
    await asyncio.gather(*[charge(x) for x in xs], mail("y"))
    try:
        async with amends.savepoint(), asyncio.timeout(9):
            await mail("z")
    except StepFailed:
        await charge(2)
    except TimeoutError:
        return None
    await nested(cents)
    await amends.pivot()
    await helper(one.result() and 1)
    match payment:
        case "p":
            await mail("p")
        case _:
            pass
    amends.undo_with(charge, 5)
    value = await charge(7) if xs else await charge(8)
    if value:
        await amends.continue_as_new(cents, xs)
    return value


def test_code() -> None:
    diagram = draw_saga(everything)
    in_all_formats(diagram)
    assert diagram.caption == "saga draw.everything, version 2"
    found = edges(diagram)
    assert {
        ("start (cents, xs)", "charge"), ("charge", "~refund"), ("charge", "cents > 100"), ("cents > 100", "yes:approved"),
        ("cents > 100", "no:cents < 0"), ("cents < 0", "yes:raise ValueError('negative')"), ("approved", "at once"),
        ("cents < 0", "no:at once"), ("at once", "for x in xs"), ("for x in xs", "at once"), ("at once", "try"),
        ("try", "!fails:except StepFailed"), ("try", "!fails:except TimeoutError"), ("except StepFailed", "saga nested"),
        ("try", "saga nested"), ("saga nested", "pivot"), ("pivot", "helper"), ("helper", "match payment"),
        ("match payment", "'p':mail"), ("match payment", "_:registers charge, 5"), ("mail", "registers charge, 5"),
        ("registers charge, 5", "xs"), ("xs", "yes:charge"), ("xs", "no:charge"), ("charge", "value"),
        ("value", "yes:continue as new"), ("value", "no:end"),
    } <= found  # fmt: skip
    assert not any("not payment" in part for pair in found for part in pair), (
        "no branch without anything durable"
    )
    assert ("except TimeoutError", "saga nested") not in found
    assert ("raise ValueError('negative')", "at once") not in found
    boxes = inside(diagram)
    assert boxes["helper"] == ["charge"]
    assert boxes["saga nested"] == ["while cents"]
    assert boxes["try"] == ["savepoint"]
    assert boxes["savepoint"] == ["within 9 s"]
    at_once = [box for box in diagram.clusters if box.label == "at once"]
    names = [sorted(n.label for n in diagram.nodes if n.cluster == box.id) for box in at_once]
    assert ["charge", "mail", "refund", "sleep 1"] in names


def test_a_saga_that_calls_itself_is_drawn_once() -> None:
    diagram = draw_saga(recursive)
    assert [(n.label, n.kind) for n in diagram.nodes if n.kind == "saga"] == [("recursive", "saga")]


class Shop:
    @step(name="draw.method")
    async def act(self) -> None:
        return None

    @saga(name="draw.of_a_class")
    async def run(self) -> None:
        await self.act()


def test_methods_are_found() -> None:
    for given in (Shop.run, Shop().run):
        assert [n.label for n in draw_saga(given).nodes if n.kind == "step"] == ["act"]


def test_code_without_source_says_so() -> None:
    space: dict[str, Any] = {}
    exec("async def hidden(): pass", space)
    with pytest.raises(DefinitionError, match="cannot be read"):
        draw_saga(Saga(space["hidden"], "draw.hidden"))


# ---------------------------------------------------------------- executions


def play(
    world: World, given: Any, *args: Any, until: str = "", drive: Any = None, definition: Any = None
) -> Diagram:
    """Run to the end (or until a status), and draw."""

    async def main() -> Diagram:
        async with world.engine(getattr(given, "saga", given)) as engine:
            handle = await engine.start(given(*args), id="one")
            if drive is not None:
                await drive(handle)
            elif until:
                await world.reaches(handle, until)
            else:
                await world.ended(handle)
            return draw_execution(await handle.history(), await handle.status(), definition)

    return world.run(main)


def takes(seconds: float) -> Any:
    async def work(call: Any) -> None:
        await asyncio.sleep(seconds)

    return work


def states(diagram: Diagram) -> dict[str, State]:
    return {node.label: node.state for node in diagram.nodes}


def line(world: World) -> Saga[..., Any]:
    a = world.book.step("a", takes(2), undo=(takes(3),))
    b, c = world.book.step("b", takes(1)), world.book.step("c", takes(1))
    bad = world.book.step("bad", Rejected("sold out"))

    @saga(name="draw.line")
    async def shop() -> None:
        await a()
        await asyncio.gather(b(), c())
        await bad()

    return shop


def test_an_execution_by_what_came_before_what(world: World) -> None:
    diagram = play(world, line(world))
    in_all_formats(diagram)
    assert diagram.caption.startswith("draw.line · compensated (failed · StepFailed")
    assert {
        ("start", "a"),
        ("a", "b"),
        ("a", "c"),
        ("b", "bad"),
        ("c", "bad"),
        ("bad", "compensated"),
    } <= edges(diagram)
    assert states(diagram) == {
        "start": State.NONE, "a": State.DONE, "b": State.DONE, "c": State.DONE, "bad": State.FAILED,
        "undo 1": State.UNDONE, "undo 2": State.UNDONE, "undo 3": State.UNDONE, "compensated": State.UNDONE,
    }  # fmt: skip
    notes = {node.label: node.notes for node in diagram.nodes}
    assert notes["a"] == ("2.0 s",)
    assert notes["bad"][-1] == "rejected: Rejected: sold out"
    assert ("a", "~undo 3") in edges(diagram), "what came first was undone last"


def test_many_alike_are_one_node(world: World) -> None:
    a, z = world.book.step("a"), world.book.step("z")

    @saga(name="draw.many")
    async def many() -> None:
        await asyncio.gather(*(a(str(n)) for n in range(30)))
        await asyncio.gather(*(z(str(n)) for n in range(5)))

    diagram = play(world, many)
    assert {("start", "a (x 30)"), ("a (x 30)", "z"), ("z", "completed")} <= edges(diagram)
    assert sum(node.label == "z" for node in diagram.nodes) == 5


def test_groups_that_follow_each_other_are_joined(world: World) -> None:
    steps = [world.book.step(name, takes(1)) for name in "abcd"]

    @saga(name="draw.groups")
    async def groups() -> None:
        await asyncio.gather(steps[0](), steps[1]())
        await asyncio.gather(steps[2](), steps[3]())

    diagram = play(world, groups)
    joins = [node for node in diagram.nodes if node.kind == "join"]
    assert len(joins) == 1
    assert len([edge for edge in diagram.edges if joins[0].id in (edge.source, edge.target)]) == 4


def test_what_is_open(world: World) -> None:
    slow = world.book.step("slow", takes(1000))
    flaky = world.book.step(
        "flaky", ConnectionError("down"), None, retry=Retry(attempts=2, delay=500, jitter=0)
    )

    @saga(name="draw.open")
    async def open_() -> None:
        await asyncio.gather(slow(), flaky(), asyncio.sleep(2000), approved.receive())

    async def drive(handle: Any) -> None:
        await world.passes(5)

    diagram = play(world, open_, drive=drive)
    found = {node.label: (node.state, node.notes) for node in diagram.nodes}
    assert found["slow"] == (State.RUNNING, ())
    assert found["flaky"][0] is State.RUNNING
    assert found["flaky"][1][0] == "attempt 1: ConnectionError: down"
    assert found["flaky"][1][1].startswith("next at ")
    assert found["approved"] == (State.WAITING, ())
    assert found["sleep 33 min"][0] is State.WAITING
    assert found["running"] == (State.RUNNING, ())


def test_what_is_parked(world: World) -> None:
    a = world.book.step("a", undo=(ConnectionError("no"),), undo_options={"retry": Retry(attempts=1)})
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="draw.parked")
    async def parked() -> None:
        await a()
        await bad()

    found = states(play(world, parked, until="attention"))
    assert (found["undo 1"], found["attention"]) == (State.PARKED, State.PARKED)


def test_signals_pivots_children_and_timers(world: World) -> None:
    a = world.book.step("a")

    @saga(name="draw.child")
    async def child() -> None:
        await a()

    @saga(name="draw.parent")
    async def parent() -> None:
        await approved.receive(timeout=60)
        await asyncio.sleep(2)
        await child()
        await amends.pivot()

    async def drive(handle: Any) -> None:
        await handle.send(approved, True)
        await world.ended(handle)

    found = {node.label: (node.kind, node.state) for node in play(world, parent, drive=drive).nodes}
    assert found == {
        "start": ("start", State.NONE), "approved": ("signal", State.DONE), "sleep 2.0 s": ("timer", State.DONE),
        "draw.child": ("saga", State.DONE), "pivot": ("pivot", State.DONE), "completed": ("end", State.DONE),
    }  # fmt: skip


def test_an_execution_on_its_graph(world: World) -> None:
    for name in ("a", "b", "c"):
        world.book.step(name, undo=(takes(1),))
    world.book.step("bad", Rejected("no"))
    inner = Graph("draw.deep").step("deep", "c")
    graph = (
        Graph("draw.order", inputs={"xs": list})
        .step("z_first", "a")
        .step("skipped", "a", when="len(xs) > 9", after="z_first")
    )
    graph.step("each", "b", {"tag": "item"}, each="xs", after="z_first").nest("nest", inner, after="z_first")
    first = Block().step("try1", "c").step("try2", "bad", after="try1")
    graph.attempt("way", first, otherwise=Block().step("other", "c"), after=["each", "nest"]).step(
        "never", "a", after="last"
    )
    graph.step("last", "bad", after="way")
    diagram = play(world, graph, ["x", "y"], definition=graph)
    in_all_formats(diagram)
    found = states(diagram)
    assert {label: found[label] for label in ("z_first", "skipped", "each", "try1", "try2", "other", "last", "never")} == {
        "z_first": State.DONE, "skipped": State.SKIPPED, "each": State.DONE, "try1": State.DONE, "try2": State.FAILED,
        "other": State.DONE, "last": State.FAILED, "never": State.SKIPPED,
    }  # fmt: skip
    undone = {
        n.id.removesuffix("/undo") for n in diagram.nodes if n.kind == "undo" and n.state is State.UNDONE
    }
    assert undone == {"z_first", "each", "way/try/try1", "way/otherwise/other"}
    assert {box.label: box.state for box in diagram.clusters}["saga nest · draw.deep"] is State.UNDONE
    each = next(node for node in diagram.nodes if node.label == "each")
    assert each.notes[-1] == "2 done"
    assert (
        states(play(World("memory", world.folder), Graph("draw.v").value("v", 1), definition=None))[
            "completed"
        ]
        is State.DONE
    )


def test_the_saga_of_a_graph_is_as_good_as_the_graph(world: World) -> None:
    world.book.step("a")
    graph = Graph("draw.order").step("x", "a")

    async def main() -> list[Diagram]:
        async with world.engine(graph) as engine:
            handle = await engine.start(graph(), id="one")
            await handle.result()
            history, status = await handle.history(), await handle.status()
            return [draw_execution(history, status, given) for given in (graph, graph.saga, None)]

    one, same, other = world.run(main)
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.012, "12 ms"),
        (3.21, "3.2 s"),
        (59.96, "1 min"),
        (754, "13 min"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert lasted(seconds) == text
