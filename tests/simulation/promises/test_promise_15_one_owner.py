"""Promise 15: an execution has one owner; ownership moves by its owner, or after its owner's fence is retired."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import amends
from amends import Rejected, Settings, Signal, saga
from amends.errors import Fenced
from amends.store.port import Write

from .book import OK, hang
from .world import World, unknown

go = Signal[str]("go")


@pytest.fixture(params=["memory", "sqlite"])
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A store that has one worker at a time; others stand by."""
    return World(request.param, tmp_path)


def test_a_second_engine_stands_by_and_touches_nothing(alone: World) -> None:
    a, slow = alone.book.step("a"), alone.book.step("slow", lambda call: asyncio.sleep(50))

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await slow()

    async def main() -> None:
        async with alone.engine(shop) as first:
            handle = await first.start(shop(), id="one")
            async with alone.engine(shop) as second:
                assert first.working
                assert not second.working
                other = await second.start(shop(), id="two")
                await asyncio.sleep(10)
                assert not second.stats()
                assert await handle.result() == await other.result() == "slow:"
                assert not second.working

    alone.run(main)
    alone.book.audit()


@pytest.mark.parametrize("end", ["drain", "crash"])
def test_a_standby_takes_over_when_the_owner_is_gone_and_not_before(alone: World, end: str) -> None:
    alone.settings = Settings(grace=60)
    steps = [alone.book.step(f"s{n}", lambda call: asyncio.sleep(10)) for n in range(5)]

    @saga(name="promise15")
    async def shop() -> str:
        for step in steps:
            await step()
        return "done"

    async def main() -> None:
        first = alone.build(shop)
        await first.__aenter__()
        async with alone.engine(shop) as second:
            for number in range(5):
                await first.start(shop(), id=f"{number}")
            await asyncio.sleep(25)
            assert not second.working
            if end == "drain":
                await first.close()
            else:
                await alone.crash(first)
            for number in range(5):
                assert await second.handle(shop, f"{number}").result() == "done"
            assert second.working

    alone.run(main)
    alone.book.audit(crashes=1 if end == "crash" else 0)


def test_of_many_standbys_one_takes_over(alone: World) -> None:
    alone.settings = Settings(grace=60)
    a = alone.book.step("a", lambda call: asyncio.sleep(10))

    @saga(name="promise15")
    async def shop() -> str:
        return await a()

    async def main() -> None:
        engines = [alone.build(shop) for _ in range(6)]
        for engine in engines:
            await engine.__aenter__()
        for number in range(6):
            await asyncio.sleep(5)
            (owner,) = [engine for engine in engines if engine.working]
            last = engines[-1]
            handle = await last.start(shop(), id=f"{number}")
            await asyncio.sleep(5)
            if owner is last:
                assert await handle.result() == "a:"
            if number % 2:
                await alone.crash(owner)
            else:
                await owner.close()
            engines.remove(owner)
            if engines:
                assert await engines[-1].handle(shop, f"{number}").result() == "a:"

    alone.run(main)
    assert len({c.uid for c in alone.book.calls}) == 6
    alone.book.audit(crashes=1)


