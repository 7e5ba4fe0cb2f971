"""Promise 7: nothing interrupts or skips a compensation; none begins while its action runs; its arguments are frozen."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import amends
from amends import Rejected, Retry, Settings, StepFailed, saga

from .book import OK, Call, hang
from .world import World


async def undo_slowly(call: Call) -> None:
    await asyncio.sleep(100)


def undone_once(world: World, name: str) -> Call:
    """The step's only compensation, which ran from its begin to its end."""
    calls = world.book.of(name, "undo")
    assert [c.how for c in calls] == ["ok"], calls
    return calls[0]


@pytest.mark.parametrize(
    "blow", ["cancel", "cancel twice", "deadline", "another failure", "signal", "terminate other"]
)
def test_nothing_interrupts_a_compensation(world: World, blow: str) -> None:
    a, b = world.book.step("a", undo=(undo_slowly,)), world.book.step("b", undo=(undo_slowly,))
    fails = world.book.step(
        "fails", undo=(lambda call: fail_after(50),), undo_options={"retry": Retry(attempts=1)}
    )
    bad = world.book.step("bad", Rejected("no"))
    signal = amends.Signal[str]("anything")

    async def fail_after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        raise ValueError("no")

    @saga(name="promise7", deadline=40)
    async def shop() -> str:
        await asyncio.gather(a(), b(), fails()) if blow == "another failure" else await asyncio.gather(
            a(), b()
        )
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            await asyncio.sleep(20)
            if blow.startswith("cancel"):
                await handle.cancel("once")
            if blow == "cancel twice":
                await handle.cancel("twice")
            if blow == "signal":
                await handle.send(signal, "hello")
            if blow == "terminate other":
                other = await engine.start(shop(), id="two")
                await world.book.begun("a", "undo", count=2)
                await other.terminate("no longer needed")
            await world.book.until(lambda: {"a", "b"} <= {*world.book.undone})
            if blow == "another failure":
                await world.reaches(handle, "attention")
                await handle.skip("enough")
            return await world.ended(handle)

    result = world.run(main)

    assert result.status == ("partially_compensated" if blow == "another failure" else "compensated")
    assert result.cause == "failed"
    for name in "ab":
        assert [c.how for c in world.book.of(name, "undo") if c.uid == world.book.calls[0].uid] == ["ok"]


@pytest.mark.parametrize("way", ["settling", "savepoint", "after the return"])
def test_a_cancel_does_not_interrupt_what_the_saga_settles(world: World, way: str) -> None:
    a = world.book.step("a", ValueError("?") if way == "settling" else OK, undo=(undo_slowly,))
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise7")
    async def shop() -> str:
        if way == "settling":
            return await a()
        async with amends.savepoint():
            await a()
            return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            await asyncio.sleep(20)
            await handle.cancel("now")
            await asyncio.sleep(20)
            assert world.book.of("a", "undo")[0].how == "running"
            return await handle.outcome()

    result = world.run(main)

    assert result.status == "compensated"
    undone_once(world, "a")
    world.book.audit()


def test_a_timeout_of_the_saga_does_not_interrupt_what_it_settles(world: World) -> None:
    a, b = world.book.step("a", undo=(undo_slowly,)), world.book.step("b")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise7")
    async def shop() -> str:
        try:
            async with asyncio.timeout(30):
                async with amends.savepoint():
                    await a()
                    await bad()
        except (StepFailed, TimeoutError):
            return await b()
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "b:"

    world.run(main)
    undo = undone_once(world, "a")
    assert world.book.of("b")[0].began > (undo.ended or 0)


@pytest.mark.parametrize("plain", [False, True])
def test_a_shutdown_lets_a_compensation_end(real_world: World, plain: bool) -> None:
    world = real_world
    world.settings = Settings(grace=30)
    let_go = threading.Event()

    def wait(call: Call) -> None:
        assert let_go.wait(30)

    async def wait_async(call: Call) -> None:
        assert await asyncio.to_thread(let_go.wait, 30)

    a = world.book.step("a", undo=(wait if plain else wait_async,), plain=plain)
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise7")
    async def shop() -> str:
        await a()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            closing = asyncio.create_task(engine.close())
            await asyncio.sleep(0.01)
            assert not closing.done()
            let_go.set()
            await closing
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    undone_once(world, "a")


