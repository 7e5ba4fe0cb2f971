"""Promise 2: a step succeeds or leaves nothing behind: it is settled before its failure reaches the saga."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import amends
from amends import NotSent, Rejected, Retry, StepFailed, saga

from .book import OK, Call, hang
from .world import World


async def stubborn(call: Call) -> None:
    """Succeeds all the same when told to stop."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return


async def slow_to_stop(call: Call) -> None:
    """Takes its time to end when told to stop."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.sleep(30)


def finish(world: World, definition: Any) -> amends.Result[Any]:
    """Run one execution of a saga without arguments to its end."""

    async def main() -> amends.Result[Any]:
        async with world.engine(definition) as engine:
            return await (await engine.start(definition(), id="one")).outcome()

    return world.run(main)


def order(world: World, *names: str) -> list[str]:
    """What happened, in order: ``+name`` an action ended (anyhow), ``-name`` a compensation ended well."""
    done = []
    for call in world.book.calls:
        assert call.ended is not None, call
        if call.direction == "do":
            done.append((call.ended, f"+{call.name}"))
        elif call.how == "ok":
            done.append((call.ended, f"-{call.name}"))
    return [what for _, what in sorted(done) if not names or what[1:] in names]


@pytest.mark.parametrize(
    "end", [ConnectionResetError("?"), ValueError("?"), hang], ids=["reset", "error", "timeout"]
)
def test_never_pays_twice(world: World, end: Any) -> None:
    pay_a = world.book.step("pay_a", end, timeout=5)
    pay_b = world.book.step("pay_b")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            return await pay_a()
        except StepFailed:
            return await pay_b()

    result = finish(world, shop)

    assert (result.status, result.value) == ("completed", "pay_b:")
    assert order(world) == ["+pay_a", "-pay_a", "+pay_b"]
    assert world.book.remaining == ["pay_b"]
    world.book.audit()


@pytest.mark.parametrize("end", [Rejected("no"), NotSent("no")], ids=["rejected", "not sent"])
def test_a_rejection_needs_no_settling(world: World, end: Exception) -> None:
    pay_a = world.book.step("pay_a", end)
    pay_b = world.book.step("pay_b")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            return await pay_a()
        except StepFailed:
            return await pay_b()

    assert finish(world, shop).status == "completed"
    assert order(world) == ["+pay_a", "+pay_b"]


def test_a_later_attempt_needs_no_settling_of_the_one_before(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), hang, OK, timeout=5, retry=Retry(attempts=3, delay=1))

    @saga(name="promise2")
    async def shop() -> str:
        return await pay()

    assert finish(world, shop).status == "completed"
    assert world.book.undone == []
    world.book.audit(retried=True)


@pytest.mark.parametrize("manner", ["wait_for", "timeout", "task", "task group", "gather"])
@pytest.mark.parametrize("obeys", [hang, stubborn, slow_to_stop])
def test_a_cancelled_action_is_settled_before_the_saga_hears_of_it(
    world: World, manner: str, obeys: Any
) -> None:
    slow = world.book.step("slow", obeys)
    bad = world.book.step("bad", Rejected("no"))
    after = world.book.step("after")

    async def by_wait_for() -> None:
        await asyncio.wait_for(slow(), 5)

    async def by_timeout() -> None:
        async with asyncio.timeout(5):
            await slow()

    async def by_task() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(5)
        task.cancel()
        await task

    async def by_task_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            await asyncio.sleep(5)
            group.create_task(bad())

    async def by_gather() -> None:
        gathered = asyncio.gather(slow())  # (with others, asyncio passes on the first cancellation of them)
        await asyncio.sleep(1)
        gathered.cancel()
        await gathered

    ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "wait_for": by_wait_for,
        "timeout": by_timeout,
        "task": by_task,
        "task group": by_task_group,
        "gather": by_gather,
    }

    @saga(name="promise2")
    async def shop() -> str:
        try:
            await ways[manner]()
        except* (TimeoutError, StepFailed, asyncio.CancelledError):
            await after()
        return "done"

    result = finish(world, shop)

    assert (result.status, result.value) == ("completed", "done")
    assert order(world, "slow", "after") == ["+slow", "-slow", "+after"]
    assert [c.outcome for c in world.book.of("slow", "undo")] == [
        "succeeded" if obeys is stubborn else "unknown"
    ]
    world.book.audit()


def test_a_step_that_succeeded_just_before_it_was_cancelled_keeps_its_effect_or_loses_it_but_not_half(
    world: World,
) -> None:
    """Its completion and the timer of the timeout come in one activation: both orders are fine, if consistent."""
    quick = world.book.step("quick", lambda call: asyncio.sleep(5))
    after = world.book.step("after")
    heard: list[str] = []

    @saga(name="promise2")
    async def shop() -> str:
        try:
            await asyncio.wait_for(quick(), 5)
        except TimeoutError:
            heard.append("timeout")
        else:
            heard.append("in time")
        await after()
        return heard[-1]

    result = finish(world, shop)

    assert result.status == "completed"
    if result.value == "timeout":
        assert order(world, "quick", "after") == ["+quick", "-quick", "+after"]
    else:
        assert order(world, "quick", "after") == ["+quick", "+after"]
    world.book.audit()


def test_a_task_group_that_aborts_leaves_nothing_of_the_others(world: World) -> None:
    """What completed inside stays (the saga holds its result); what was in flight is settled; then the error goes on."""
    done = world.book.step("done")
    slow = world.book.step("slow", hang)
    bad = world.book.step("bad", lambda call: fail_after(10))
    after = world.book.step("after")

    async def fail_after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        raise Rejected("no")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(done())
                group.create_task(slow())
                group.create_task(bad())
        except* StepFailed:
            await after()
        return "ok"

    assert finish(world, shop).status == "completed"
    assert order(world, "done", "slow", "after") == ["+done", "+slow", "-slow", "+after"]
    assert world.book.remaining == ["after", "done"]


@pytest.mark.parametrize(
    "end", [ConnectionResetError("?"), hang, Rejected("no")], ids=["reset", "timeout", "rejected"]
)
def test_an_alternative_begins_when_the_step_before_it_is_settled(world: World, end: Any) -> None:
    third = world.book.step("third")
    second = world.book.step("second", end, timeout=5)
    first = world.book.step("first", end, timeout=5, fallback=[second, third])

    @saga(name="promise2")
    async def shop() -> str:
        return await first("x")

    result = finish(world, shop)

    assert (result.status, result.value) == ("completed", "third:x")
    if isinstance(end, Rejected):
        assert order(world) == ["+first", "+second", "+third"]
    else:
        assert order(world) == ["+first", "-first", "+second", "-second", "+third"]
    world.book.audit()


@pytest.mark.parametrize("obeys", [hang, stubborn, slow_to_stop])
def test_on_return_pending_tasks_are_cancelled_and_settled_first(world: World, obeys: Any) -> None:
    slow = world.book.step("slow", obeys, undo=(lambda call: asyncio.sleep(5),))
    first = world.book.step("first")
    status: list[str] = []

    @saga(name="promise2")
    async def shop() -> str:
        asyncio.create_task(slow())  # noqa: RUF006 - left behind on purpose
        await first()
        await asyncio.sleep(1)
        return "returned"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow", "undo")
            status.append((await handle.status()).status)
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "returned")
    assert status == ["running"], "not completed before all is settled"
    assert order(world, "slow") == ["+slow", "-slow"]
    assert world.book.remaining == ["first"]
    world.book.audit()


def test_a_pending_task_cannot_begin_anything_new_after_the_return(world: World) -> None:
    late = world.book.step("late")

    async def dawdle() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await late()

    @saga(name="promise2")
    async def shop() -> str:
        asyncio.create_task(dawdle())  # noqa: RUF006 - left behind on purpose
        await asyncio.sleep(1)
        return "returned"

    assert finish(world, shop).status == "completed"
    assert world.book.remaining == []


def test_completed_means_that_nothing_is_unsettled(world: World) -> None:
    """A settlement that needs a person holds the execution, though its body has returned."""
    slow = world.book.step(
        "slow", hang, undo=(ValueError("refused"), OK), undo_options={"retry": Retry(attempts=1)}
    )

    @saga(name="promise2")
    async def shop() -> str:
        asyncio.create_task(slow())  # noqa: RUF006 - left behind on purpose
        await asyncio.sleep(1)
        return "returned"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            stuck = await handle.outcome()
            assert stuck.status == "attention"
            await handle.retry(reason="the bank is back")
            return await world.ended(handle)

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "returned")
    assert world.book.undone == ["slow"]


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve"])
def test_a_settlement_that_fails_holds_the_saga_until_somebody_decides(world: World, answer: str) -> None:
    pay_a = world.book.step(
        "pay_a",
        ConnectionResetError("?"),
        undo=(ValueError("no"), OK),
        undo_options={"retry": Retry(attempts=1)},
    )
    pay_b = world.book.step("pay_b")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            return await pay_a()
        except StepFailed:
            return await pay_b()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await world.passes(60)
            assert not world.book.of("pay_b"), "pay_b must wait until pay_a is settled"
            if answer == "retry":
                await handle.retry()
            elif answer == "skip":
                await handle.skip("the bank confirms that nothing was booked")
            else:
                await handle.resolve(reason="refunded by phone")
            return await world.ended(handle)

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "pay_b:")
    assert world.book.remaining == ["pay_b"]
    assert len(result.residue) == (answer == "skip"), "what was skipped is on record"


def test_a_savepoint_left_by_an_exception_is_settled_before_the_exception_goes_on(world: World) -> None:
    one, two = world.book.step("one"), world.book.step("two", ConnectionResetError("?"))
    after = world.book.step("after")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            async with amends.savepoint():
                await one()
                await two()
        except StepFailed:
            await after()
        return "ok"

    assert finish(world, shop).status == "completed"
    assert order(world) == ["+one", "+two", "-two", "-one", "+after"]
    assert world.book.remaining == ["after"]


@pytest.mark.parametrize("obeys", [hang, stubborn])
def test_a_nested_saga_that_is_given_up_is_settled_first(world: World, obeys: Any) -> None:
    inner_done, inner_slow = world.book.step("inner_done"), world.book.step("inner_slow", obeys)
    after = world.book.step("after")

    @saga(name="promise2.child")
    async def child() -> str:
        await inner_done()
        return await inner_slow()

    @saga(name="promise2")
    async def shop() -> str:
        try:
            await asyncio.wait_for(child(), 5)
        except TimeoutError:
            await after()
        return "ok"

    result = finish(world, shop)

    assert result.status == "completed"
    assert order(world)[-1] == "+after"
    assert world.book.remaining == ["after"]
    world.book.audit()


def test_nothing_to_undo_where_no_compensation_is_declared(world: World) -> None:
    look = world.book.step("look", ConnectionResetError("?"), undo=None)
    after = world.book.step("after")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            return await look()
        except StepFailed as failure:
            assert failure.outcome == "unknown"
            return await after()

    assert finish(world, shop).status == "completed"


def test_an_irreversible_step_of_unknown_outcome_waits_for_a_person(world: World) -> None:
    """It cannot be settled by undoing it, so its failure must not reach the saga as if it were."""
    launch = world.book.step("launch", ConnectionResetError("?"), undo=None, irreversible=True)
    again = world.book.step("again")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            return await launch()
        except StepFailed:
            return await again()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            held = await handle.outcome()
            assert held.status == "attention"
            assert held.items[0]["step"] == "launch"
            assert held.items[0]["outcome"] == "unknown"
            await handle.resolve("launched", reason="seen with my own eyes")
            return await world.ended(handle)

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "launched")
    assert not world.book.of("again")


def test_cancelled_settling_is_still_settled_first(world: World) -> None:
    """The settlement takes long, and the saga's own timeout runs out meanwhile."""
    pay_a = world.book.step("pay_a", ConnectionResetError("?"), undo=(lambda call: asyncio.sleep(100),))
    pay_b = world.book.step("pay_b")

    @saga(name="promise2")
    async def shop() -> str:
        try:
            async with asyncio.timeout(5):
                return await pay_a()
        except (StepFailed, TimeoutError):
            return await pay_b()

    result = finish(world, shop)

    assert (result.status, result.value) == ("completed", "pay_b:")
    assert order(world) == ["+pay_a", "-pay_a", "+pay_b"]
    world.book.audit()
