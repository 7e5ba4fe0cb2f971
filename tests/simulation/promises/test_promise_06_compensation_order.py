"""Promise 6: A precedes B iff A's outcome stands in a row not after the row of B's command; then B is undone first."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amends
from amends import Rejected, Retry, StepFailed, saga
from amends.kernel import entries as e

from .book import OK, ONCE, Book, Call, hang
from .world import World


async def undo_slowly(call: Call) -> None:
    await asyncio.sleep(10)


def takes(seconds: float) -> Any:
    async def work(call: Call) -> None:
        await asyncio.sleep(seconds)

    return work


def precedence(rows: list[Any]) -> set[tuple[str, str]]:
    """The pairs (A, B) of action ids in which A precedes B: the promise's own sentence, on the journal."""
    ends: dict[str, int] = {}
    starts: dict[str, int] = {}
    for row in rows:
        for event in e.decode_events(row.events):
            if isinstance(event, (e.Completed, e.Failed, e.ChildEnded)) and not getattr(event, "hold", ""):
                ends.setdefault(event.id, row.position)
        for command in e.decode_commands(row.commands):
            if isinstance(command, (e.RunStep, e.StartChild)):
                starts[command.id] = row.position
            if isinstance(command, e.Backward):
                for id in starts:
                    ends.setdefault(id, row.position)
    return {(a, b) for a, end in ends.items() for b, start in starts.items() if a != b and end <= start}


def check(book: Book, rows: list[Any]) -> None:
    """In the participants' book: A's compensation began after B's had ended (or had given up for good)."""
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}
    for call in book.calls:
        if call.direction == "undo":
            begins.setdefault(call.action, call.began)
            assert call.ended is not None
            ends[call.action] = max(ends.get(call.action, 0), call.ended)
    for a, b in precedence(rows):
        if a in begins and b in begins:
            assert ends[b] < begins[a], f"{a} precedes {b}, and was not undone after it: {book.calls}"


def finish(world: World, definition: Any, *, status: str = "compensated") -> list[Any]:
    async def main() -> list[Any]:
        async with world.engine(definition) as engine:
            result = await (await engine.start(definition(), id="one")).outcome()
            assert result.status == status, result
            return await world.rows("one")

    rows = world.run(main)
    check(world.book, rows)
    world.book.audit()
    return rows


def test_in_sequence_the_last_is_undone_first(world: World) -> None:
    a, b, c = (world.book.step(name, undo=(undo_slowly,)) for name in "abc")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        await b()
        await c()
        return await bad()

    finish(world, shop)

    assert world.book.undone == ["c", "b", "a"]


def test_what_ran_in_parallel_may_be_undone_in_parallel(world: World) -> None:
    a, b, c, d = (world.book.step(name, takes(5), undo=(undo_slowly,)) for name in "abcd")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        await asyncio.gather(b(), c())
        await d()
        return await bad()

    finish(world, shop)

    undo_b, undo_c = world.book.of("b", "undo")[0], world.book.of("c", "undo")[0]
    assert undo_b.ended is not None
    assert undo_c.ended is not None
    assert undo_b.began < undo_c.ended
    assert undo_c.began < undo_b.ended
    assert world.book.undone[0] == "d"
    assert world.book.undone[-1] == "a"


def test_an_overlap_orders_only_what_follows_one_another(world: World) -> None:
    """long runs beside first and second; it precedes neither, and is preceded by neither."""
    first, second = (world.book.step(n, takes(5), undo=(undo_slowly,)) for n in ("first", "second"))
    long = world.book.step("long", takes(60), undo=(undo_slowly,))
    bad = world.book.step("bad", Rejected("no"))

    async def both() -> None:
        await first()
        await second()

    @saga(name="promise6")
    async def shop() -> str:
        await asyncio.gather(long(), both())
        return await bad()

    finish(world, shop)

    undo = {c.name: c for c in world.book.calls if c.direction == "undo"}
    assert undo["second"].ended is not None
    assert undo["first"].began > undo["second"].ended
    assert undo["long"].began < undo["second"].ended, "long need not wait for second"


