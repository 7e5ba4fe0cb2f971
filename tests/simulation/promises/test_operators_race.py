"""Operators at odd moments: what comes too late changes nothing, and the audit says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import PayloadError, Recovery, Refused, Rejected, saga
from amends.kernel import entries as e

from .book import ONCE
from .world import World


def stuck(world: World) -> Any:
    """A saga whose second step is held for a person."""
    first = world.book.step("first")
    second = world.book.step("second", Rejected("no"), recovery={Rejected: Recovery.ASK})

    @saga(name="race.stuck")
    async def shop() -> str:
        await first()
        return await second()

    return shop


def acts(handle: Any, what: str, by: str) -> Any:
    return {
        "retry": lambda: handle.retry(by=by),
        "skip": lambda: handle.skip("enough", by=by),
        "resolve": lambda: handle.resolve("by hand", "seen", by=by),
    }[what]()


@pytest.mark.parametrize("what", ["retry", "skip", "resolve"])
def test_of_two_operators_who_act_at_once_the_audit_tells_which_had_no_effect(
    world: World, what: str
) -> None:
    shop = stuck(world)

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await asyncio.gather(acts(handle, what, "ann"), acts(handle, what, "bob"))
            await asyncio.sleep(5)
            audit = [(r.by, r.action) for r in await handle.audit()]
            assert audit == [("ann", what), ("bob", what), ("bob", f"{what}: no effect")]
            calls = len(world.book.of("second"))
            assert calls == (2 if what == "retry" else 1)
        async with world.engine(shop) as engine:
            await engine.handle(shop, "one").status()
            await asyncio.sleep(5)
        async with world.engine(shop) as engine:
            assert len(await engine.handle(shop, "one").audit()) == 3, "a replay does not tell it again"

    world.run(main)


def test_a_request_for_another_action_than_those_parked_meanwhile_has_no_effect(world: World) -> None:
    """It was checked, then unparked by another; the first activation that sees it says so."""
    shop = stuck(world)

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            header = await handle._backend.find("one")
            await handle._backend.operate(header, e.Retried("1", "ann"), "retry", "", "ann", "1")
            await asyncio.sleep(5)
            last = (await handle.audit())[-1]
            assert (last.by, last.action, last.detail) == ("ann", "retry: no effect", "1")
            assert (await handle.status()).status == "attention"
            assert len(world.book.calls) == 2, "nothing was run again"

    world.run(main)


def test_what_reaches_an_execution_after_its_end_is_on_record_as_without_effect(world: World) -> None:
    step = world.book.step("only")

    @saga(name="race.done")
    async def shop() -> str:
        return await step()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            header = await handle._backend.find("one")
            await handle.result()
            for request in (e.CancelRequested("late", by="ann"), e.TerminateRequested("late", "bob")):
                await handle._backend.operate(header, request, "ask", "late", request.by)
            await asyncio.sleep(5)
            audit = [(r.by, r.action) for r in await handle.audit()]
            assert audit[2:] == [("ann", "cancel: no effect"), ("bob", "terminate: no effect")]
            assert (await handle.status()).status == "completed"

    world.run(main)


def test_a_value_resolved_by_hand_is_undone_like_any_other(world: World) -> None:
    unsure = world.book.step("unsure", ValueError("?"), retry=ONCE, recovery={ValueError: Recovery.ASK})
    last = world.book.step("last", Rejected("no"))

    @saga(name="race.resolved")
    async def shop() -> str:
        await unsure()
        return await last()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            await handle.resolve("by hand", "seen at the participant")
            assert (await handle.outcome()).status == "compensated"

    world.run(main)
    assert [call.result for call in world.book.of("unsure", "undo")] == ["by hand"]


@pytest.mark.parametrize("value", [None, 7, {"not": "text"}])
def test_a_value_that_is_no_result_of_the_step_is_refused_with_what_to_do(world: World, value: Any) -> None:
    shop = stuck(world)

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            with pytest.raises(PayloadError) as refused:
                await handle.resolve(value, "seen")
            assert "second returns str" in refused.value.message
            assert repr(value) in refused.value.message
            assert "skip" in refused.value.hint
            assert await handle.audit() == []

    world.run(main)


REFUSED = {
    "no reason to skip": (lambda h: h.skip(" "), "needs a reason"),
    "no reason to terminate": (lambda h: h.terminate(""), "needs a reason"),
    "no reason to resolve": (lambda h: h.resolve("x", ""), "needs a reason"),
    "an action by number": (lambda h: h.retry(action=2), "a text, got 2"),
    "arguments that are none": (lambda h: h.retry(args="x"), "a tuple of all arguments"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_that_makes_no_sense_is_refused_with_a_sentence(world: World, what: str) -> None:
    shop = stuck(world)
    act, says = REFUSED[what]

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            with pytest.raises(Refused, match=says):
                await act(handle)
            assert await handle.audit() == []

    world.run(main)


def test_no_single_action_is_retried_of_what_is_parked_as_a_whole(world: World) -> None:
    @saga(name="race.whole")
    async def shop() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).cause == "stuck"
            for act in (handle.retry(action="1"), handle.retry(args=(1,))):
                with pytest.raises(Refused, match="as a whole"):
                    await act
            assert await handle.audit() == []

    world.run(main)
