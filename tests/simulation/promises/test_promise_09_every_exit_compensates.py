"""Promise 9: every exit before the pivot compensates; only `terminate` does not, and says so; a cancel is sticky."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends import Compensated, Refused, Rejected, Signal, StepFailed, Terminated, saga

from .book import OK, hang
from .world import World

go = Signal[str]("go")

Exit = Callable[[Any], Awaitable[Any]]


class OwnError(Exception):
    """Raised by a body."""


async def raise_own(steps: Any) -> None:
    raise OwnError("the body's own")


async def raise_base(steps: Any) -> None:
    raise BaseException("not even an Exception")


async def raise_group(steps: Any) -> None:
    raise ExceptionGroup("several", [OwnError("a"), OwnError("b")])


async def raise_cancelled(steps: Any) -> None:
    raise asyncio.CancelledError("by itself")


async def raise_system_exit(steps: Any) -> None:
    raise SystemExit(3)


async def raise_generator_exit(steps: Any) -> None:
    raise GeneratorExit


async def raise_stop_iteration(steps: Any) -> None:
    raise StopAsyncIteration("leaked")


async def fail_assertion(steps: Any) -> None:
    raise AssertionError("never mind")


async def foreign(steps: Any) -> None:
    await asyncio.open_connection("localhost", 1)


async def step_rejected(steps: Any) -> None:
    await steps["rejected"]()


async def step_unknown(steps: Any) -> None:
    await steps["unknown"]()


async def return_what_cannot_be_journaled(steps: Any) -> Any:
    return object()


async def pass_what_cannot_be_journaled(steps: Any) -> Any:
    return await steps["a"](object())


async def saga_timeout(steps: Any) -> None:
    async with asyncio.timeout(5):
        await steps["slow"]()


async def child_fails(steps: Any) -> None:
    await steps["child"]()


@pytest.mark.parametrize(
    "leave",
    [
        raise_own,
        raise_base,
        raise_group,
        raise_cancelled,
        raise_system_exit,
        raise_generator_exit,
        raise_stop_iteration,
        fail_assertion,
        foreign,
        step_rejected,
        step_unknown,
        return_what_cannot_be_journaled,
        pass_what_cannot_be_journaled,
        saga_timeout,
        child_fails,
    ],
)
def test_every_exception_compensates(world: World, leave: Exit) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    steps: dict[str, Any] = {
        "a": a,
        "rejected": world.book.step("rejected", Rejected("no")),
        "unknown": world.book.step("unknown", TimeoutError("?")),
        "slow": world.book.step("slow", hang),
    }

    @saga(name="promise9.child")
    async def child() -> None:
        await b("child")
        raise OwnError("the child's own")

    steps["child"] = child

    @saga(name="promise9")
    async def shop() -> Any:
        await a("1")
        await asyncio.gather(b("2"), b("3"))
        return await leave(steps)

    @saga(name="promise9.other")
    async def other() -> str:
        return await b("other")

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            result = await handle.outcome()
            assert await engine.run(other(), id="other") == "b:other", "the worker goes on"
            with pytest.raises(Compensated) as caught:
                await handle.result()
            assert caught.value.cause == "failed"
            assert caught.value.error
            return result

    result = world.run(main)

    assert (result.status, result.cause, list(result.residue)) == ("compensated", "failed", [])
    assert result.error is not None
    assert result.error["type"], "why it failed is on record"
    assert world.book.remaining == ["b:other"]
    assert world.book.undone[-1] == "a:1"
    world.book.audit()


@pytest.mark.parametrize(
    "where", ["in a step", "asleep", "at a signal", "in a child", "in parallel", "between"]
)
@pytest.mark.parametrize("why", ["cancel", "deadline"])
def test_a_cancel_and_a_deadline_compensate_wherever_they_find_it(world: World, where: str, why: str) -> None:
    a, b, slow = world.book.step("a"), world.book.step("b"), world.book.step("slow", hang)

    @saga(name="promise9.child")
    async def child() -> str:
        await b("child")
        return await slow("child")

    @saga(name="promise9", deadline=100)
    async def shop() -> None:
        await a()
        if where == "in a step":
            await slow()
        elif where == "asleep":
            await asyncio.sleep(10_000)
        elif where == "at a signal":
            await go.receive()
        elif where == "in a child":
            await child()
        elif where == "in parallel":
            await asyncio.gather(slow("1"), slow("2"), asyncio.sleep(10_000))
        else:
            for number in range(1000):
                await b(str(number))
                await asyncio.sleep(7)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(50)
            if why == "cancel":
                await handle.cancel("the customer left")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "cancelled" if why == "cancel" else "deadline")
    assert world.book.remaining == []
    assert world.book.undone[-1] == "a"
    assert result.error is not None
    assert ("the customer left" if why == "cancel" else "deadline") in result.error["message"]
    world.book.audit()


def test_a_deadline_finds_an_execution_that_nobody_holds(world: World) -> None:
    """Its worker died; nobody was there when the deadline passed."""
    a, slow = world.book.step("a"), world.book.step("slow", hang)

    @saga(name="promise9", deadline=100)
    async def shop() -> str:
        await a()
        return await slow()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await world.crash(engine)
        await asyncio.sleep(500)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "deadline")
    assert world.book.remaining == []


def test_a_cancel_before_anything_happened(world: World) -> None:
    a = world.book.step("a")

    @saga(name="promise9")
    async def shop() -> str:
        return await a()

    async def main() -> amends.Result[Any]:
        async with world.engine() as engine:  # makes the store
            await engine.list()
        client = amends.Client(world.store())
        async with client:
            handle = await client.start(shop(), id="one")
            await handle.cancel("at once")
            async with world.engine(shop):
                return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.remaining == []


# ---------------------------------------------------------------- sticky


def test_after_a_cancel_each_new_forward_command_raises_again(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    slow = world.book.step("slow", hang)
    heard: list[str] = []

    @saga(name="promise9.child")
    async def child() -> str:
        return await b("child")

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        attempts: list[Callable[[], Awaitable[Any]]] = [
            slow,
            b,
            lambda: asyncio.sleep(1),
            go.receive,
            child,
            lambda: asyncio.gather(b("g1"), b("g2")),
            lambda: asyncio.wait_for(b("w"), 5),
            amends.pivot,
        ]
        for number, attempt in enumerate(attempts):
            try:
                await attempt()
            except asyncio.CancelledError:
                heard.append(str(number))
        return "as if nothing had happened"

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("no")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert heard == [str(n) for n in range(8)]
    assert not world.book.of("b")
    assert world.book.remaining == []


def test_a_body_that_swallows_its_cancel_is_not_completed(world: World) -> None:
    a, slow = world.book.step("a"), world.book.step("slow", hang)

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        try:
            await slow()
        except asyncio.CancelledError:
            return "fine"
        return "?"

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("no")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.cause, result.value) == ("compensated", "cancelled", None)
    assert world.book.remaining == []


def test_a_shield_may_go_on_after_a_cancel_and_is_undone_all_the_same(world: World) -> None:
    a, note, slow = world.book.step("a"), world.book.step("note"), world.book.step("slow", hang)

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        try:
            return await slow()
        except asyncio.CancelledError:
            await asyncio.shield(note("cancelled"))
            raise

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("no")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert "note:cancelled" in world.book.done()
    assert world.book.remaining == []


def test_a_cancel_after_the_return_changes_nothing(world: World) -> None:
    """The return is recorded, and what it left behind is being settled."""
    a = world.book.step("a")
    slow = world.book.step("slow", hang, undo=(lambda call: asyncio.sleep(50),))

    @saga(name="promise9")
    async def shop() -> str:
        asyncio.create_task(slow())  # noqa: RUF006 - left behind on purpose
        return await a()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow", "undo")
            await handle.cancel("too late")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "a:")
    assert world.book.remaining == ["a"]


@pytest.mark.parametrize("lead", range(4))
def test_a_cancel_that_races_with_the_return_has_one_winner(world: World, lead: int) -> None:
    a = world.book.step("a", lambda call: asyncio.sleep(10))

    @saga(name="promise9")
    async def shop() -> str:
        return await a()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(10)
            for _ in range(lead):
                await asyncio.sleep(0)
            try:
                await handle.cancel("now")
            except Refused:
                assert (await handle.status()).status == "completed"
            return await handle.outcome()

    result = world.run(main)
    if result.status == "completed":
        assert world.book.remaining == ["a"]
    else:
        assert (result.status, world.book.remaining) == ("compensated", [])


def test_a_second_cancel_is_recorded_and_changes_nothing(world: World) -> None:
    a = world.book.step("a", undo=(lambda call: asyncio.sleep(50),))
    slow = world.book.step("slow", hang)

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        return await slow()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("first", by="ann")
            await world.book.begun("a", "undo")
            await handle.cancel("second", by="bob")
            result = await handle.outcome()
            assert [(r.by, r.action, r.reason) for r in await handle.audit()] == [
                ("ann", "cancel", "first"),
                ("bob", "cancel", "second"),
            ]
            return result

    result = world.run(main)
    assert result.status == "compensated"
    assert result.error is not None
    assert "first" in result.error["message"]
    world.book.audit()


def test_a_cancel_of_what_has_ended_is_refused(world: World) -> None:
    a = world.book.step("a")

    @saga(name="promise9")
    async def shop() -> str:
        return await a()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            with pytest.raises(Refused, match="has ended"):
                await handle.cancel("too late")
            with pytest.raises(Refused, match="has ended"):
                await handle.terminate("too late")

    world.run(main)
    assert world.book.remaining == ["a"]


# ---------------------------------------------------------------- terminate


@pytest.mark.parametrize("when", ["forward", "compensating", "attention"])
def test_terminate_undoes_nothing_and_says_so(world: World, when: str) -> None:
    never = (ValueError("no"),) if when == "attention" else (hang,)
    a = world.book.step("a", undo=never, undo_options={"retry": amends.Retry(attempts=1)})
    b = world.book.step("b")
    gate = world.book.step("gate", hang if when == "forward" else Rejected("no"))

    @saga(name="promise9")
    async def shop() -> str:
        await b()
        await a()
        return await gate()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            if when == "forward":
                await world.book.begun("gate")
            elif when == "compensating":
                await world.book.begun("a", "undo")
            else:
                await world.reaches(handle, "attention")
                await world.book.until(lambda: "b" in world.book.undone)
            await handle.terminate("we settle it by phone", by="ann")
            result = await handle.outcome()
            assert (result.status, result.cause) == ("terminated", "terminated")
            with pytest.raises(Terminated, match="effects stay"):
                await handle.result()
            assert [(r.by, r.action, r.reason) for r in await handle.audit()] == [
                ("ann", "terminate", "we settle it by phone")
            ]
            await asyncio.sleep(1000)
            header = await world.header("one")
            assert "we settle it by phone" in (header.detail or "")

    world.run(main)
    assert world.book.undone == (["b"] if when == "attention" else [])


def test_what_a_terminated_worker_brings_afterwards_changes_nothing(world: World) -> None:
    a = world.book.step("a", lambda call: deaf(call))
    b = world.book.step("b")

    async def deaf(call: Any) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(50)

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a")
            await handle.terminate("enough")
            assert (await handle.outcome()).status == "terminated"
            rows = await world.rows("one")
            await asyncio.sleep(200)
            assert (await handle.status()).status == "terminated"
            assert await world.rows("one") == rows
            assert (await world.header("one")).owner is None

    world.run(main)
    assert world.book.done() == ["a"]
    assert not world.book.of("b")


def test_a_failure_handled_by_the_saga_is_no_exit(world: World) -> None:
    a, bad = world.book.step("a"), world.book.step("bad", Rejected("no"), OK)

    @saga(name="promise9")
    async def shop() -> str:
        await a()
        try:
            await bad()
        except StepFailed:
            return await bad()
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "bad:"

    world.run(main)
    assert world.book.undone == []