def test_a_shutdown_that_cannot_wait_leaves_the_compensation_to_the_next_worker(world: World) -> None:
    a = world.book.step("a", undo=(hang, OK))
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise7")
    async def shop() -> str:
        await a()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            await engine.close()
            # (the process would end here, and the running call with it)
            for task in [a.task for a in engine._worker.attempts.running.values()]:  # type: ignore[union-attr]
                assert task is not None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    assert [c.how for c in world.book.of("a", "undo")] == ["cancelled", "ok"]
    world.book.audit(crashes=1)


def test_a_crash_in_a_compensation_repeats_it_with_the_same_key(world: World) -> None:
    a, b = world.book.step("a", undo=(hang, OK)), world.book.step("b")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise7")
    async def shop() -> str:
        await b()
        await a()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    assert world.book.undone == ["a", "b"]
    world.book.audit(crashes=1)


# ---------------------------------------------------------------- not while the action runs


async def deaf(call: Call) -> None:
    """Goes on for a minute, whatever it is told."""
    end = call.book.now() + 60
    while call.book.now() < end:
        try:
            await asyncio.sleep(end - call.book.now())
        except asyncio.CancelledError:
            continue
    raise ConnectionResetError("?")


@pytest.mark.parametrize("reason", ["timeout", "cancel", "wait_for", "deadline"])
def test_no_compensation_begins_while_an_attempt_of_its_action_runs(world: World, reason: str) -> None:
    slow = world.book.step("slow", deaf, timeout=5 if reason == "timeout" else None)

    @saga(name="promise7", deadline=10 if reason == "deadline" else None)
    async def shop() -> str:
        return await asyncio.wait_for(slow(), 10) if reason == "wait_for" else await slow()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            if reason == "cancel":
                await handle.cancel("now")
            return await handle.outcome()

    assert world.run(main).status == "compensated"
    action, undo = world.book.of("slow")[0], undone_once(world, "slow")
    assert undo.at >= action.at + 60
    world.book.audit()


def test_no_compensation_begins_while_the_thread_of_its_action_runs(real_world: World) -> None:
    world = real_world
    told = threading.Event()

    def blocking(call: Call) -> None:
        while not amends.current().cancelled:
            told.wait(0.005)
        told.set()
        raise ConnectionResetError("?")

    slow = world.book.step("slow", blocking, plain=True, timeout=0.05)

    @saga(name="promise7")
    async def shop() -> str:
        return await slow()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    assert world.run(main).status == "compensated"
    undone_once(world, "slow")
    world.book.audit()


@pytest.mark.parametrize("request_", ["cancel", "retry"])
def test_no_compensation_begins_while_an_attempt_of_a_parked_execution_runs(
    world: World, request_: str
) -> None:
    """The body cannot go on, an action of it is in flight; now somebody cancels from outside."""
    slow, quick = world.book.step("slow", deaf), world.book.step("quick")

    @saga(name="promise7")
    async def shop() -> str:
        task = asyncio.create_task(slow())
        await quick()
        while True:
            await asyncio.sleep(0)
            if task.done():
                return "?"

    world.settings = Settings(limits=amends.Limits(callbacks=10_000))

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).cause == "overrun"
            assert world.book.of("slow")[0].how == "running"
            if request_ == "retry":
                await handle.retry()
                await world.reaches(handle, "attention")
            await handle.cancel("enough")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.remaining == []
    world.book.audit()


