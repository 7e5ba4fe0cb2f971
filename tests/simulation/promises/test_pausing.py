"""A paused execution begins nothing and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import amends
from amends import Engine, Handle, Refused, Rejected, Settings, Signal, saga
from amends.worker.dispatcher import Dispatcher
from amends.worker.live import Live
from amends.worker.pausing import Pausing

from .book import Call
from .world import World

heard: Signal[str] = Signal("pausing.heard")


def two_steps(world: World, go: asyncio.Event) -> Any:
    """The first answers once it may."""

    async def answer(call: Call) -> None:
        await go.wait()

    first = world.book.step("pausing.first", answer)
    second = world.book.step("pausing.second")

    @saga(name="pausing.two")
    async def two() -> str:
        await first("a")
        await second("b")
        return "done"

    return two


def around(inner: Any) -> Any:
    """A saga that does nothing but wait for another."""

    @saga(name="pausing.outer")
    async def outer() -> str:
        found: str = await inner()
        return found

    return outer


def going_back(world: World, go: asyncio.Event) -> Any:
    """The third step fails; what undoes the second answers once it may."""

    async def no(call: Call) -> None:
        raise Rejected("no")

    async def slowly(call: Call) -> None:
        await go.wait()

    first = world.book.step("pausing.first")
    second = world.book.step("pausing.second", undo=[slowly])
    third = world.book.step("pausing.third", no)

    @saga(name="pausing.back")
    async def back() -> None:
        await first("a")
        await second("b")
        await third("c")

    return back


async def crashes_in(world: World, engine: Engine, doing: Coroutine[Any, Any, None]) -> bool:
    """Does the engine's process die as it does this? If it does not, the engine is closed."""
    crashed = engine._store.crashed  # type: ignore[attr-defined]
    task, down = asyncio.create_task(doing), asyncio.create_task(crashed.wait())
    await asyncio.wait([task, down], return_when=asyncio.FIRST_COMPLETED)
    fell = bool(crashed.is_set())
    for each in (task, down):
        each.cancel()
    await asyncio.gather(task, down, return_exceptions=True)
    await (world.crash(engine) if fell else engine.close())
    return fell


async def paused(handle: Handle[Any]) -> amends.Status:
    """Wait until it stands still."""
    while (status := await handle.status()).paused is None:
        await asyncio.sleep(0.05)
    return status


def steps(world: World) -> list[str]:
    return [call.name for call in world.book.calls]


