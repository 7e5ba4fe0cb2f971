"""Who is asked to end, and is only then brought into memory, begins nothing for the sake of being stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends import Client, Handle, Retry, Settings, saga

from .book import Call, hang
from .world import World


def two_steps(world: World, go: asyncio.Event) -> Any:
    """The first answers once it may; the second never does, and waits for the only slot."""

    async def answer(call: Call) -> None:
        await go.wait()

    world.settings = Settings(steps=1, grace=1.0)
    first, second = world.book.step("ends.first", answer), world.book.step("ends.second", hang)

    @saga(name="ends.two")
    async def two() -> None:
        await asyncio.gather(first("a"), second("b"))

    return two


async def asleep(handle: Handle[Any]) -> None:
    """Wait until it stands still."""
    while (await handle.status()).paused is None:
        await asyncio.sleep(0.05)


def begun(world: World) -> list[str]:
    return [f"{call.direction} {call.name}" for call in world.book.calls]


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_an_end_in_a_pause_does_not_begin_what_the_pause_held_back(world: World, how: str) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="e")
            await world.book.begun("ends.first")
            await handle.pause("not now")
            await world.passes(1)
            go.set()
            await asleep(handle)
            await world.passes(5)
            await getattr(handle, how)("enough")
            found = await handle.outcome()
        assert found.status == ("compensated" if how == "cancel" else "terminated")
        assert begun(world) == ["do ends.first", *(["undo ends.first"] if how == "cancel" else [])]

    world.run(main)


def test_an_end_asked_for_while_no_worker_ran_does_not_try_again(world: World) -> None:
    """What was lost with its worker is in doubt all the same, and undone."""

    async def main() -> None:
        go = asyncio.Event()
        go.set()
        two = two_steps(world, go)
        engine = world.build(two)
        await engine.__aenter__()
        await engine.start(two(), id="e")
        await world.book.begun("ends.second")
        await world.crash(engine)
        async with Client(world.store()) as client:  # type: ignore[arg-type]
            await client.handle(two, "e").cancel("enough")
        async with world.engine(two) as engine:
            assert (await engine.handle(two, "e").outcome()).status == "compensated"
        assert begun(world)[:2] == ["do ends.first", "do ends.second"]
        assert sorted(begun(world)[2:]) == ["undo ends.first", "undo ends.second"]
        assert [call.outcome for call in world.book.of("ends.second", "undo")] == [amends.Outcome.UNKNOWN]

    world.run(main)


def test_what_a_cancel_does_not_stop_goes_on(world: World) -> None:
    """A shielded step is begun all the same, after the cancel."""

    async def main() -> None:
        go = asyncio.Event()
        go.set()
        first, last = world.book.step("ends.first"), world.book.step("ends.last", undo=None)

        @saga(name="ends.shielded")
        async def shielded() -> None:
            await first("a")
            task = asyncio.create_task(last("z"))
            try:
                await asyncio.shield(task)
            finally:
                await task

        world.book.traps[2, "begun"] = lambda: None  # the first attempt never answers
        engine = world.build(shielded)
        await engine.__aenter__()
        await engine.start(shielded(), id="e")
        await world.book.begun("ends.last")
        await world.crash(engine)
        async with Client(world.store()) as client:  # type: ignore[arg-type]
            await client.handle(shielded, "e").cancel("enough")
        async with world.engine(shielded) as engine:
            assert (await engine.handle(shielded, "e").outcome()).status == "compensated"
        assert begun(world) == ["do ends.first", "do ends.last", "do ends.last", "undo ends.first"]

    world.run(main)


def test_an_end_that_comes_while_the_pause_journals_does_not_begin_it_either(world: World) -> None:
    async def main() -> None:
        world.inline = False
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="e")
            await world.book.begun("ends.first")
            await handle.pause("not now")
            await world.passes(1)
            world.wires[-1].hold()
            go.set()
            await world.passes(1)
            await handle.cancel("enough")
            await world.passes(1)
            world.wires[-1].release()
            assert (await handle.outcome()).status == "compensated"
        assert begun(world) == ["do ends.first", "undo ends.first"]

    world.run(main)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("paid", amends.Outcome.SUCCEEDED), (amends.SEALED, None), (amends.UNRESOLVED, amends.Outcome.UNKNOWN)],
    ids=["value", "sealed", "unresolved"],
)
@pytest.mark.parametrize("lost", [False, True], ids=["between two attempts", "lost with its worker"])
def test_what_is_given_up_between_two_attempts_is_asked_for(
    world: World, lost: bool, answer: Any, outcome: amends.Outcome | None
) -> None:
    """An attempt may have had an effect, none runs, and the saga is cancelled: its probe is asked all the same."""
    asked: list[str] = []

    async def main() -> None:
        end = hang if lost else ConnectionResetError("?")
        pay = world.book.step("ends.pay", end, retry=Retry(attempts=3, delay=1000))

        @pay.probe
        async def look(tag: str = "") -> Any:
            asked.append(amends.current().idempotency_key)
            return answer

        @saga(name="ends.paying")
        async def paying() -> None:
            await pay("a")

        engine = world.build(paying)
        await engine.__aenter__()
        await engine.start(paying(), id="e")
        await world.book.begun("ends.pay")
        await world.passes(5)
        assert not asked
        await (world.crash(engine) if lost else engine.close())
        async with Client(world.store()) as client:
            await client.handle(paying, "e").cancel("enough")
        async with world.engine(paying) as engine:
            assert (await engine.handle(paying, "e").outcome()).status == "compensated"

    world.run(main)
    assert asked == [world.book.calls[0].key]
    undone = world.book.of("ends.pay", "undo")
    assert [(call.outcome, call.result) for call in undone] == (
        [] if outcome is None else [(outcome, "paid" if outcome == "succeeded" else None)]
    )
