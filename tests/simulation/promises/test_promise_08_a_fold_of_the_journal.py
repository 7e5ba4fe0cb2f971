"""Promise 8: what is undone follows from the journal alone; no saga code runs again for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends import Rejected, Settings, Signal, saga

from .book import OK, hang
from .world import World, forget

answer = Signal[str]("answer")
WEEKS = 3 * 7 * 24 * 3600.0


def test_the_body_does_not_run_again_to_compensate(world: World) -> None:
    """After the backward way has begun, workers come and go; the body is not called once more."""
    bodies: list[str] = []
    a, b = world.book.step("a"), world.book.step("b", undo=(hang, hang, OK))
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise8")
    async def shop() -> str:
        bodies.append("run")
        await a()
        await b()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("b", "undo")
            await world.crash(engine)
        assert bodies == ["run"]
        async with world.engine(shop) as engine:
            await world.book.begun("b", "undo", count=2)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "compensated"
    assert bodies == ["run"]
    assert world.book.undone == ["b", "a"]
    world.book.audit(crashes=2)


@pytest.mark.parametrize("deploy", ["another body", "a body that raises", "no such saga"])
def test_only_the_compensations_are_needed(world: World, deploy: str) -> None:
    a, b = world.book.step("a"), world.book.step("b", undo=(hang, OK))
    bad = world.book.step("bad", Rejected("no"))
    other = world.book.step("other")

    @saga(name="promise8")
    async def shop() -> str:
        await a()
        await b()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("b", "undo")
            await world.crash(engine)
        served = []
        if deploy == "another body":

            @saga(name="promise8")
            async def new() -> str:
                return await other()

            served = [new]
        elif deploy == "a body that raises":

            @saga(name="promise8")
            async def broken() -> str:
                raise SystemError("the body must not run")

            served = [broken]
        else:
            forget(shop)
        async with world.engine(*served) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert result.error is not None
    assert result.error["type"] == "StepFailed"
    assert world.book.undone == ["b", "a"]
    assert not world.book.of("other")


def test_a_completed_child_is_undone_weeks_and_deploys_later(world: World) -> None:
    world.settings = Settings(poll=3600.0)
    bodies: list[str] = []
    a, b, c = (world.book.step(name) for name in "abc")

    @saga(name="promise8.child")
    async def child() -> str:
        bodies.append("child")
        await a()
        return await b()

    @saga(name="promise8")
    async def shop() -> str:
        await child()
        await c()
        await answer.receive()
        raise ValueError("it was not meant to be")

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.until(lambda: "c" in world.book.done())
        await asyncio.sleep(WEEKS)
        forget(child)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.send(answer, "no")
            result = await handle.outcome()
            assert (await engine.handle(child, "one~1").status()).status == "compensated"
            return result

    world.run_for(2 * WEEKS, main)

    assert bodies == ["child"]
    assert world.book.undone == ["c", "b", "a"]
    world.book.audit()


def test_a_saga_in_the_middle_is_undone_from_its_journal_though_its_code_is_gone(world: World) -> None:
    a = world.book.step("a")

    @saga(name="promise8")
    async def shop() -> str:
        await a()
        await answer.receive()
        return "?"

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.until(lambda: "a" in world.book.done())
        forget(shop)
        async with world.engine() as engine:
            handle = engine.handle(shop, "one")
            await handle.cancel("the shop closed")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.undone == ["a"]


def test_what_the_live_worker_would_undo_is_what_the_journal_says(world: World) -> None:
    """The same execution undone by the worker that ran it, and by one that has only its journal."""

    async def run(die: bool, id: str) -> list[str]:
        world.book.calls.clear()
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id=id)
            await world.book.begun("gate")
            if not die:
                await handle.cancel("now")
                await handle.outcome()
                return undone()
            await world.crash(engine)
        forget(shop)
        async with world.engine() as engine:
            handle = engine.handle(shop, id)
            await handle.cancel("now")
            await world.ended(handle)
        return undone()

    def undone() -> list[str]:
        return sorted(
            {f"{c.name}:{c.tag} {c.result} {c.outcome}" for c in world.book.calls if c.direction == "undo"}
        )

    a, b, c = (world.book.step(name) for name in "abc")
    gone = world.book.step("gone", Rejected("no"))
    unclear = world.book.step("unclear", TimeoutError("?"))
    gate = world.book.step("gate", hang, undo=None)

    @saga(name="promise8")
    async def shop() -> str:
        await a("1")
        for step in (gone, unclear):
            try:
                await step("2")
            except amends.StepFailed:
                continue
        try:
            async with amends.savepoint():
                await b("3")
                await gone("4")
        except amends.StepFailed:
            pass
        await asyncio.gather(a("5"), c("6"))
        return await gate()

    async def main() -> tuple[list[str], list[str]]:
        return await run(False, "live"), await run(True, "journal")

    live, journal = world.run(main)
    assert live == journal
    # (b and what was unclear were settled before)
    assert {line.split()[0] for line in live} == {"a:1", "a:5", "c:6", "b:3", "unclear:2"}


@pytest.mark.parametrize("fix", ["redeploy", "resolve", "skip"])
def test_a_compensation_that_is_no_longer_defined_waits_for_a_person_and_others_go_on(
    world: World, fix: str
) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    gate = world.book.step("gate", hang, undo=None)

    @saga(name="promise8")
    async def shop() -> str:
        await a()
        await b()
        return await gate()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        forget(b, shop)
        async with world.engine() as engine:
            handle = engine.handle(shop, "one")
            await handle.cancel("now")
            await world.book.until(lambda: "a" in world.book.undone)
            stuck = await world.reaches(handle, "attention")
            assert [(i["step"], i["direction"]) for i in stuck.items] == [("b", "undo")]
            assert stuck.items[0]["error"]["type"] == "MissingDefinition"
            assert "b" in stuck.items[0]["error"]["message"]
            if fix == "redeploy":
                world.book.step("b")
                await handle.retry(reason="deployed")
            elif fix == "resolve":
                await handle.resolve(reason="by hand")
            else:
                await handle.skip("leave it")
            return await world.ended(handle)

    result = world.run(main)

    assert result.status == ("partially_compensated" if fix == "skip" else "compensated")
    assert world.book.undone == (["a", "b"] if fix == "redeploy" else ["a"])


def test_a_step_that_lost_its_compensation_is_not_passed_over(world: World) -> None:
    """Declared when the action ran, gone from the code since: the journal knows that something is owed."""
    a = world.book.step("a")
    gate = world.book.step("gate", hang, undo=None)

    @saga(name="promise8")
    async def shop() -> str:
        await a()
        return await gate()

    async def main() -> None:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        world.book.step("a", undo=None)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.cancel("now")
            stuck = await world.reaches(handle, "attention")
            assert "no longer has a compensation" in str(stuck.items)
            world.book.step("a")
            await handle.retry()
            assert (await world.ended(handle)).status == "compensated"

    world.run(main)
    assert world.book.undone == ["a"]


def test_a_compensation_that_came_later_is_used_for_what_was_unclear_only_as_journaled(world: World) -> None:
    """Not declared when the action ran: nothing is owed, whatever the code says today."""
    a = world.book.step("a", undo=None)
    gate = world.book.step("gate", hang, undo=None)

    @saga(name="promise8")
    async def shop() -> str:
        await a()
        return await gate()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        a_now = world.book.step("a")
        assert a_now.undo is not None

        @saga(name="promise8")
        async def shop_now() -> str:
            await a_now()
            return await gate()

        async with world.engine(shop_now) as engine:
            handle = engine.handle(shop_now, "one")
            await handle.cancel("now")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert world.book.undone == []