def test_what_runs_ends_and_nothing_more_begins(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("the bank is closed", by="ann")
            await world.passes(5)
            go.set()
            status = await paused(handle)
            assert (status.status, status.cause) == ("running", "paused")
            assert status.paused is not None
            assert (status.paused["by"], status.paused["reason"]) == ("ann", "the bank is closed")
            await world.passes(60)
            assert steps(world) == ["pausing.first"]
        async with world.engine(two) as engine:  # a restart changes nothing
            handle = engine.handle(two, "p")
            await world.passes(60)
            assert (await paused(handle)).cause == "paused"
            assert steps(world) == ["pausing.first"]
            await handle.resume(by="bob")
            assert await handle.result() == "done"
            assert (await handle.status()).paused is None
            told = [(record.action, record.by) for record in await handle.audit()]
            assert told == [("pause", "ann"), ("resume", "bob")]
        assert steps(world) == ["pausing.first", "pausing.second"]
        assert {call.attempt for call in world.book.calls} == {1}, "nothing counts as lost"
        world.book.audit()

    world.run(main)


def test_what_waits_for_a_slot_is_taken_back_and_was_never_tried(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two, settings=Settings(poll=0.1, grace=1.0, steps=1)) as engine:
            await engine.start(two(), id="holds the slot")
            await world.book.begun("pausing.first")
            handle = await engine.start(two(), id="p")
            await world.passes(1)
            await handle.pause("not now")
            await paused(handle)
            go.set()
            await world.passes(5)
            assert steps(world) == ["pausing.first", "pausing.second"], "those of the other one"
            await handle.resume()
            assert await handle.result() == "done"
        assert {call.attempt for call in world.book.calls} == {1}

    world.run(main)


def test_a_pause_that_is_ended_before_all_has_stopped_changes_nothing(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("not now")
            await world.passes(1)
            await handle.resume()
            await world.passes(1)
            go.set()
            assert await handle.result() == "done"
        assert steps(world) == ["pausing.first", "pausing.second"]

    world.run(main)


def test_a_retry_waits_for_the_end_of_the_pause(world: World) -> None:
    async def main() -> None:
        failures = [ConnectionResetError("gone")]

        async def answer(call: Call) -> None:
            if failures:
                raise failures.pop()

        flaky = world.book.step("pausing.flaky", answer, retry=amends.Retry(attempts=3, delay=30, jitter=0))

        @saga(name="pausing.flaky")
        async def one() -> None:
            await flaky("a")

        async with world.engine(one) as engine:
            handle = await engine.start(one(), id="p")
            await world.book.begun("pausing.flaky")
            await handle.pause("not now")
            await paused(handle)
            await world.passes(300)
            assert len(world.book.calls) == 1
            await handle.resume()
            await handle.result()
        assert [call.attempt for call in world.book.calls] == [1, 2]

    world.run(main)


def test_signals_are_kept_and_timers_go_on_by_the_clock(world: World) -> None:
    async def main() -> None:
        @saga(name="pausing.waits")
        async def waits() -> list[Any]:
            began = amends.now()
            await asyncio.sleep(50)
            woke = (amends.now() - began).total_seconds()
            return [woke, await heard.receive(), await heard.receive()]

        async with world.engine(waits) as engine:
            handle = await engine.start(waits(), id="p")
            await world.passes(10)
            await handle.pause("not now")
            await paused(handle)
            await handle.send(heard, "one")
            await world.passes(100)
            await handle.send(heard, "two")
            await world.passes(1)
            assert (await handle.status()).cause == "paused"
            await handle.resume()
            woke, *said = await handle.result()
            assert said == ["one", "two"]
            assert 100 < woke < 120, "due in the pause, so at its end"

    world.run(main)


def test_the_deadline_passes_by_the_clock_and_counts_at_the_end_of_the_pause(world: World) -> None:
    async def main() -> None:
        undone = world.book.step("pausing.undone")

        @saga(name="pausing.deadline", deadline=60)
        async def late() -> None:
            await undone("a")
            await heard.receive()

        async with world.engine(late) as engine:
            handle = await engine.start(late(), id="p")
            await world.passes(1)
            await handle.pause("not now")
            await world.passes(600)
            assert len(world.book.calls) == 1
            await handle.resume()
            found = await handle.outcome()
            assert (found.status, found.cause) == ("compensated", "deadline")

    world.run(main)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_an_end_can_be_asked_for_in_a_pause(world: World, how: str) -> None:
    async def main() -> None:
        go = asyncio.Event()
        go.set()
        two = two_steps(world, go)

        @saga(name="pausing.outer")
        async def outer() -> None:
            await two()
            await heard.receive()

        async with world.engine(outer, two) as engine:
            handle = await engine.start(outer(), id="p")
            await world.book.begun("pausing.second")
            await world.passes(1)
            await handle.pause("not now")
            await paused(handle)
            await getattr(handle, how)("enough")
            found = await handle.outcome()
            assert found.status == ("compensated" if how == "cancel" else "terminated")
        undone = [call.name for call in world.book.calls if call.direction == "undo"]
        assert undone == (["pausing.second", "pausing.first"] if how == "cancel" else [])

    world.run(main)


def test_the_way_back_can_be_paused(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        back = going_back(world, go)
        async with world.engine(back) as engine:
            handle = await engine.start(back(), id="p")
            await world.book.begun("pausing.second", "undo")
            await handle.pause("not now")
            await world.passes(1)
            go.set()
            assert (await paused(handle)).status == "compensating"
            await world.passes(60)
            assert [call.name for call in world.book.calls if call.direction == "undo"] == ["pausing.second"]
            await handle.resume()
            assert (await handle.outcome()).status == "compensated"
        world.book.audit()

    world.run(main)


def test_nested_sagas_stand_still_and_go_on_with_it(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        outer = around(two)
        async with world.engine(outer, two) as engine:
            handle = await engine.start(outer(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("not now")
            await paused(handle)
            await world.passes(1)
            go.set()
            await world.passes(60)
            assert steps(world) == ["pausing.first"]
            assert {status.cause for status in await engine.list()} == {"paused"}
            await handle.resume()
            assert await handle.result() == "done"
        world.book.audit()

    world.run(main)


def test_nested_sagas_of_one_that_is_terminated_go_on_by_themselves(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        outer = around(two)
        async with world.engine(outer, two) as engine:
            handle = await engine.start(outer(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("not now")
            await paused(handle)
            go.set()
            await world.passes(10)
            assert {status.cause for status in await engine.list()} == {"paused"}
            await handle.terminate("enough")
            assert (await handle.outcome()).status == "terminated"
            (child,) = await engine.list(saga="pausing.two")
            assert await engine.handle(two, child.id).result() == "done"

    world.run(main)


async def paused_during_a_commit(world: World) -> list[str]:
    """The row with the intent of the second step is on its way when the pause is heard. What was dispatched?"""
    go = asyncio.Event()
    two = two_steps(world, go)
    wire = world.wire()
    async with world.engine(two, wire=wire) as engine:
        handle = await engine.start(two(), id="p")
        await world.book.begun("pausing.first")
        wire.hold()
        go.set()
        await world.passes(0.5)
        await handle.pause("not now")
        await world.passes(1)
        wire.release()
        await paused(handle)
        return steps(world)


def test_what_becomes_durable_in_a_pause_is_not_dispatched(world: World) -> None:
    async def main() -> None:
        assert await paused_during_a_commit(world) == ["pausing.first"]

    world.run(main)


def test_without_the_dispatchers_look_it_would_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard off."""

    def run(self: Dispatcher, live: Live, action: Any, look: Any = Dispatcher.run) -> None:
        live.paused, request = None, live.paused
        look(self, live, action)
        live.paused = request

    monkeypatch.setattr(Dispatcher, "run", run)

    async def main() -> None:
        assert await paused_during_a_commit(world) == ["pausing.first", "pausing.second"]

    world.run(main)


def interrupted(worlds: Callable[[], World], crash: int, when: str) -> bool:
    """Pause, resume, with a crash at a commit. Was there such a commit?"""
    world = worlds()

    async def main() -> bool:
        go = asyncio.Event()
        two = two_steps(world, go)
        wire = world.wire()
        wire.at(crash, when, "crash")
        engine = world.build(two, wire=wire)
        await engine.__aenter__()
        handle = Handle(engine._backend, two, "p", local=False)

        async def step_by_step() -> None:
            await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("not now")
            await world.passes(1)
            go.set()
            await paused(handle)
            await handle.resume()
            await handle.result()

        if not await crashes_in(world, engine, step_by_step()):
            return False
        go.set()
        async with world.engine(two) as second:
            again = await second.start(two(), id="p")
            with contextlib.suppress(Refused):  # it had ended before
                await again.resume()
            assert await again.result() == "done"
        world.book.audit(crashes=1)
        return True

    return world.run(main)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_commit_of_a_pause_loses_nothing(worlds: Callable[[], World], when: str) -> None:
    crashes = 0
    while interrupted(worlds, crashes + 1, when):
        crashes += 1
    assert crashes >= 4, "the rows of the steps, the pause, what follows it"


def test_consuming_the_request_at_once_would_forget_the_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The safeguard off: the test above it would find the second step begun after a restart."""

    def consumed(self: Pausing, live: Any, event: Any, hear: Any = Pausing.hear) -> bool:
        done: bool = hear(self, live, event)
        live.consumed += live.holds
        live.holds = []
        return done

    monkeypatch.setattr(Pausing, "hear", consumed)

    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            await handle.pause("not now")
            await world.passes(1)
            go.set()
            await paused(handle)
        async with world.engine(two) as engine:
            await engine.handle(two, "p").send(heard, "wakes it")
            await world.passes(60)
        assert steps(world) == ["pausing.first", "pausing.second"]

    world.run(main)
