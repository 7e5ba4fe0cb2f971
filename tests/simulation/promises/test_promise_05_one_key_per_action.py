"""Promise 5: one idempotency key per action and direction, the same for every attempt, whatever happens."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

import amends
from amends import Compensated, NotInSaga, Refused, Rejected, Retry, Settings, StepFailed, saga

from .book import OK, Call, hang
from .world import World, unknown

KEY = re.compile(r"(?P<uid>[0-9a-f]{32})/(?P<run>\d+)/(?P<action>[^/]+)/(?P<direction>do|undo)")


def keys(world: World, name: str, direction: str = "do") -> list[str]:
    return [c.key for c in world.book.of(name, direction)]


def test_the_key_is_made_of_execution_run_action_and_direction(world: World) -> None:
    pay, bad = world.book.step("pay"), world.book.step("bad", Rejected("no"))

    @saga(name="promise5")
    async def shop() -> str:
        await pay()
        return await bad()

    async def main() -> str:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            return (await handle.status()).uid

    uid = world.run(main)

    for call in world.book.calls:
        found = KEY.fullmatch(call.key)
        assert found, call.key
        assert found.groupdict() == {
            "uid": uid,
            "run": "0",
            "action": call.action,
            "direction": call.direction,
        }
    assert len({c.key for c in world.book.calls}) == 3
    world.book.audit()


def test_every_attempt_has_the_same_key(world: World) -> None:
    pay = world.book.step(
        "pay",
        *[ValueError("?")] * 3,
        OK,
        retry=Retry(attempts=9, delay=1),
        undo=[*[ValueError("?")] * 3, OK],
        undo_options={"retry": Retry(attempts=9, delay=1)},
    )
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise5")
    async def shop() -> str:
        await pay()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert (await (await engine.start(shop(), id="one")).outcome()).status == "compensated"

    world.run(main)

    assert len(keys(world, "pay")) == 4
    assert len(keys(world, "pay", "undo")) == 4
    assert len({*keys(world, "pay")}) == len({*keys(world, "pay", "undo")}) == 1
    world.book.audit(retried=True)


@pytest.mark.parametrize("how", ["crash", "drain", "evict", "lost acknowledgement"])
def test_the_key_outlives_the_worker(world: World, how: str) -> None:
    if how == "evict":
        world.settings = Settings(linger=0.0, resident=0)
    wait = Retry(attempts=9, delay=50, cap=50)
    pay = world.book.step("pay", ValueError("?"), ValueError("?"), ValueError("?"), OK, retry=wait)

    @saga(name="promise5")
    async def shop() -> str:
        return await pay()

    async def main() -> str:
        for life in range(1, 4):
            async with world.engine(shop) as engine:
                if life == 1:
                    await engine.start(shop(), id="one")
                await world.book.begun("pay", count=life)
                await asyncio.sleep(5)
                if how == "crash":
                    await world.crash(engine)
                elif how == "lost acknowledgement":
                    wire = world.wires[-1]
                    wire.at(wire.commits + 1, "after", unknown())
                    await world.book.begun("pay", count=life + 1)
        async with world.engine(shop) as engine:
            result = await engine.handle(shop, "one").outcome()
            assert result.status == "completed"
            return (await engine.handle(shop, "one").status()).uid

    uid = world.run(main)

    assert len(keys(world, "pay")) == 4
    assert {*keys(world, "pay")} == {f"{uid}/0/1/do"}


def test_two_executions_never_share_a_key(world: World) -> None:
    pay = world.book.step("pay")

    @saga(name="promise5")
    async def shop(n: int) -> str:
        return await pay(str(n))

    async def main() -> None:
        async with world.engine(shop) as engine:
            await asyncio.gather(*(engine.run(shop(1), id=f"{n}") for n in range(50)))

    world.run(main)

    assert len({c.key for c in world.book.calls}) == 50
    assert len({c.uid for c in world.book.calls}) == 50
    world.book.audit()


def test_the_same_id_again_is_the_same_execution_with_the_same_keys(world: World) -> None:
    pay = world.book.step("pay", hang, OK)

    @saga(name="promise5")
    async def shop() -> str:
        return await pay()

    async def main() -> None:
        uids = []
        async with world.engine(shop) as engine:
            both = await asyncio.gather(*(engine.start(shop(), id="one") for _ in range(5)))
            uids += [(await h.status()).uid for h in both]
            await world.book.begun("pay")
            await world.crash(engine)
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            uids.append((await handle.status()).uid)
            assert await handle.result() == "pay:"
            again = await engine.start(shop(), id="one")
            uids.append((await again.status()).uid)
        assert len({*uids}) == 1

    world.run(main)

    assert len(keys(world, "pay")) == 2
    world.book.audit(crashes=1)


def test_a_start_that_died_before_it_was_durable_leaves_no_second_uid_with_effects(world: World) -> None:
    pay = world.book.step("pay")

    @saga(name="promise5")
    async def shop() -> str:
        return await pay()

    async def main(when: str) -> None:
        wire = world.wire()
        wire.at(1, when, "crash")
        async with world.engine(shop, wire=wire) as engine:
            task = asyncio.create_task(engine.start(shop(), id=when))
            await wire.crashed.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id=when) == "pay:"

    for when in ("before", "after"):
        world.book.calls.clear()
        world.run(lambda when=when: main(when))  # type: ignore[misc]
        assert len({c.uid for c in world.book.calls}) == 1
        world.book.audit()


@pytest.mark.parametrize("die", [False, True])
def test_a_run_counts_continue_as_new(world: World, die: bool) -> None:
    """Each run's actions have keys of their own, and what an earlier run did is undone under its old key."""
    pay = world.book.step("pay")
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise5")
    async def shop(n: int) -> str:
        await pay(str(n))
        if n < 3:
            await amends.continue_as_new(n + 1)
        return await bad()

    async def main() -> None:
        number = 0
        while True:  # with `die`: killed after each commit in turn, in lives of one commit each
            number += 1
            wire = world.wire()
            if die:
                wire.at(1, "after", "crash")
            async with world.engine(shop, wire=wire) as engine:
                task = asyncio.create_task(finish(engine))
                died = asyncio.create_task(wire.crashed.wait())
                await asyncio.wait([task, died], return_when=asyncio.FIRST_COMPLETED)
                died.cancel()
                if not wire.crashed.is_set():
                    assert task.result() == "compensated"
                    return
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await world.crash(engine)
            assert number < 60

    async def finish(engine: amends.Engine) -> str:
        known = await engine._store.find("default", "one")
        handle = engine.handle(shop, "one") if known else await engine.start(shop(1), id="one")
        return (await handle.outcome()).status

    world.run(main)

    assert {c.run for c in world.book.calls} == {0, 1, 2}
    assert sorted({(c.tag, c.run) for c in world.book.of("pay")}) == [("1", 0), ("2", 1), ("3", 2)]
    assert {c.key.replace("undo", "do") for c in world.book.of("pay", "undo")} == {*keys(world, "pay")}
    assert world.book.remaining == []
    world.book.audit(crashes=1 if die else 0)


