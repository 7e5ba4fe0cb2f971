"""Promise 11: a failing compensation stops nothing else: backoff, alternates, then a person; nothing is swallowed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

import amends
from amends import Rejected, Retry, saga

from .book import OK, ONCE, Call, hang
from .world import World


def run(world: World, definition: Any, *args: Any) -> amends.Result[Any]:
    """Run one execution to its end or to attention."""

    async def main() -> amends.Result[Any]:
        async with world.engine(definition) as engine:
            return await (await engine.start(definition(*args), id="one")).outcome()

    return world.run(main)


def failing_saga(world: World, *steps: Any) -> Any:
    """A saga that does these in order and then fails."""
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise11")
    async def shop() -> str:
        for step in steps:
            await step()
        return await bad()

    return shop


def test_it_is_tried_again_with_growing_capped_pauses(world: World) -> None:
    patient = Retry(attempts=8, delay=1, factor=2, cap=20, jitter=0)
    a = world.book.step("a", undo=(*[ConnectionResetError("down")] * 7, OK), undo_options={"retry": patient})

    assert run(world, failing_saga(world, a)).status == "compensated"

    gaps = [round(y.at - x.at, 3) for x, y in pairwise(world.book.of("a", "undo"))]
    assert gaps == [1, 2, 4, 8, 16, 20, 20]
    assert [c.attempt for c in world.book.of("a", "undo")] == list(range(1, 9))


def test_by_default_it_is_tried_for_a_while(world: World) -> None:
    a = world.book.step("a", undo=(*[ConnectionResetError("down")] * 5, OK))
    assert run(world, failing_saga(world, a)).status == "compensated"


def test_its_time_counts_from_its_own_begin(world: World) -> None:
    """The action was long ago: `total` is about the compensation."""
    short = Retry(attempts=5, delay=1, jitter=0, total=60)
    a = world.book.step("a", undo=(*[ConnectionResetError("down")] * 2, OK), undo_options={"retry": short})
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise11")
    async def shop() -> str:
        await a()
        await asyncio.sleep(1000)
        return await bad()

    assert run(world, shop).status == "compensated"
    assert len(world.book.of("a", "undo")) == 3


def test_its_own_timeout_is_a_failure_and_no_interruption_of_others(world: World) -> None:
    a = world.book.step(
        "a", undo=(hang, OK), undo_options={"timeout": 5, "retry": Retry(attempts=2, delay=1)}
    )
    b = world.book.step("b", undo=(lambda call: asyncio.sleep(50),))

    @saga(name="promise11")
    async def shop() -> None:
        await asyncio.gather(a(), b())
        raise ValueError("no")

    assert run(world, shop).status == "compensated"
    assert [c.how for c in world.book.of("a", "undo")] == ["cancelled", "ok"]
    assert [c.how for c in world.book.of("b", "undo")] == ["ok"]


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError("leaked"),
        TimeoutError("own"),
        Rejected("refund refused"),
        SystemExit(2),
        BaseException("?"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_it_raises_is_a_failure(world: World, error: BaseException) -> None:
    """Even what elsewhere means "stopped": nobody stopped it, so it has failed, and is tried again."""
    a = world.book.step("a", undo=(error, OK), undo_options={"retry": Retry(attempts=3, delay=1)})

    result = run(world, failing_saga(world, a))

    if result.status == "attention":  # an error that `Retry.on` does not name by default
        assert not isinstance(error, Exception)
        assert result.items[0]["error"]["type"] == type(error).__name__
    else:
        assert result.status == "compensated"
        assert len(world.book.of("a", "undo")) == 2


def test_alternates_are_tried_in_their_order(world: World) -> None:
    first = world.book.alternate("a", ValueError("first no"))
    second = world.book.alternate("a", ValueError("second no"), OK)
    a = world.book.step(
        "a",
        undo=(ValueError("no"),),
        undo_options={"retry": Retry(attempts=2, delay=1), "alternates": [first, second]},
    )

    assert run(world, failing_saga(world, a)).status == "compensated"

    undo = [c for c in world.book.calls if c.direction == "undo"]
    assert [c.name for c in undo] == ["a", "a", "a/alternate", "a/alternate", "a/alternate"]
    assert len({c.key for c in undo}) == 1, "one action, one direction, one key"


def test_alternates_go_on_where_they_were_after_a_crash(world: World) -> None:
    other = world.book.alternate("a", hang, OK)
    a = world.book.step("a", undo=(ValueError("no"),), undo_options={"retry": ONCE, "alternates": [other]})
    shop = failing_saga(world, a)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a/alternate", "undo")
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    assert [c.name for c in world.book.calls if c.direction == "undo"] == ["a", "a/alternate", "a/alternate"]


def test_a_crash_does_not_give_it_more_attempts_than_it_has(world: World) -> None:
    """Each attempt that failed is on record, so the count goes on; one that was lost may be repeated."""
    three = {"retry": Retry(attempts=3, delay=100, cap=100, jitter=0)}
    a = world.book.step("a", undo=(ValueError("no"),), undo_options=three)
    shop = failing_saga(world, a)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a", "undo", count=2)
            await asyncio.sleep(10)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "attention"
    assert [c.attempt for c in world.book.of("a", "undo")] == [1, 2, 3]


def test_then_it_waits_for_a_person_who_is_told_all(world: World) -> None:
    a = world.book.step(
        "a", undo=(ValueError("the bank says no"),), undo_options={"retry": Retry(attempts=3, delay=1)}
    )
    b, c = world.book.step("b"), world.book.step("c")

    result = run(world, failing_saga(world, b, a, c))

    assert (result.status, result.cause) == ("attention", "failed")
    (item,) = result.items
    assert item["step"] == "a"
    assert item["direction"] == "undo"
    assert item["action"] == world.book.of("a")[0].action
    assert item["outcome"] == "succeeded"
    assert item["result"] == "a:"
    assert item["arguments"] == {"tag": ""}
    assert item["error"] == {"type": "ValueError", "message": "the bank says no"}
    with pytest.raises(amends.NeedsAttention, match="the bank says no"):
        result.unwrap()


def test_nothing_else_is_stopped(world: World) -> None:
    """Neither what comes before it, nor beside it, nor other executions, nor the parent's other work."""
    stuck = {"retry": ONCE}
    a, b, d = (world.book.step(name) for name in "abd")
    c = world.book.step("c", undo=(ValueError("no"),), undo_options=stuck)
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise11")
    async def shop() -> str:
        await a()
        await asyncio.gather(b(), c())
        await d()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.reaches(handle, "attention")
            await world.book.until(lambda: {"a", "b", "d"} <= {*world.book.undone})
            assert world.book.undone.index("d") < world.book.undone.index("b") < world.book.undone.index("a")
            again = await engine.start(shop(), id="two")
            await world.book.until(lambda: world.book.undone.count("a") == 2)
            assert (await again.outcome()).status == "attention"
            assert (await handle.status()).status == "attention"

    world.run(main)


