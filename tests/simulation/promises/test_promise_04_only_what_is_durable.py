"""Promise 4: effects escape only what is durable: one activation ahead, held until the commit of its row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends import Rejected, Signal, saga
from amends.errors import EngineClosed, Fenced, StoreError

from .book import hang
from .world import World, unknown

go = Signal[str]("go")


async def settle() -> None:
    """Give everything that could happen the (virtual) time to happen."""
    await asyncio.sleep(30)


def test_a_start_is_answered_when_it_is_durable(world: World) -> None:
    first = world.book.step("first", hang)

    @saga(name="promise4")
    async def shop() -> str:
        return await first()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            wire.hold()
            task = asyncio.create_task(engine.start(shop(), id="one"))
            await settle()
            assert not task.done(), "acknowledged, and not durable"
            assert not world.book.calls, "dispatched, and not durable"
            assert await world.header("one") is None
            wire.release()
            await task
            assert (await world.header("one")).status == "running"
            await world.book.begun("first")
            await world.crash(engine)

    world.run(main)


def test_the_next_step_waits_for_the_row_of_the_one_before(world: World) -> None:
    first, second = world.book.step("first", lambda call: asyncio.sleep(5)), world.book.step("second")

    @saga(name="promise4")
    async def shop() -> str:
        await first()
        return await second()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("first")
            wire.hold()
            await settle()
            assert world.book.done() == ["first"]
            assert not world.book.of("second"), "dispatched, and not durable"
            assert len(await world.rows("one")) == 1
            wire.release()
            return await handle.outcome()

    assert world.run(main).status == "completed"
    world.book.audit()


@pytest.mark.parametrize("fails", [False, True])
def test_a_result_is_told_when_it_is_durable(world: World, fails: bool) -> None:
    first = world.book.step("first", (lambda call: asyncio.sleep(5)) if not fails else slow_rejection)

    @saga(name="promise4")
    async def shop() -> str:
        return await first()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            task = asyncio.create_task(handle.outcome())
            await world.book.begun("first")
            wire.hold()
            await settle()
            assert not task.done(), "told, and not durable"
            assert (await handle.status()).status == "running", "shown, and not durable"
            assert (await world.header("one")).status == "running"
            wire.release()
            assert (await task).status == ("compensated" if fails else "completed")

    world.run(main)


async def slow_rejection(call: Any) -> None:
    await asyncio.sleep(5)
    raise Rejected("no")


def test_a_compensation_waits_for_the_row_that_orders_it(world: World) -> None:
    first = world.book.step("first")
    second = world.book.step("second", slow_rejection)

    @saga(name="promise4")
    async def shop() -> str:
        await first()
        return await second()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("second")
            wire.hold()
            await settle()
            assert not world.book.of("first", "undo"), "compensated, and not durable"
            wire.release()
            assert (await handle.outcome()).status == "compensated"

    world.run(main)


def test_a_child_waits_for_the_row_of_its_parent_and_the_parent_for_the_child(world: World) -> None:
    first = world.book.step("first", lambda call: asyncio.sleep(5))
    inner = world.book.step("inner", lambda call: asyncio.sleep(5))
    last = world.book.step("last")

    @saga(name="promise4.child")
    async def child() -> str:
        return await inner()

    @saga(name="promise4")
    async def shop() -> str:
        await first()
        await child()
        return await last()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("first")
            wire.hold()
            await settle()
            assert not world.book.of("inner")
            assert await world.header("one~2") is None
            wire.release()
            await world.book.begun("inner")
            wire.hold()
            await settle()
            assert not world.book.of("last")
            assert (await world.header("one~2")).status == "running"
            wire.release()
            assert (await handle.outcome()).status == "completed"

    world.run(main)
    world.book.audit()


def test_an_interruption_waits_for_the_row_that_orders_it(world: World) -> None:
    slow = world.book.step("slow", hang)

    @saga(name="promise4")
    async def shop() -> str:
        return await slow()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("no more")
            wire.hold()
            await settle()
            assert world.book.calls[0].how == "running", "interrupted, and not durable"
            wire.release()
            assert (await handle.outcome()).status == "compensated"

    world.run(main)


# ---------------------------------------------------------------- commits that fail


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
@pytest.mark.parametrize("number", range(1, 8))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_of_unknown_fate_drops_the_instance_and_reads_again(
    world: World, inline: bool, number: int, when: str
) -> None:
    """Whether the row was durable or not, the same journal goes on, and what was not durable had no effect."""
    world.inline = inline
    a, b, c = (world.book.step(name) for name in "abc")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise4")
    async def shop() -> str:
        await a()
        async with asyncio.TaskGroup() as group:
            group.create_task(b())
            group.create_task(c())
        return await bad()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, when, unknown())
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            return await handle.outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert result.error is not None
    assert result.error["type"] == "StepFailed"
    assert world.book.remaining == []
    undone = [u for u in world.book.undone if u != "bad"]
    assert sorted(set(undone)) == ["a", "b", "c"]
    assert undone[-1] == "a"
    world.book.audit(crashes=1 if when == "before" else 0)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_fenced_commit_has_no_effect(world: World, number: int) -> None:
    """Somebody retired this incarnation: nothing it decides counts; the engine begins a new one."""
    a, b = world.book.step("a"), world.book.step("b")

    @saga(name="promise4")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, "before", Fenced("this incarnation is retired"))
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "b:")
    world.book.audit(crashes=1)


@pytest.mark.parametrize("number", range(1, 5))
def test_a_store_that_fails_in_an_unnamed_way_is_no_reason_to_go_on_by_guess(
    world: World, number: int
) -> None:
    a, b = world.book.step("a"), world.book.step("b")

    @saga(name="promise4")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, "before", StoreError("the disk answers in riddles"))
        async with world.engine(shop, wire=wire) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    assert world.run(main).status == "completed"
    world.book.audit(crashes=1)


@pytest.mark.parametrize("number", range(1, 5))
def test_a_driver_that_raises_what_nobody_expected_stops_nobody(world: World, number: int) -> None:
    """A bug in a store (or its driver): not even an error of our own hierarchy."""
    a, b = world.book.step("a"), world.book.step("b")

    @saga(name="promise4")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, "before", RuntimeError("driver bug"))
        async with world.engine(shop, wire=wire) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    assert world.run(main).status == "completed"
    world.book.audit(crashes=1)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
@pytest.mark.parametrize("number", range(1, 5))
def test_a_driver_that_raises_what_nobody_expected_stops_nobody_in_either_way_of_committing(
    world: World, inline: bool, number: int
) -> None:
    world.inline = inline
    a, b = world.book.step("a"), world.book.step("b")

    @saga(name="promise4")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> list[amends.Result[str]]:
        wire = world.wire()
        wire.at(number, "after", RuntimeError("driver bug"))
        async with world.engine(shop, wire=wire) as engine:
            handles = [await engine.start(shop(), id=f"{n}") for n in range(3)]
            return [await handle.outcome() for handle in handles]

    assert [r.status for r in world.run(main)] == ["completed"] * 3
    world.book.audit(crashes=1)


def test_an_attempt_that_runs_on_is_adopted_not_repeated(world: World) -> None:
    """The incarnation changes while a step is in flight in this very process."""
    slow, other = world.book.step("slow", lambda call: asyncio.sleep(20)), world.book.step("other")

    @saga(name="promise4")
    async def shop() -> str:
        return await slow()

    @saga(name="promise4.other")
    async def elsewhere() -> str:
        return await other()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            wire.at(wire.commits + 1, "after", unknown())
            await engine.run(elsewhere(), id="two")
            assert wire.fired
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "slow:")
    world.book.audit()


def test_a_start_that_a_dying_engine_took_is_durable_or_refused(world: World) -> None:
    """Never acknowledged and lost, never lost without a word."""
    first = world.book.step("first")

    @saga(name="promise4")
    async def shop() -> str:
        return await first()

    async def main() -> None:
        wire = world.wire()
        outcomes: dict[str, Any] = {}

        async def begin(engine: amends.Engine, id: str) -> None:
            try:
                await engine.start(shop(), id=id)
            except (EngineClosed, StoreError) as error:
                outcomes[id] = error
            else:
                outcomes[id] = "accepted"

        async with world.engine(shop, wire=wire) as engine:
            wire.inline = False
            tasks = [asyncio.create_task(begin(engine, f"{n}")) for n in range(20)]
            for _ in range(3):
                await asyncio.sleep(0)
            await engine.close()
            await asyncio.gather(*tasks)
        assert len(outcomes) == 20
        for id, outcome in outcomes.items():
            header = await world.header(id)
            assert (header is not None) or outcome != "accepted", f"{id} was acknowledged and is lost"
        async with world.engine(shop) as engine:
            for id, outcome in outcomes.items():
                if outcome == "accepted":
                    assert (await engine.handle(shop, id).outcome()).status == "completed"

    world.run(main)
    world.book.audit()
