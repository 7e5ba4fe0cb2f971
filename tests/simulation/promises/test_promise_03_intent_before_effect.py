"""Promise 3: a command (name, arguments, key) is durable before its action is dispatched."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

import amends
from amends import Rejected, StepFailed, saga
from amends.errors import StoreBusy, StoreFull
from amends.kernel import entries as e

from .book import Call, hang
from .world import World, forget, unknown


async def journal(world: World, id: str) -> list[Any]:
    """All events and commands that are durable, in order."""
    found: list[Any] = []
    for row in await world.rows(id):
        found += e.decode_events(row.events)
        found += e.decode_commands(row.commands)
    return found


def witness(world: World, id: str, missing: list[str]) -> Any:
    """A script item that looks for its own intent in the store before it does anything."""

    async def look(call: Call) -> None:
        entries = await journal(world, id)
        wanted = e.RunStep if call.direction == "do" else e.Undo
        found = [c for c in entries if type(c) is wanted and c.id == call.action]
        if not found:
            missing.append(f"{call} has no intent in {entries}")
        elif call.direction == "do":
            if found[0].step != call.name:
                missing.append(f"{call} is journaled as {found[0]}")
            if msgspec.json.decode(found[0].args) != {"tag": call.tag}:
                missing.append(f"{call} was dispatched with other arguments than {found[0]}")

    return look


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
def test_each_dispatch_finds_its_own_intent_in_the_store(world: World, inline: bool) -> None:
    world.inline = inline
    missing: list[str] = []
    look = witness(world, "one", missing)
    names = ["a", "b", "c", "d", "e"]
    a, b, c, d = (world.book.step(name, look, undo=(look,)) for name in names[:4])
    bad = world.book.step("bad", Rejected("no"))
    extra = world.book.step("extra", look, undo=None)

    @saga(name="promise3")
    async def shop() -> str:
        await a("1")
        amends.undo_with(extra, "5")
        async with asyncio.TaskGroup() as group:
            group.create_task(b("2"))
            group.create_task(c("3"))
        try:
            async with amends.savepoint():
                await d("4")
                await bad()
        except StepFailed:
            pass
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert sorted(world.book.undone) == ["a:1", "b:2", "c:3", "d:4"]
    assert "extra:5" in world.book.done()
    # (the ad hoc compensation is a step's function, so it looks for a command of another kind)
    assert [m for m in missing if "extra" not in m] == []


def test_a_nested_saga_exists_before_its_steps_run(world: World) -> None:
    missing: list[str] = []

    async def look(call: Call) -> None:
        await witness(world, "one~1", missing)(call)
        parent = await journal(world, "one")
        if not any(type(c) is e.StartChild and c.uid == call.uid for c in parent):
            missing.append(f"{call} of a child that its parent has not recorded")

    inner = world.book.step("inner", look, undo=(look,))

    @saga(name="promise3.child")
    async def child() -> str:
        return await inner("x")

    @saga(name="promise3")
    async def shop() -> str:
        await child()
        raise ValueError("undo the child, too")

    async def main() -> None:
        async with world.engine(shop) as engine:
            await (await engine.start(shop(), id="one")).outcome()

    world.run(main)
    # The compensation of the child is ordered in the child's own journal.
    assert missing == []
    assert world.book.undone == ["inner:x"]


@pytest.mark.parametrize(
    "trouble",
    [
        [StoreBusy("locked")] * 3,
        [StoreFull("no room")] * 3,
        [StoreBusy("locked"), StoreFull("no room"), StoreBusy("locked")],
    ],
    ids=["busy", "full", "mixed"],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_nothing_is_dispatched_while_its_intent_cannot_be_written(
    world: World, number: int, trouble: list[Exception]
) -> None:
    world.inline = False
    missing: list[str] = []
    look = witness(world, "one", missing)
    a, b = world.book.step("a", look), world.book.step("b", look)

    @saga(name="promise3")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> amends.Result[str]:
        wire = world.wire()
        for error in trouble:  # one after another, at the same commit
            wire.queue(number, error)
        async with world.engine(shop, wire=wire) as engine:
            result = await (await engine.start(shop(), id="one")).outcome()
            assert len(wire.fired) == len(trouble)
            return result

    result = world.run(main)

    assert result.status == "completed"
    assert missing == []
    world.book.audit()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lost_acknowledgement_dispatches_nothing_without_intent_and_nothing_twice(
    world: World, number: int
) -> None:
    if world.kind == "postgres":
        pytest.skip("makes stores of its own")
    missing: list[str] = []
    look = witness(world, "one", missing)
    a, b = world.book.step("a", look), world.book.step("b", look)

    @saga(name="promise3")
    async def shop() -> str:
        await a()
        return await b()

    async def main(when: str) -> amends.Result[str]:
        wire = world.wire()
        wire.at(number, when, unknown())
        async with world.engine(shop, wire=wire) as engine:
            result = await (await engine.start(shop(), id="one")).outcome()
            assert wire.fired
            return result

    for when in ("before", "after"):
        world.book.calls.clear()
        if world.kind == "sqlite":
            world.path = world.folder / f"{when}.db"
        else:
            world.memory = type(world.memory)()
        result = world.run(lambda when=when: main(when))  # type: ignore[misc]
        assert result.status == "completed"
        assert missing == []
        # If the row was durable, nothing runs twice. If it was not, what it told of is forgotten: at least once.
        world.book.audit(crashes=1 if when == "before" else 0)


def test_no_deploy_orphans_an_effect(world: World) -> None:
    """Killed right after the dispatch; the next release knows nothing of the step's place in the saga."""
    charge = world.book.step("charge", hang)
    other = world.book.step("other")

    @saga(name="promise3")
    async def before() -> str:
        return await charge("order-1")

    async def main() -> amends.Result[str]:
        async with world.engine(before) as engine:
            await engine.start(before(), id="one")
            await world.book.begun("charge")
            await world.crash(engine)

        @saga(name="promise3")
        async def after() -> str:
            return await other("order-1")

        async with world.engine(after) as engine:
            handle = engine.handle(after, "one")
            stopped = await handle.outcome()
            assert (stopped.status, stopped.cause) == ("attention", "divergence")
            assert not world.book.of("other")
            await handle.cancel("undo the old one")
            return await world.ended(handle)

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.undone == ["charge:order-1"]
    assert [c.outcome for c in world.book.of("charge", "undo")] == ["unknown"]
    world.book.audit()


