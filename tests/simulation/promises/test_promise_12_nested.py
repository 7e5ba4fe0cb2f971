"""Promise 12: parent and child talk through durable rows; a completed child stays compensable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends import Compensated, Rejected, Retry, Signal, saga

from .book import OK, ONCE, hang
from .world import World, forget

go = Signal[str]("go")
MONTH = 30 * 24 * 3600.0


class Family:
    """A child that does `x` then `y`, and a parent that does `a`, the child, `b`, and waits; then `last`."""

    def __init__(self, world: World, *, last: Any = OK, y: Any = OK, **options: Any) -> None:
        book = world.book
        a, b, x = book.step("a"), book.step("b"), book.step("x")
        ending, inner = book.step("last", last, undo=None), book.step("y", y, **options)

        @saga(name="promise12.child")
        async def child(tag: str) -> str:
            await x(tag)
            return await inner(tag)

        @saga(name="promise12")
        async def parent() -> str:
            await a()
            made = await child("c")
            await b()
            await go.receive()
            await ending()
            return made

        self.child, self.parent = child, parent
        self.both = (parent, child)


def test_a_child_is_an_execution_of_its_own(world: World) -> None:
    family = Family(world)

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            handle = await engine.start(family.parent(), id="one")
            await world.book.until(lambda: "b" in world.book.done())
            (header,) = [s for s in await engine.list() if s.saga == "promise12.child"]
            assert header.status == "completed"
            assert header.parent == (await handle.status()).uid
            assert header.id.startswith("one")
            await handle.send(go, "")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "y:c")
    assert world.book.remaining == ["a", "b", "last", "x:c", "y:c"]
    world.book.audit()


@pytest.mark.parametrize("deploy", ["same code", "child's code is gone", "all sagas are gone"])
def test_a_completed_child_is_undone_with_its_parent(world: World, deploy: str) -> None:
    """Weeks later, after a deploy, from the journals alone, and in its place in the order."""
    family = Family(world, last=Rejected("no"))

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            await engine.start(family.parent(), id="one")
            await world.book.until(lambda: "b" in world.book.done())
        await asyncio.sleep(MONTH)
        if deploy != "same code":
            forget(family.child)
        served = [family.parent] if deploy == "child's code is gone" else []
        if deploy == "same code":
            served = list(family.both)
        if deploy == "all sagas are gone":
            forget(family.parent)
        async with world.engine(*served) as engine:
            handle = engine.handle(family.parent, "one")
            if deploy == "same code":
                await handle.send(go, "")
            else:
                await handle.cancel("no longer wanted")
            return await world.ended(handle)

    assert world.run_for(2 * MONTH, main).status == "compensated"
    assert world.book.undone == ["b", "y:c", "x:c", "a"]
    assert [n for n in world.book.remaining if n != "last"] == []
    world.book.audit()


def test_a_child_that_compensated_raises_compensated_in_its_parent(world: World) -> None:
    heard: list[Any] = []
    family = Family(world, y=Rejected("sold out"))
    other = world.book.step("other")

    @saga(name="promise12.catching")
    async def catching() -> str:
        try:
            return await family.child("c")
        except Compensated as error:
            heard.append((error.cause, error.error, error.residue))
            assert world.book.undone == ["x:c"], "all is undone before the parent hears of it"
            return await other()

    async def main() -> amends.Result[str]:
        async with world.engine(catching, family.child) as engine:
            return await (await engine.start(catching(), id="one")).outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "other:")
    cause, error, residue = heard[0]
    assert cause == "failed"
    assert "sold out" in str(error)
    assert residue == []


def test_a_child_that_compensated_fails_a_parent_that_does_not_catch_it(world: World) -> None:
    family = Family(world, y=Rejected("sold out"))

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            return await (await engine.start(family.parent(), id="one")).outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert world.book.undone == ["x:c", "a"]


def test_the_residue_of_a_child_is_its_parents(world: World) -> None:
    family = Family(
        world,
        y=ValueError("?"),
        undo=(ValueError("cannot"),),
        undo_options={"retry": ONCE, "critical": False},
    )

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            return await (await engine.start(family.parent(), id="one")).outcome()

    result = world.run(main)

    assert result.status == "partially_compensated"
    assert [r["step"] for r in result.residue] == ["y"]


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve", "terminate"])
def test_a_child_in_attention_holds_its_parent(world: World, answer: str) -> None:
    family = Family(world, y=ValueError("?"), undo=(ValueError("cannot"), OK), undo_options={"retry": ONCE})

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            handle = await engine.start(family.parent(), id="one")
            while not (found := await engine.list(status="attention")):
                await asyncio.sleep(1)
            await asyncio.sleep(100)
            assert [s.saga for s in found] == ["promise12.child"]
            assert [s.status for s in await engine.list(saga="promise12")] == ["running"], "held, not told"
            status = await handle.status()
            assert (status.status, status.items[0]["execution"]) == ("attention", found[0].id)
            assert "a" not in world.book.undone
            child = engine.handle(family.child, found[0].id)
            if answer == "retry":
                await child.retry(reason="the bank is back")
            elif answer == "resolve":
                await child.resolve(reason="by phone")
            else:
                await getattr(child, answer)("nothing can be done")
            return await world.ended(handle)

    result = world.run(main)

    whole = answer in ("retry", "resolve")
    assert result.status == ("compensated" if whole else "partially_compensated")
    assert "a" in world.book.undone
    assert ("x:c" in world.book.undone) == (answer != "terminate")


@pytest.mark.parametrize("when", ["child runs", "child completed"])
def test_a_cancel_reaches_the_child(world: World, when: str) -> None:
    family = Family(world, y=hang if when == "child runs" else OK)

    async def main() -> amends.Result[str]:
        async with world.engine(*family.both) as engine:
            handle = await engine.start(family.parent(), id="one")
            await world.book.begun("y" if when == "child runs" else "b")
            await asyncio.sleep(1)
            await handle.cancel("changed my mind")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.undone == (["y:c", "x:c", "a"] if when == "child runs" else ["b", "y:c", "x:c", "a"])
    world.book.audit()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("last", [OK, Rejected("no")], ids=["completes", "compensates"])
def test_no_message_between_them_is_lost_by_a_crash(world: World, last: Any, number: int, when: str) -> None:
    family = Family(world, last=last)

    async def main() -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, when, "crash")
        engine = world.build(*family.both, wire=wire)
        await engine.__aenter__()

        async def begin(engine: Any) -> Any:
            handle = await engine.start(family.parent(), id="one")
            await handle.send(go, "", key="once")
            return handle

        task = asyncio.create_task(begin(engine))
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.crash(engine)
        assert wire.fired == [f"{when} commit {number}"]
        async with world.engine(*family.both) as second:
            handle = await second.start(family.parent(), id="one")
            if (await handle.status()).status == "running":
                await handle.send(go, "", key="once")
            found: amends.Result[str] = await handle.outcome()
            assert await second.list(status=["running", "compensating"]) == []
            return found

    result = world.run(main)

    if isinstance(last, Rejected):
        assert result.status == "compensated"
        assert world.book.remaining == []
    else:
        assert (result.status, result.value) == ("completed", "y:c")
        assert world.book.undone == []
    world.book.audit(crashes=1)


def test_children_in_parallel_and_in_depth(world: World) -> None:
    leaf_step = world.book.step("leaf")
    bad = world.book.step("bad", Rejected("no"), retry=Retry(attempts=1))

    @saga(name="promise12")
    async def tree(depth: int, tag: str) -> int:
        await leaf_step(tag)
        if depth == 0:
            return 1
        each = await asyncio.gather(*(tree(depth - 1, f"{tag}{n}") for n in range(2)))
        if tag == "r":
            await bad()
        return sum(each)

    async def main() -> amends.Result[int]:
        async with world.engine(tree) as engine:
            found = await (await engine.start(tree(3, "r"), id="one")).outcome()
            assert {s.status for s in await engine.list()} == {"compensated"}
            return found

    assert world.run(main).status == "compensated"
    done, undone = world.book.done(), world.book.undone
    assert len(done) == len(undone) == 15
    assert sorted(done) == sorted(undone)
    for label in done:  # a parent's step came before its children, so it is undone after them
        for other in done:
            if other != label and other.startswith(label):
                assert undone.index(other) < undone.index(label)
    world.book.audit()