def test_two_that_fail_are_both_shown_and_answered_one_by_one(world: World) -> None:
    once = {"retry": ONCE}
    a = world.book.step("a", undo=(ValueError("a no"), OK), undo_options=once)
    b = world.book.step("b", undo=(ValueError("b no"),), undo_options=once)
    shop = failing_saga(world, a, b)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.until(lambda: len(world.book.of("a", "undo")) == 1)
            await asyncio.sleep(10)
            items = (await handle.status()).items
            assert sorted(i["step"] for i in items) == ["a", "b"]
            actions = {i["step"]: i["action"] for i in items}
            await handle.skip("written off", action=actions["b"], by="ann")
            await asyncio.sleep(10)
            assert [i["step"] for i in (await handle.status()).items] == ["a"]
            await handle.retry(action=actions["a"], by="bob", reason="the bank is back")
            result = await world.ended(handle)
            audit = [(r.by, r.action, r.detail) for r in await handle.audit()]
            assert audit == [("ann", "skip", actions["b"]), ("bob", "retry", actions["a"])]
            return result

    result = world.run(main)
    assert result.status == "partially_compensated"
    assert [(r["step"], "written off" in r["reason"], r["by"]) for r in result.residue] == [
        ("b", True, "ann")
    ]
    assert world.book.undone == ["a"]


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve"])
def test_each_answer_ends_it(world: World, answer: str) -> None:
    a = world.book.step("a", undo=(ValueError("no"), OK), undo_options={"retry": ONCE})
    shop = failing_saga(world, a)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            if answer == "retry":
                await handle.retry()
            elif answer == "skip":
                await handle.skip("written off")
            else:
                await handle.resolve(reason="refunded by phone")
            assert [r.action for r in await handle.audit()] == [answer]
            return await handle.outcome()

    result = world.run(main)
    assert result.status == ("partially_compensated" if answer == "skip" else "compensated")
    assert len(result.residue) == (answer == "skip")
    assert len(world.book.of("a", "undo")) == (2 if answer == "retry" else 1)