def test_a_parked_compensation_holds_nobody_back_and_is_not_forgotten(world: World) -> None:
    a, b = (
        world.book.step("a"),
        world.book.step("b", undo=(ValueError("no"), OK), undo_options={"retry": ONCE}),
    )
    c = world.book.step("c")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        await b()
        await c()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await world.book.until(lambda: "a" in world.book.undone)
            assert world.book.undone == ["c", "a"]
            await handle.retry()
            assert (await world.ended(handle)).status == "compensated"

    world.run(main)
    assert world.book.undone == ["c", "a", "b"]


def test_a_compensation_that_is_tried_again_still_holds_back_what_came_before(world: World) -> None:
    patient = {"retry": Retry(attempts=5, delay=30)}
    a, b = (
        world.book.step("a"),
        world.book.step("b", undo=(*[ValueError("no")] * 3, OK), undo_options=patient),
    )
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        await b()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert (await (await engine.start(shop(), id="one")).outcome()).status == "compensated"

    world.run(main)
    assert world.book.undone == ["b", "a"]
    assert world.book.of("a", "undo")[0].began > (world.book.of("b", "undo")[-1].ended or 0)


def test_an_unknown_outcome_has_its_place_in_the_order(world: World) -> None:
    a, b = (
        world.book.step("a", undo=(undo_slowly,)),
        world.book.step("b", ValueError("?"), undo=(undo_slowly,)),
    )

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        return await b()

    finish(world, shop)
    assert world.book.undone == ["b", "a"]


def test_ad_hoc_compensations_have_their_place_too(world: World) -> None:
    a, b, bad = world.book.step("a"), world.book.step("b"), world.book.step("bad", Rejected("no"))
    note = world.book.step("note", undo=None)

    @saga(name="promise6")
    async def shop() -> str:
        amends.undo_with(note, "first")
        await a()
        amends.undo_with(note, "second")
        amends.undo_with(note, "third")
        await b()
        amends.undo_with(note, "fourth")
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert (await (await engine.start(shop(), id="one")).outcome()).status == "compensated"

    world.run(main)

    ended = sorted(
        (c.ended or 0, c.tag or c.name) for c in world.book.calls if c.name == "note" or c.direction == "undo"
    )
    assert [name for _, name in ended] == ["fourth", "b", "third", "second", "a", "first"]


def test_a_nested_saga_is_undone_in_its_place_and_in_its_own_order(world: World) -> None:
    a, b, c, d = (world.book.step(name, undo=(undo_slowly,)) for name in "abcd")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6.child")
    async def child() -> None:
        await b()
        await c()

    @saga(name="promise6")
    async def shop() -> str:
        await a()
        await child()
        await d()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert (await (await engine.start(shop(), id="one")).outcome()).status == "compensated"

    world.run(main)
    assert world.book.undone == ["d", "c", "b", "a"]
    world.book.audit()


# ---------------------------------------------------------------- savepoints


def test_a_savepoint_undoes_its_own_and_nothing_else(world: World) -> None:
    before, inside, after = (world.book.step(n) for n in ("before", "inside", "after"))
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        await before()
        try:
            async with amends.savepoint():
                await inside()
                await bad()
        except StepFailed:
            return await after()
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "after:"

    world.run(main)
    assert world.book.undone == ["inside"]
    assert world.book.remaining == ["after", "before"]


def test_a_savepoint_owns_the_tasks_created_inside_it_and_only_those(world: World) -> None:
    """A task created outside keeps working for the outside, though it runs while the savepoint is open."""
    outside, inside, slow = (
        world.book.step("outside", takes(20)),
        world.book.step("inside"),
        world.book.step("slow", hang),
    )
    bad = world.book.step("bad", Rejected("no"))

    async def work_inside() -> None:
        await inside("task")
        await slow("task")

    @saga(name="promise6")
    async def shop() -> str:
        task = asyncio.create_task(outside())
        try:
            async with amends.savepoint():
                asyncio.create_task(work_inside())  # noqa: RUF006 - left to the savepoint on purpose
                await inside("body")
                await asyncio.sleep(5)
                await bad()
        except StepFailed:
            pass
        return await task

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "outside:"

    world.run(main)
    assert sorted(world.book.undone) == ["inside:body", "inside:task", "slow:task"]
    assert world.book.remaining == ["outside"]
    world.book.audit()