def test_an_operators_retry_keeps_the_key(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), OK, recovery={ValueError: "ask"})

    @saga(name="promise5")
    async def shop() -> str:
        return await pay("card")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.retry()
            assert (await world.ended(handle)).status == "completed"

    world.run(main)

    assert len(keys(world, "pay")) == 2
    world.book.audit(retried=True)


def decline_old(call: Call) -> None:
    if call.tag == "old":
        raise Rejected("wrong card")


@pytest.mark.parametrize("die", [False, True])
def test_an_operators_retry_with_changed_input_gets_a_new_key(world: World, die: bool) -> None:
    async def old_or_new(call: Call) -> None:
        decline_old(call)
        if die and len(world.book.of("pay", tag="new")) == 1:
            await hang(call)

    pay = world.book.step("pay", old_or_new, recovery={Rejected: "ask"})
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise5")
    async def shop() -> str:
        await pay("old")
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.retry(args=("new",), reason="the customer called")
            if not die:
                assert (await world.ended(handle)).status == "compensated"
                return
            await world.book.until(lambda: world.book.of("pay", tag="new"))
            await world.crash(engine)
        async with world.engine(shop) as engine:
            assert (await world.ended(engine.handle(shop, "one"))).status == "compensated"

    world.run(main)

    old, new = world.book.of("pay", tag="old"), world.book.of("pay", tag="new")
    assert len(old) == 1
    assert len(new) == (2 if die else 1)
    assert len({c.key for c in old + new}) == 2, "other input, other key; the same input, the same key"
    undo = world.book.of("pay", "undo")
    assert [c.tag for c in undo] == ["new"], "what took effect is undone, with what it was given"
    assert undo[0].key not in {c.key for c in old + new}


