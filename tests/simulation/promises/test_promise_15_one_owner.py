"""Promise 15: one owner. Ownership moves only by its owner, or after its owner's fence is retired."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import amends
from amends import Settings, Signal, saga
from amends.errors import Fenced
from amends.kernel import entries as e
from amends.store.port import Release, Write

from .book import Call
from .world import World, unknown

go = Signal[str]("go")


def shop_of(world: World, seconds: float = 20) -> Any:
    a, b = world.book.step("a", lambda call: asyncio.sleep(seconds)), world.book.step("b")

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await b()

    return shop


def overlapping(calls: list[Call]) -> bool:
    """Did two dispatches of one action run at a time?"""
    calls = sorted(calls, key=lambda c: c.began)
    return any(x.ended is None or x.ended > y.began for x, y in itertools.pairwise(calls))


def test_a_second_worker_stands_by_and_takes_over(world: World) -> None:
    if world.kind == "memory":
        pytest.skip("a memory store has one process")
    shop = shop_of(world)

    async def main() -> str:
        async with world.engine(shop) as first:
            handle = await first.start(shop(), id="one")
            await world.book.begun("a")
            second = world.build(shop)
            await second.__aenter__()
            await asyncio.sleep(5)
            assert first.working
            assert not second.working
            assert len(world.book.calls) == 1, "one worker serves the store"
            assert (await second.handle(shop, "one").status()).status == "running", "it can look meanwhile"
            await world.crash(first)
            assert await second.handle(shop, "one").result() == "b:"
            assert second.working
            await second.close()
        return handle.id

    world.run(main)

    assert not overlapping(world.book.of("a"))
    world.book.audit(crashes=1)


def test_a_retired_owner_can_write_nothing_more(world: World) -> None:
    """Its fence is retired behind its back: its next commit is refused, and it reads all again."""
    shop = shop_of(world)

    async def main() -> str:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a")
            old = engine._worker
            assert old is not None
            await wire.inner.retire(old.incarnation)
            result: str = await handle.result()
            assert engine._worker is not old
            assert engine._worker is not None
            assert engine._worker.incarnation > old.incarnation
            with pytest.raises(Fenced):
                await wire.inner.commit(old.incarnation, [Write((await world.header("one")).uid)])
            return result

    assert world.run(main) == "b:"
    assert not overlapping(world.book.of("a"))
    world.book.audit(crashes=1)  # what had ended when the commit was refused is sent again, with its key


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_a_lost_acknowledgement_makes_no_second_owner(world: World, number: int, when: str) -> None:
    """Nothing is appended again blindly: the journal has each row once, and each action ran once."""
    shop = shop_of(world)

    async def main() -> list[Any]:
        wire = world.wire()
        wire.at(number, when, unknown())
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            assert await handle.result() == "b:"
        return await world.rows("one")

    rows = world.run(main)

    assert [row.position for row in rows] == list(range(len(rows)))
    ran = [c.id for row in rows for c in e.decode_commands(row.commands) if isinstance(c, e.RunStep)]
    assert len(ran) == len({*ran}) == 2
    world.book.audit(crashes=1)


def test_ownership_is_given_up_with_the_last_row(world: World) -> None:
    """Whoever sleeps has no owner; the commit of its last row released it, and nothing else does."""
    world.settings = Settings(poll=0.1, linger=0.5)
    shop = shop_of(world, 0)

    @saga(name="promise15.sleeper")
    async def sleeper() -> str:
        await asyncio.sleep(1_000)
        return await go.receive()

    async def main() -> list[Any]:
        wire = world.wire()
        async with world.engine(shop, sleeper, wire=wire) as engine:
            await engine.start(sleeper(), id="asleep")
            await (await engine.start(shop(), id="ended")).result()
            await asyncio.sleep(10)
            assert (await world.header("ended")).owner is None
            assert (await world.header("asleep")).owner is None
            assert engine.stats()["resident"] == 0
            return [write for batch in wire.writes for write in batch]

    writes = world.run(main)

    released = [w for w in writes if w.release is not None]
    assert len({w.uid for w in released}) == len(released) == 2
    assert all(isinstance(w.release, Release) for w in released)


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.5, 0.6, 1.0])
def test_a_message_in_the_moment_of_falling_asleep_is_not_lost(world: World, delay: float) -> None:
    world.settings = Settings(poll=0.1, linger=0.5)

    @saga(name="promise15")
    async def shop() -> str:
        return await go.receive()

    async def main() -> str:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            wire.inline = False
            wire.hold()  # the release is on its way, but not durable
            await asyncio.sleep(delay)
            sender = asyncio.create_task(handle.send(go, "hello"))
            await asyncio.sleep(1)
            wire.release()
            await sender
            return await handle.result()

    assert world.run(main) == "hello"


def test_a_drained_worker_hands_over(world: World) -> None:
    """What runs is ended and journaled first, so nothing is dispatched twice."""
    shop = shop_of(world, 0.5)

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a")
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "completed"
    assert [c.name for c in world.book.calls] == ["a", "b"]
    world.book.audit()


def test_the_dead_own_nothing_once_somebody_registers(world: World) -> None:
    shop = shop_of(world)

    async def main() -> None:
        async with world.engine(shop) as engine:
            for n in range(5):
                await engine.start(shop(), id=f"id-{n}")
            await world.book.begun("a", count=5)
            dead = engine._worker.incarnation  # type: ignore[union-attr]
            await world.crash(engine)
        async with world.engine(shop) as engine:
            alive = engine._worker.incarnation  # type: ignore[union-attr]
            assert alive > dead
            await world.book.begun("a", count=10)
            owners = {(await world.header(f"id-{n}")).owner for n in range(5)}
            assert owners == {alive}
            for n in range(5):
                assert await engine.handle(shop, f"id-{n}").result() == "b:"

    world.run(main)
    world.book.audit(crashes=1)