def test_a_retired_owner_can_write_nothing_and_dispatches_nothing_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A zombie: it stopped for a while, somebody else took over, and now it goes on as if nothing had happened."""
    a = world.book.step("a", lambda call: asyncio.sleep(10))
    b = world.book.step("b")

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> None:
        zombie_wire = world.wire()
        zombie = world.build(shop, wire=zombie_wire)
        await zombie.__aenter__()
        await zombie.start(shop(), id="one")
        await world.book.begun("a")
        incarnation = zombie._worker.incarnation  # type: ignore[union-attr]
        await zombie_wire.inner.retire(incarnation)  # (by whoever believes it dead)
        async with world.engine(shop) as heir:
            # the zombie may notice, register anew and stand by; what it holds counts no more
            assert await heir.handle(shop, "one").result() == "b:"
            assert heir.working
            await asyncio.sleep(30)
            header = await heir.store.find("default", "one")
            assert header is not None
            with pytest.raises(Fenced):
                await zombie_wire.inner.commit(incarnation, [Write(header.uid, consumed=[1])])
            rows = await world.rows("one")
            assert [row.position for row in rows] == list(range(len(rows)))
        await zombie.close()

    world.run(main)
    assert len(world.book.of("b")) == 1
    world.book.audit(crashes=1, overlapping=True)
    assert not [record for record in caplog.records if record.exc_info], "it is told in a line"


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
def test_an_owner_that_was_retired_and_has_no_rival_goes_on_under_a_new_name(
    world: World, inline: bool
) -> None:
    world.inline = inline
    a, b = world.book.step("a", lambda call: asyncio.sleep(10)), world.book.step("b")

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handles = [await engine.start(shop(), id=f"{n}") for n in range(3)]
            await asyncio.sleep(5)
            before = engine._worker.incarnation  # type: ignore[union-attr]
            await wire.inner.retire(before)
            assert [await handle.result() for handle in handles] == ["b:"] * 3
            assert engine._worker.incarnation > before  # type: ignore[union-attr]

    world.run(main)
    world.book.audit(crashes=1)


def test_a_drained_execution_is_handed_over_after_its_last_row(world: World) -> None:
    a, b = world.book.step("a", lambda call: asyncio.sleep(1)), world.book.step("b")

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> None:
        world.settings = Settings(grace=60)
        async with world.engine(shop) as engine:
            for number in range(20):
                await engine.start(shop(), id=f"{number}")
            await world.book.begun("a", count=20)
            await engine.close()
            done = set(world.book.done())
            assert done == {"a"}, "what ran has ended; nothing new has begun"
        for number in range(20):
            header = await world.header(f"{number}")
            assert header.owner is None
            assert len(await world.rows(f"{number}")) == 2, "what it brought is journaled"
        async with world.engine(shop) as engine:
            for number in range(20):
                assert await engine.handle(shop, f"{number}").result() == "b:"

    world.run(main)
    world.book.audit()


def test_a_drain_that_must_not_wait_counts_what_still_runs_as_lost(world: World) -> None:
    """After the grace the process ends; what it had sent may still have an effect."""
    a = world.book.step("a", hang, Rejected("no"))

    @saga(name="promise15")
    async def shop() -> str:
        return await a()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("a")
            await engine.close()
            tasks = [t.task for t in engine._worker.attempts.running.values()]  # type: ignore[union-attr]
            for task in tasks:
                assert task is not None
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert [c.outcome for c in world.book.of("a", "undo")] == ["unknown"]
    world.book.audit(crashes=1)


def test_a_clean_drain_taints_nothing(world: World) -> None:
    """Nothing was in flight when the process ended: a later rejection is certain."""
    a = world.book.step("a")
    b = world.book.step("b", Rejected("no"))

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        await go.receive()
        return await b()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.until(lambda: world.book.done() == ["a"])
            await asyncio.sleep(1)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.send(go, "on")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert world.book.undone == ["a"]


def test_a_sleeper_has_no_owner(world: World) -> None:
    world.settings = Settings(linger=1.0)
    a = world.book.step("a")

    @saga(name="promise15")
    async def shop() -> str:
        await asyncio.sleep(1000)
        return await a()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(100)
            header = await world.header("one")
            assert header.owner is None
            assert header.wake_at is not None
            assert engine.stats()["resident"] == 0
            assert await handle.result() == "a:"

    world.run(main)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
def test_no_wake_up_is_lost_between_falling_asleep_and_a_message(world: World, inline: bool) -> None:
    """Signals arrive at all moments of going to sleep; each must be heard."""
    world.inline = inline
    world.settings = Settings(linger=0.0, resident=0)

    @saga(name="promise15")
    async def shop(count: int) -> int:
        total = 0
        for _ in range(count):
            total += int(await go.receive())
        return total

    async def main() -> int:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(40), id="one")
            for number in range(40):
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if number % 5 == 0:
                    await asyncio.sleep(0.1)
                await handle.send(go, "1")
            return await handle.result()

    assert world.run(main) == 40


def test_a_lost_acknowledgement_while_others_wait_moves_nobody_twice(world: World) -> None:
    a, b = world.book.step("a", lambda call: asyncio.sleep(3)), world.book.step("b", OK)

    @saga(name="promise15")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> None:
        world.inline = False
        wire = world.wire()
        for number in (3, 7, 11):
            wire.at(number, "after", unknown())
        async with world.engine(shop, wire=wire) as engine:
            handles = []
            for number in range(30):
                handles.append(await engine.start(shop(), id=f"{number}"))
                await asyncio.sleep(0.5)
            assert [await handle.result() for handle in handles] == ["b:"] * 30
            assert len(wire.fired) == 3

    world.run(main)
    world.book.audit()
