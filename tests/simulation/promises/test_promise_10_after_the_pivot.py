"""Promise 10: after the pivot nothing is undone: forward until it succeeds, or until a person decides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends import PivotRefused, Rejected, Retry, Signal, StepFailed, saga

from .book import OK, ONCE, hang
from .world import World

go = Signal[str]("go")


def test_later_steps_are_tried_until_they_succeed(world: World) -> None:
    a = world.book.step("a")
    b = world.book.step(
        "b", *[TimeoutError("?"), ConnectionRefusedError("?"), ValueError("?")] * 5, OK, retry=ONCE
    )

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "b:")
    assert len(world.book.of("b")) == 16
    assert world.book.undone == []
    gaps = [y.at - x.at for x, y in zip(world.book.of("b"), world.book.of("b")[1:], strict=False)]
    assert all(gap > 0 for gap in gaps), "with a pause in between"


@pytest.mark.parametrize("manner", ["cancel", "deadline"])
def test_cancel_and_deadline_are_recorded_and_refused(world: World, manner: str) -> None:
    a, b = world.book.step("a"), world.book.step("b", lambda call: asyncio.sleep(100))

    @saga(name="promise10", deadline=50 if manner == "deadline" else None)
    async def shop() -> str:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b")
            if manner == "cancel":
                await handle.cancel("too late", by="ann")
            result = await handle.outcome()
            if manner == "cancel":
                assert [r.action for r in await handle.audit()] == ["cancel"]
                assert "cancel_requested" in str(await handle.history())
            return result

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "b:")
    assert world.book.of("b")[0].how == "ok"
    assert world.book.undone == []


@pytest.mark.parametrize("inside", ["step", "child", "compensation", "parallel"])
def test_a_pivot_needs_that_nothing_else_is_in_flight(world: World, inside: str) -> None:
    a = world.book.step("a")
    slow = world.book.step("slow", lambda call: asyncio.sleep(60))
    settling = world.book.step("settling", TimeoutError("?"), undo=(lambda call: asyncio.sleep(60),))

    @saga(name="promise10.child")
    async def child() -> str:
        return await slow()

    @saga(name="promise10")
    async def shop() -> list[str]:
        heard: list[str] = []
        await a()
        kinds: dict[str, Any] = {"step": slow, "child": child, "compensation": settling, "parallel": slow}
        tasks = [asyncio.create_task(kinds[inside]()) for _ in range(3 if inside == "parallel" else 1)]
        await asyncio.sleep(10)
        try:
            await amends.pivot()
        except PivotRefused as refusal:
            heard.append(str(refusal))
        await asyncio.gather(*tasks, return_exceptions=True)
        await amends.pivot()
        return heard

    async def main() -> list[str]:
        async with world.engine(shop) as engine:
            return await engine.run(shop(), id="one")

    heard = world.run(main)
    assert len(heard) == 1
    assert {"step": "slow", "child": "child", "compensation": "settling", "parallel": "slow"}[
        inside
    ] in heard[0]
    assert "await" in heard[0], "it says what to do"


def test_a_refused_pivot_leaves_the_saga_undoable(world: World) -> None:
    a, slow = world.book.step("a"), world.book.step("slow", hang)

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        asyncio.create_task(slow())  # noqa: RUF006 - in flight on purpose
        await asyncio.sleep(1)
        await amends.pivot()
        return "?"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert result.error is not None
    assert result.error["type"] == "PivotRefused"
    assert world.book.remaining == []


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve", "retry with arguments", "terminate"])
def test_a_rejection_after_the_pivot_waits_for_a_person(world: World, answer: str) -> None:
    mended: list[bool] = []

    def decide(call: Any) -> None:
        if call.tag == "old" and not mended:
            raise Rejected("no")

    a = world.book.step("a")
    b = world.book.step("b", decide)
    c = world.book.step("c")

    @saga(name="promise10")
    async def shop() -> str | None:
        await a()
        await amends.pivot()
        found = await b("old")
        await c()
        return found

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            held = await handle.outcome()
            assert held.status == "attention"
            assert [(i["step"], i["direction"]) for i in held.items] == [("b", "do")]
            if answer == "retry":
                mended.append(True)
                await handle.retry()
            elif answer == "retry with arguments":
                await handle.retry(args=("new",))
            elif answer == "skip":
                await handle.skip("we can do without")
            elif answer == "resolve":
                await handle.resolve("by hand", reason="done by phone")
            else:
                await handle.terminate("we give up")
            return await world.ended(handle)

    result = world.run(main)
    if answer == "terminate":
        assert result.status == "terminated"
    else:
        wanted = {"retry": "b:old", "retry with arguments": "b:new", "skip": None, "resolve": "by hand"}[
            answer
        ]
        assert (result.status, result.value) == ("completed", wanted)
        assert "c" in world.book.done()
    assert world.book.undone == []
    assert "a" in world.book.remaining


@pytest.mark.parametrize("answer", ["resolve", "skip"])
def test_an_operator_can_decide_about_a_step_that_is_tried_for_ever(world: World, answer: str) -> None:
    """It has used up its own retries long ago; must somebody who knows better wait for it?"""
    a = world.book.step("a")
    b = world.book.step("b", ValueError("for ever"), retry=ONCE)

    @saga(name="promise10")
    async def shop() -> str | None:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b", count=5)
            if answer == "resolve":
                await handle.resolve("by hand", reason="done by phone")
            else:
                await handle.skip("we can do without")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "by hand" if answer == "resolve" else None)
    assert world.book.undone == []


def test_what_is_tried_for_ever_can_be_seen(world: World) -> None:
    """None silent (promise 16): its history says what fails, and when it is tried again."""
    b = world.book.step("b", ValueError("the printer is on fire"), retry=ONCE)

    @saga(name="promise10")
    async def shop() -> str:
        await amends.pivot()
        return await b()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b", count=5)
            await asyncio.sleep(0.05)
            assert "the printer is on fire" in str(await handle.history())
            await handle.terminate("enough")
            await handle.outcome()

    world.run(main)


def test_a_body_that_fails_after_the_pivot_undoes_nothing_and_goes_on_after_a_fix(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    broken = [True]

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await amends.pivot()
        await b()
        if broken:
            raise KeyError("a bug after the pivot")
        return "mended"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            held = await handle.outcome()
            assert held.status == "attention"
            assert "a bug after the pivot" in held.items[0]["message"]
            assert held.items[0]["do"], "it says what to do"
            await handle.cancel("undo it, then")
            await asyncio.sleep(100)
            assert (await handle.status()).status == "attention"
            assert world.book.undone == []
            broken.clear()
            await handle.retry(reason="deployed")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "mended")
    assert world.book.undone == []
    world.book.audit()


def test_a_cancel_of_a_diverged_execution_undoes_nothing_after_the_pivot(world: World) -> None:
    a, b, other = world.book.step("a"), world.book.step("b", hang, OK), world.book.step("other")

    @saga(name="promise10")
    async def before() -> str:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> amends.Result[str]:
        async with world.engine(before) as engine:
            await engine.start(before(), id="one")
            await world.book.begun("b")
            await world.crash(engine)

        @saga(name="promise10")
        async def after() -> str:
            await a()
            await amends.pivot()
            return await other()

        async with world.engine(after) as engine:
            handle = engine.handle(after, "one")
            assert (await handle.outcome()).cause == "divergence"
            await handle.cancel("undo it")
            await asyncio.sleep(100)
            assert (await handle.status()).status == "attention"
        async with world.engine(before) as engine:
            handle = engine.handle(before, "one")
            await handle.retry(reason="rolled back")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "b:")
    assert world.book.undone == []
    world.book.audit(crashes=1)


@pytest.mark.parametrize("manner", ["wait_for", "cancel the task", "leave it behind"])
def test_after_the_pivot_nothing_in_flight_is_interrupted(world: World, manner: str) -> None:
    a = world.book.step("a")
    b = world.book.step("b", lambda call: asyncio.sleep(60))

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await amends.pivot()
        if manner == "wait_for":
            try:
                return await asyncio.wait_for(b(), 10)
            except TimeoutError:
                return "late"
        task = asyncio.create_task(b())
        await asyncio.sleep(10)
        if manner == "cancel the task":
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return "late"
        return "left"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.status == "completed"
    assert world.book.of("b")[0].how == "ok"
    assert world.book.undone == []


def test_a_savepoint_after_the_pivot_undoes_nothing(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await amends.pivot()
        try:
            async with amends.savepoint():
                await b()
                raise ValueError("leave it")
        except ValueError:
            return "left"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "left"

    world.run(main)
    assert world.book.undone == []


def test_a_pivot_is_remembered_across_a_crash(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b", hang, ValueError("?"), OK, retry=Retry(attempts=1))

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b")
            await world.crash(engine)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.cancel("too late")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "b:")
    assert world.book.undone == []


# ---------------------------------------------------------------- nested


def test_a_childs_pivot_is_its_ancestors(world: World) -> None:
    a, b, c = (world.book.step(name) for name in "abc")
    bad = world.book.step("bad", Rejected("no"), OK)

    @saga(name="promise10.grandchild")
    async def grandchild() -> None:
        await c()
        await amends.pivot()

    @saga(name="promise10.child")
    async def child() -> None:
        await b()
        await grandchild()

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await child()
        return await bad()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            held = await handle.outcome()
            assert held.status == "attention"
            await handle.cancel("no way back")
            await asyncio.sleep(100)
            assert world.book.undone == []
            await handle.retry()
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "bad:")
    assert world.book.undone == []


def test_a_childs_pivot_is_refused_while_its_ancestors_have_something_in_flight(world: World) -> None:
    a, slow = world.book.step("a"), world.book.step("slow", lambda call: asyncio.sleep(100))
    heard: list[str] = []

    @saga(name="promise10.child")
    async def child() -> str:
        await a()
        try:
            await amends.pivot()
        except PivotRefused as refusal:
            heard.append(str(refusal))
        return "done"

    @saga(name="promise10")
    async def shop() -> None:
        await asyncio.gather(slow(), child())
        raise ValueError("nothing was pivoted")

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert "slow" in heard[0]
    assert world.book.remaining == []


@pytest.mark.parametrize("sooner", ["cancel", "pivot"])
def test_a_cancel_of_the_parent_and_a_pivot_of_the_child_have_one_winner(world: World, sooner: str) -> None:
    a = world.book.step("a", lambda call: asyncio.sleep(10))
    b = world.book.step("b", lambda call: asyncio.sleep(50))

    @saga(name="promise10.child")
    async def child() -> str:
        await a()
        await amends.pivot()
        return await b()

    @saga(name="promise10")
    async def shop() -> str:
        return await child()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(9.99 if sooner == "cancel" else 10.05)
            await handle.cancel("now")
            return await handle.outcome()

    result = world.run(main)
    if result.status == "completed":
        assert world.book.undone == []
        assert world.book.remaining == ["a", "b"]
    else:
        assert result.status == "compensated"
        assert world.book.remaining == []
    assert result.status == ("compensated" if sooner == "cancel" else "completed")


@pytest.mark.parametrize("number", range(1, 14))
def test_parent_and_child_agree_about_the_pivot_across_a_crash(world: World, number: int) -> None:
    a, b, c = (world.book.step(name) for name in "abc")
    fails = world.book.step("fails", ValueError("?"), OK, retry=ONCE)

    @saga(name="promise10.child")
    async def child() -> str:
        await b()
        await amends.pivot()
        return await c()

    @saga(name="promise10")
    async def shop() -> str:
        await a()
        await child()
        return await fails()

    async def main() -> amends.Result[Any]:
        wire = world.wire()
        wire.at(number, "after", "crash")
        async with world.engine(shop, wire=wire) as engine:
            starting = asyncio.create_task(engine.start(shop(), id="one"))
            try:
                async with asyncio.timeout(50):
                    await wire.crashed.wait()
            except TimeoutError:
                return await (await starting).outcome()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "fails:"), result
    assert world.book.undone == []


def test_a_failure_that_the_saga_handles_is_no_failure_after_the_pivot_either(world: World) -> None:
    """StepFailed never reaches the body after the pivot: there is nothing it could do about it."""
    a = world.book.step("a", ValueError("?"), OK, retry=ONCE)
    seen: list[str] = []

    @saga(name="promise10")
    async def shop() -> str:
        await amends.pivot()
        try:
            return await a()
        except StepFailed:
            seen.append("?")
            raise

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "a:"

    world.run(main)
    assert not seen


@pytest.mark.parametrize("place", ["waiting", "asleep", "running"])
@pytest.mark.parametrize("answer", ["resolve", "skip", "retry"])
def test_who_knows_better_need_not_wait_for_the_next_attempt(world: World, answer: str, place: str) -> None:
    """The step's next attempt is a day away (or under way, and hangs): an operator's word counts now."""
    mended: list[bool] = []

    async def later(call: Any) -> None:
        if not mended:
            await hang(call)

    a = world.book.step("a")
    b = world.book.step(
        "b",
        TimeoutError("?"),
        later if place == "running" else TimeoutError("again"),
        OK,
        retry=Retry(delay=0.01 if place == "running" else 86_400, cap=86_400),
    )

    @saga(name="promise10")
    async def shop() -> str | None:
        await a()
        await amends.pivot()
        return await b()

    async def main() -> tuple[amends.Result[Any], float]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b", count=2 if place == "running" else 1)
            await asyncio.sleep(300 if place == "asleep" else 1)
            began = asyncio.get_running_loop().time()
            if answer == "resolve":
                await handle.resolve("by hand", reason="done by phone")
            elif answer == "skip":
                await handle.skip("we can do without")
            else:
                mended.append(True)
                await handle.retry(reason="it is back")
                await asyncio.sleep(1)
                await handle.terminate("enough")
            result = await handle.outcome()
            return result, asyncio.get_running_loop().time() - began

    result, waited = world.run(main)
    assert waited < 60
    if answer == "retry":
        assert len(world.book.of("b")) == 2
        return
    assert (result.status, result.value) == ("completed", "by hand" if answer == "resolve" else None)
    if answer == "skip":
        assert [r["step"] for r in result.residue] == ["b"], "what it did, if anything, is not known"
    assert world.book.undone == []


def test_a_resolved_step_that_was_tried_again_and_again_is_undone_like_any_other(world: World) -> None:
    """Before the pivot, by a policy that says forward: resolved by hand, then the saga fails."""
    b = world.book.step("b", ValueError("for ever"), retry=ONCE, recovery={ValueError: "forward"})
    c = world.book.step("c", Rejected("no"))

    @saga(name="promise10")
    async def shop() -> None:
        await b()
        await c()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("b", count=5)
            await handle.resolve("by hand", reason="done by phone")
            return await world.ended(handle)

    result = world.run(main)
    assert result.status == "compensated"
    assert world.book.undone == ["b"]


@pytest.mark.parametrize("answer", ["skip", "resolve"])
def test_a_compensation_that_is_tried_for_ever_can_be_decided(world: World, answer: str) -> None:
    a = world.book.step(
        "a",
        undo=(ValueError("for ever"),),
        undo_options={"retry": Retry(attempts=None, delay=86_400, cap=86_400)},
    )
    c = world.book.step("c", Rejected("no"))

    @saga(name="promise10")
    async def shop() -> None:
        await a()
        await c()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a", "undo")
            await asyncio.sleep(1)
            if answer == "skip":
                await handle.skip("let it be")
            else:
                await handle.resolve(reason="done by phone")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == ("partially_compensated" if answer == "skip" else "compensated")