def test_savepoints_nest(world: World) -> None:
    a, b, c, d = (world.book.step(name) for name in "abcd")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> list[str]:
        seen = []
        try:
            async with amends.savepoint():
                await a()
                try:
                    async with amends.savepoint():
                        await b()
                        await bad()
                except StepFailed:
                    seen.append("inner")
                async with amends.savepoint():
                    await c()
                await bad()
        except StepFailed:
            seen.append("outer")
        await d()
        return seen

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == ["inner", "outer"]

    world.run(main)
    assert world.book.undone == ["b", "c", "a"]
    assert world.book.remaining == ["d"]


def test_a_savepoint_left_well_stays_part_of_what_is_around_it(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6")
    async def shop() -> str:
        async with amends.savepoint():
            await a()
        await b()
        return await bad()

    finish(world, shop)
    assert world.book.undone == ["b", "a"]


def test_a_savepoint_undoes_a_nested_saga_that_completed_inside(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise6.child")
    async def child() -> str:
        return await a()

    @saga(name="promise6")
    async def shop() -> str:
        try:
            async with amends.savepoint():
                await child()
                await bad()
        except StepFailed:
            return await b()
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "b:"
            assert (await world.header("one~2")).status == "compensated"

    world.run(main)
    assert world.book.undone == ["a"]
    assert world.book.remaining == ["b"]


# ---------------------------------------------------------------- random shapes, against the sentence

Shape = Any
leaf = st.tuples(st.just("step"), st.integers(0, 3), st.sampled_from([0, 0, 0, 5]))
shapes = st.recursive(
    leaf,
    lambda inner: st.tuples(
        st.sampled_from(["sequence", "parallel", "savepoint", "child"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=40)
@given(shape=shapes)
def test_random_shapes_are_undone_in_the_order_of_the_sentence(kind: str, shape: Shape) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(kind, Path(folder))
        bad = world.book.step("bad", Rejected("no"))
        steps: dict[tuple[int, int], Any] = {
            (work, undo): world.book.step(f"step{work}_{undo}", takes(work), undo=(takes(undo),))
            for work in range(4)
            for undo in (0, 5)
        }

        async def walk(node: Shape, tag: str) -> None:
            match node:
                case ("step", work, undo):
                    await steps[work, undo](tag)
                case ("sequence", inner):
                    for number, item in enumerate(inner):
                        await walk(item, f"{tag}.{number}")
                case ("parallel", inner):
                    await asyncio.gather(*(walk(item, f"{tag}.{n}") for n, item in enumerate(inner)))
                case ("savepoint", inner):
                    async with amends.savepoint():
                        await walk(("sequence", inner), tag)
                case ("child", inner):
                    await child(inner, tag)

        @saga(name="promise6.child")
        async def child(inner: Any, tag: str) -> None:
            await walk(("sequence", inner), f"{tag}c")

        @saga(name="promise6")
        async def shop() -> str:
            await walk(shape, "s")
            return await bad()

        async def main() -> dict[str, list[Any]]:
            async with world.engine(shop) as engine:
                result = await (await engine.start(shop(), id="one")).outcome()
                assert result.status == "compensated"
                return {s.uid: await world.rows(s.id) for s in await engine.list(limit=1000)}

        journals = world.run(main)
        world.book.audit()
        assert world.book.remaining == []
        for uid, rows in journals.items():
            part = Book(world.book.now)
            part.calls = [c for c in world.book.calls if c.uid == uid]
            check(part, rows)