def test_changed_input_is_refused_while_the_old_may_have_had_an_effect(world: World) -> None:
    pay = world.book.step("pay", TimeoutError("?"), OK, recovery={TimeoutError: "ask"})

    @saga(name="promise5")
    async def shop() -> str:
        return await pay("old")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).items[0]["outcome"] == "unknown"
            with pytest.raises(Refused, match="may have had an effect"):
                await handle.retry(args=("new",))
            assert (await handle.status()).status == "attention"
            assert not [r for r in await handle.audit() if r.action == "retry"]
            await handle.retry()
            assert (await world.ended(handle)).value == "pay:old"

    world.run(main)

    assert [c.tag for c in world.book.of("pay")] == ["old", "old"]
    world.book.audit(retried=True)


def test_nested_sagas_have_keys_of_their_own_and_keep_them(world: World) -> None:
    """The same child twice, in parallel and again; across a crash each keeps its uid."""
    inner = world.book.step("inner", hang, OK)

    @saga(name="promise5.child")
    async def child(tag: str) -> str:
        return await inner(tag)

    @saga(name="promise5")
    async def shop() -> str:
        await asyncio.gather(child("a"), child("b"))
        return await child("c")

    async def main() -> None:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.until(lambda: len(world.book.of("inner")) == 2)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            await world.book.until(lambda: world.book.of("inner", tag="c"))
            await world.crash(engine)
        async with world.engine(shop) as engine:
            assert (await engine.handle(shop, "one").outcome()).status == "completed"

    world.run(main)

    for tag in "abc":
        assert len({c.key for c in world.book.of("inner", tag=tag)}) == 1
    assert len({c.key for c in world.book.calls}) == 3
    world.book.audit(crashes=1)


def test_saga_code_has_no_key(world: World) -> None:
    heard: list[Any] = []

    @saga(name="promise5")
    async def shop() -> str:
        try:
            return amends.current().idempotency_key
        except NotInSaga as error:
            heard.append(str(error))
            raise

    async def main() -> None:
        async with world.engine(shop) as engine:
            with pytest.raises(Compensated):
                await engine.run(shop(), id="one")

    world.run(main)
    assert "inside a @step" in heard[0]


def test_an_alternative_is_an_action_of_its_own(world: World) -> None:
    second = world.book.step("second")
    first = world.book.step("first", ConnectionResetError("?"), fallback=[second])

    @saga(name="promise5")
    async def shop() -> str:
        return await first("x")

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "second:x"

    world.run(main)

    assert len({*keys(world, "first"), *keys(world, "first", "undo"), *keys(world, "second")}) == 3
    world.book.audit()


def test_a_step_called_twice_is_two_actions(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), OK)

    @saga(name="promise5")
    async def shop() -> str:
        try:
            await pay("x")
        except StepFailed:
            return await pay("x")
        return "at once"

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "pay:x"

    world.run(main)

    assert len({*keys(world, "pay")}) == 2
    world.book.audit()