def test_an_attempt_lost_with_its_worker_is_given_its_timeout_and_grace(world: World) -> None:
    """The worker is gone, but what it sent may still be on its way for as long as it was allowed to take."""
    world.settings = Settings(grace=7)
    slow = world.book.step("slow", lambda call: asyncio.sleep(20), Rejected("no"), timeout=20)

    @saga(name="promise7")
    async def shop() -> str:
        return await slow()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await asyncio.sleep(5)
            await world.crash(engine, zombies=True)
        async with world.engine(shop) as engine:
            result = await engine.handle(shop, "one").outcome()
            assert world.book.of("slow")[0].ended is not None
            return result

    assert world.run(main).status == "compensated"
    first, undo = world.book.of("slow")[0], undone_once(world, "slow")
    assert undo.at >= first.at + 20 + 7
    assert first.ended is not None
    assert undo.began > first.ended


def test_a_lost_attempt_is_given_the_timeout_of_its_own_call(world: World) -> None:
    world.settings = Settings(grace=7)
    slow = world.book.step("slow", lambda call: asyncio.sleep(90), Rejected("no"), timeout=1)

    @saga(name="promise7")
    async def shop() -> str:
        return await slow().options(timeout=100)

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await world.crash(engine, zombies=True)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    assert undone_once(world, "slow").at >= world.book.of("slow")[0].at + 100 + 7


def test_a_lost_attempt_is_given_its_time_when_the_code_has_changed(world: World) -> None:
    """Undone from the journal alone, as early as possible, and still not too early."""
    world.settings = Settings(grace=7)
    slow = world.book.step("slow", lambda call: asyncio.sleep(20), timeout=20)
    other = world.book.step("other")

    @saga(name="promise7")
    async def before() -> str:
        return await slow()

    async def main() -> amends.Result[str]:
        async with world.engine(before) as engine:
            await engine.start(before(), id="one")
            await world.book.begun("slow")
            await world.crash(engine, zombies=True)

        @saga(name="promise7")
        async def after() -> str:
            return await other()

        async with world.engine(after) as engine:
            handle = engine.handle(after, "one")
            assert (await handle.outcome()).cause == "divergence"
            await handle.cancel("now")
            return await world.ended(handle)

    assert world.run(main).status == "compensated"
    assert undone_once(world, "slow").at >= world.book.of("slow")[0].at + 20 + 7
    world.book.audit()


# ---------------------------------------------------------------- frozen arguments


def test_a_compensation_is_given_what_was_journaled_not_what_the_saga_made_of_it(world: World) -> None:
    given: list[Any] = []

    @amends.step(name="promise7.put")
    async def put(basket: dict[str, list[str]]) -> list[str]:
        basket["apples"].append("eaten by the step")
        return ["receipt"]

    @put.compensation
    async def take(receipt: list[str] | None, basket: dict[str, list[str]]) -> None:
        given.append((list(receipt or []), dict(basket)))
        if len(given) == 1:
            assert receipt is not None
            receipt.append("scribbled by the first attempt")
            basket.clear()
            raise ValueError("once more")

    @saga(name="promise7")
    async def shop() -> str:
        basket = {"apples": ["red"]}
        receipt = await put(basket)
        basket["pears"] = ["green"]
        receipt.append("scribbled by the saga")
        raise ValueError("no")

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    assert world.run(main).status == "compensated"
    assert given == [(["receipt"], {"apples": ["red"]})] * 2


def test_a_compensation_is_given_the_arguments_of_its_time(world: World) -> None:
    """The step has got a new parameter since; old actions are undone with its default."""
    given: list[Any] = []

    @amends.step(name="promise7.pay")
    async def pay(card: str) -> str:
        return "p-1"

    @pay.compensation
    async def refund(result: str | None, card: str) -> None:
        given.append("old code")

    hold = world.book.step("hold", hang)

    @saga(name="promise7")
    async def shop() -> str:
        await pay("visa")
        return await hold()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("hold")
            await world.crash(engine)

        @amends.step(name="promise7.pay")
        async def pay(card: str, currency: str = "EUR") -> str:
            return "p-2"

        @pay.compensation
        async def refund(result: str | None, card: str, currency: str = "EUR") -> None:
            given.append((result, card, currency))

        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.cancel("now")
            return await handle.outcome()

    assert world.run(main).status == "compensated"
    assert given == [("p-1", "visa", "EUR")]