def test_no_deploy_that_dropped_the_saga_orphans_an_effect(world: World) -> None:
    charge = world.book.step("charge")
    ship = world.book.step("ship", hang)

    @saga(name="promise3")
    async def shop() -> str:
        await charge("order-1")
        return await ship("order-1")

    @saga(name="promise3.other")
    async def other() -> str:
        return "here"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("ship")
            await world.crash(engine)
        forget(shop)
        async with world.engine(other) as engine:
            assert await engine.run(other(), id="two") == "here"
            handle = engine.handle(shop, "one")
            stopped = await handle.outcome()
            assert (stopped.status, stopped.cause) == ("attention", "missing_definition")
            await handle.cancel("the shop is closed")
            return await world.ended(handle)

    result = world.run(main)

    assert result.status == "compensated"
    assert world.book.undone == ["ship:order-1", "charge:order-1"]
    world.book.audit()


def test_a_retry_with_other_arguments_is_durable_before_it_is_dispatched(world: World) -> None:
    recorded: list[Any] = []

    async def look(call: Call) -> None:
        recorded.extend(x for x in await journal(world, "one") if type(x) is e.Retried)
        if call.tag == "old card":
            raise Rejected("wrong card")

    pay = world.book.step("pay", look, recovery={Rejected: "ask"})

    @saga(name="promise3")
    async def shop() -> str:
        return await pay("old card")

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.retry(args=("new card",), reason="the customer called")
            return await world.ended(handle)

    result = world.run(main)

    assert result.status == "completed"
    assert [msgspec.json.decode(r.args) for r in recorded] == [{"tag": "new card"}]
    assert [c.tag for c in world.book.of("pay")] == ["old card", "new card"]


def test_a_command_that_was_withdrawn_at_once_is_never_dispatched(world: World) -> None:
    pay = world.book.step("pay")

    @saga(name="promise3")
    async def shop() -> str:
        task = asyncio.create_task(pay())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "withdrawn"
        return "paid"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "withdrawn")
    assert not world.book.calls