def test_a_retry_gives_it_all_its_attempts_and_alternates_again(world: World) -> None:
    other = world.book.alternate("a", ValueError("no"), OK)
    a = world.book.step(
        "a",
        undo=(ValueError("no"),),
        undo_options={"retry": Retry(attempts=2, delay=1), "alternates": [other]},
    )
    other_calls = 0

    async def main() -> amends.Result[Any]:
        nonlocal other_calls
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            return await handle.outcome()

    shop = failing_saga(world, a)
    assert world.run(main).status == "compensated"
    assert [c.name for c in world.book.calls if c.direction == "undo"] == [
        "a",
        "a",
        "a/alternate",
        "a/alternate",
    ]


def test_not_critical_leaves_a_residue_instead(world: World) -> None:
    relaxed = {"retry": Retry(attempts=2, delay=1), "critical": False}
    a = world.book.step("a", undo=(ValueError("no such mail"),), undo_options=relaxed)
    b = world.book.step("b")

    result = run(world, failing_saga(world, b, a))

    assert result.status == "partially_compensated"
    (left,) = result.residue
    assert (left["step"], left["action"]) == ("a", world.book.of("a")[0].action)
    assert "no such mail" in left["reason"]
    assert world.book.undone == ["b"]
    with pytest.raises(amends.Compensated) as caught:
        result.unwrap()
    assert len(caught.value.residue) == 1


def test_what_is_irreversible_is_a_residue_too(world: World) -> None:
    a = world.book.step("a", undo=None, irreversible=True)
    b = world.book.step("b")

    result = run(world, failing_saga(world, a, b))

    assert result.status == "partially_compensated"
    assert [(r["step"], r["reason"]) for r in result.residue] == [("a", "irreversible")]
    assert world.book.undone == ["b"]


# ---------------------------------------------------------------- verify


def test_a_compensation_that_did_not_take_is_tried_again(world: World) -> None:
    a = world.book.step("a", undo_options={"retry": Retry(attempts=5, delay=1)})
    looked: list[Any] = []

    @a.verify
    async def check(result: str | None, tag: str = "") -> bool:
        looked.append(result)
        return len(looked) > 2

    assert run(world, failing_saga(world, a)).status == "compensated"
    assert looked == ["a:"] * 3
    assert len(world.book.of("a", "undo")) == 3


def test_a_check_that_never_agrees_needs_a_person(world: World) -> None:
    a = world.book.step("a", undo_options={"retry": Retry(attempts=2, delay=1)})

    @a.verify
    async def check(result: str | None, tag: str = "") -> bool:
        if len(world.book.of("a", "undo")) == 1:
            raise ConnectionResetError("cannot look")
        return False

    result = run(world, failing_saga(world, a))
    assert result.status == "attention"
    assert "did not take" in result.items[0]["error"]["message"]


# ---------------------------------------------------------------- ad hoc


def test_an_ad_hoc_compensation_is_tried_again_like_any_other(world: World) -> None:
    note = world.book.step("note", *[ConnectionResetError("down")] * 3, OK, undo=None)
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise11")
    async def shop() -> str:
        amends.undo_with(note, "x")
        return await bad()

    assert run(world, shop).status == "compensated"
    assert len(world.book.of("note")) == 4


def test_an_ad_hoc_compensation_that_gives_up_needs_a_person(world: World) -> None:
    calls: list[Call] = []

    def fail(call: Call) -> None:
        calls.append(call)
        if len(calls) < 30:
            raise ConnectionResetError("down")

    note, a = world.book.step("note", fail, undo=None), world.book.step("a")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise11")
    async def shop() -> str:
        await a()
        amends.undo_with(note, "x")
        return await bad()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            stuck = await handle.outcome()
            assert stuck.status == "attention"
            assert stuck.items[0]["step"] == "note"
            assert stuck.items[0]["arguments"] == {"tag": "x"}
            await world.book.until(lambda: "a" in world.book.undone)
            calls.extend(calls[:1] * 30)
            await handle.retry()
            return await world.ended(handle)

    assert world.run(main).status == "compensated"
