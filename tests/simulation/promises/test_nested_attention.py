"""A nested saga in attention holds its ancestors (promise 12), and whoever looks at one of them is shown it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Client, NeedsAttention, Recovery, Refused, Rejected, saga

from .book import OK, ONCE
from .world import World, forget


def family(world: World, *script: Any, after: Any = OK) -> tuple[Any, Any, Any]:
    """Grandparent, parent and child; the child's step is held for a person if it is rejected."""
    work = world.book.step("work", *(script or (Rejected("no"), OK)), recovery={Rejected: Recovery.ASK})
    last = world.book.step("last", after)

    @saga(name="family.child")
    async def child() -> str:
        return await work()

    @saga(name="family.parent")
    async def parent() -> str:
        return await child()

    @saga(name="family.top")
    async def top() -> str:
        done = await parent()
        await last()
        return done

    return top, parent, child


CHILD = "one~1~1"


def test_every_ancestor_shows_what_is_parked_below_it(world: World) -> None:
    top, parent, child = family(world)

    async def main() -> None:
        async with world.engine(top, parent, child) as engine:
            handle = await engine.start(top(), id="one")
            waiting = asyncio.create_task(handle.outcome())
            result = await waiting
            assert (result.status, result.cause) == ("attention", "child")
            assert [(i["execution"], i["saga"], i["why"]) for i in result.items] == [
                (CHILD, "family.child", "ask")
            ]
            for id, definition in (("one", top), ("one~1", parent)):
                status = await engine.handle(definition, id).status()
                assert (status.status, status.cause) == ("attention", "child")
                assert [item["execution"] for item in status.items] == [CHILD]
                assert not status.parked_whole
            own = await engine.handle(child, CHILD).status()
            assert (own.status, own.cause) == ("attention", "failed")
            assert "execution" not in own.items[0]
            with pytest.raises(NeedsAttention, match=CHILD):
                await handle.result()

    world.run(main)


@pytest.mark.parametrize("when", ["resident", "asleep"])
def test_who_waits_elsewhere_is_told_too(world: World, when: str) -> None:
    top, parent, child = family(world)

    async def main() -> None:
        async with world.engine(top, parent, child) as engine:
            await engine.start(top(), id="one")
            if when == "asleep":
                await asyncio.sleep(600)
            client = Client(world.store())
            async with client:
                result = await client.handle(top, "one").outcome()
                assert result.status == "attention"
                assert result.items[0]["execution"] == CHILD

    world.run(main)


def test_an_operator_at_the_ancestor_is_told_which_handle_to_use(world: World) -> None:
    top, parent, child = family(world)

    async def main() -> None:
        async with world.engine(top, parent, child) as engine:
            handle = await engine.start(top(), id="one")
            await handle.outcome()
            for act in (handle.retry(), handle.skip("no"), handle.resolve("x", "y")):
                with pytest.raises(Refused, match="below it: one~1~1") as refused:
                    await act
                assert f'engine.handle(<family.child>, "{CHILD}")' in refused.value.hint
            assert await handle.audit() == []
            below = engine.handle(child, CHILD)
            await below.retry()
            await below.outcome()
            assert await handle.result() == "work:"

    world.run(main)


def test_a_nested_saga_that_is_parked_as_a_whole_shows_as_well(world: World) -> None:
    slow = world.book.step("slow", lambda call: asyncio.sleep(100))

    @saga(name="family.gone")
    async def child() -> str:
        await asyncio.sleep(1000)
        return await slow()

    @saga(name="family.top")
    async def top() -> str:
        return await child()

    async def main() -> None:
        async with world.engine(top, child) as engine:
            await engine.start(top(), id="one")
            await asyncio.sleep(10)
        forget(child)

        @saga(name="family.top")
        async def stub() -> str:
            return await child()

        async with world.engine(stub) as engine:
            handle = engine.handle(stub, "one")
            result = await handle.outcome()
            assert result.status == "attention"
            assert (result.items[0]["execution"], result.items[0]["why"]) == ("one~1", "missing_definition")
            await handle.cancel("it will not come back")
            assert (await handle.outcome()).status == "compensated"

    world.run(main)


def test_a_cancel_of_the_ancestor_is_not_answered_with_the_attention_it_ends(world: World) -> None:
    top, parent, child = family(world)

    async def main() -> None:
        async with world.engine(top, parent, child) as engine:
            handle = await engine.start(top(), id="one")
            await handle.outcome()
            await handle.cancel("enough")
            assert (await handle.outcome()).status == "compensated"

    world.run(main)


def test_a_request_that_does_not_move_what_is_below_does_not_make_the_waiter_hang(world: World) -> None:
    """The compensation of the nested saga is stuck; a cancel of the ancestor changes nothing about that."""
    work = world.book.step("work", undo=(ValueError("no"),), undo_options={"retry": ONCE})
    last = world.book.step("last", Rejected("no"))

    @saga(name="family.child")
    async def child() -> str:
        return await work()

    @saga(name="family.top")
    async def top() -> str:
        await child()
        return await last()

    async def main() -> None:
        async with world.engine(top, child) as engine:
            handle = await engine.start(top(), id="one")
            result = await handle.outcome()
            assert (result.status, result.cause) == ("attention", "failed")
            assert result.items[0]["why"] == "compensation failed"
            await handle.cancel("again")
            again = await handle.outcome()
            assert again.status == "attention"
            below = engine.handle(child, "one~1")
            await below.skip("refunded by phone")
            await below.outcome()
            assert (await handle.outcome()).status == "partially_compensated"

    world.run(main)


def test_what_was_left_behind_by_a_terminated_parent_holds_nobody(world: World) -> None:
    _, parent, child = family(world)

    @saga(name="family.tolerant")
    async def tolerant() -> str:
        try:
            return await parent()
        except Exception as error:
            await asyncio.sleep(10)
            return type(error).__name__

    async def main() -> None:
        async with world.engine(tolerant, parent, child) as engine:
            handle = await engine.start(tolerant(), id="one")
            await handle.outcome()
            await engine.handle(parent, "one~1").terminate("a test")
            await engine.handle(parent, "one~1").outcome()
            await asyncio.sleep(1)
            assert (await engine.handle(child, CHILD).status()).status == "attention"
            assert (await handle.status()).status == "running"
            assert await handle.result() == "Terminated"

    world.run(main)


def test_an_ancestor_that_has_ended_needs_no_attention(world: World) -> None:
    top, parent, child = family(world)

    async def main() -> None:
        async with world.engine(top, parent, child) as engine:
            handle = await engine.start(top(), id="one")
            await handle.outcome()
            await handle.terminate("a test")
            await asyncio.sleep(5)
            assert (await handle.status()).status == "terminated"
            assert (await handle.outcome()).status == "terminated"

    world.run(main)
