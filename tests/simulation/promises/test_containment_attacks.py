"""Containment, second part: what a hostile or careless user, operator or disk would try next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import apsw
import msgspec
import pytest

import amends
from amends import (
    IdInUse,
    Limits,
    PayloadError,
    PayloadTooLarge,
    Refused,
    Rejected,
    Retry,
    Settings,
    Signal,
    UnknownName,
    saga,
)
from amends.errors import StoreBusy, StoreFull

from .book import OK, ONCE, hang
from .world import World

go = Signal[int]("go")


# ---------------------------------------------------------------- loops that defend themselves


def work() -> int:
    return sum(range(100))


async def catches_exceptions() -> None:
    while True:
        try:
            work()
        except Exception:
            continue


async def catches_around() -> None:
    try:
        while True:
            work()
    except Exception:
        return


async def in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(spins())


async def spins() -> None:
    while True:
        work()


async def in_a_gather() -> None:
    await asyncio.gather(spins(), return_exceptions=True)


async def in_a_task_nobody_awaits() -> None:
    asyncio.create_task(spins())  # noqa: RUF006 - that is the attack
    await asyncio.sleep(0.01)


async def in_a_finally() -> None:
    try:
        await asyncio.sleep(0.01)
        raise ValueError("?")
    finally:
        while True:
            work()


async def in_a_generator() -> None:
    async def numbers() -> Any:
        while True:
            yield 1

    async for _ in numbers():
        work()


async def makes_tasks() -> None:
    async def another() -> None:
        asyncio.create_task(another())  # noqa: RUF006 - that is the attack

    await another()
    await asyncio.sleep(0.01)


async def calls_soon() -> None:
    loop = asyncio.get_running_loop()

    def again() -> None:
        loop.call_soon(again)

    again()
    await asyncio.sleep(0.01)


LOOPS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    f.__name__: f
    for f in (
        catches_exceptions,
        catches_around,
        in_a_group,
        in_a_gather,
        in_a_task_nobody_awaits,
        in_a_finally,
        in_a_generator,
        makes_tasks,
        calls_soon,
    )
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_defends_itself_is_parked_all_the_same(real_world: World, loop: str) -> None:
    """What stops it is caught by the saga's own code; that must not become a decision of the saga."""
    world = real_world
    world.settings = Settings(poll=0.02, limits=Limits(seconds=0.2, callbacks=2_000))
    a, other = world.book.step("a"), world.book.step("other")

    @saga(name="attack")
    async def shop() -> str:
        await a()
        await LOOPS[loop]()
        return "as if nothing had happened"

    @saga(name="attack.other")
    async def elsewhere() -> str:
        return await other()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            parked = await handle.outcome()
            assert (parked.status, parked.cause) == ("attention", "overrun"), parked
            assert parked.items[0]["do"]
            assert await engine.run(elsewhere(), id="two") == "other:"
            await handle.cancel("enough")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.undone == ["a"]


def test_a_slow_activation_within_its_time_is_left_alone(real_world: World) -> None:
    world = real_world
    world.settings = Settings(limits=Limits(seconds=30))

    @saga(name="attack")
    async def shop() -> int:
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            work()
        return 7

    async def main() -> None:
        async with world.engine(shop) as engine:
            for number in range(5):
                assert await engine.run(shop(), id=f"{number}") == 7

    world.run(main)


def test_a_body_that_eats_its_cancellation_for_ever_is_parked_and_undone(world: World) -> None:
    """``while True: try: await step() except CancelledError: pass`` never suspends once it is cancelled."""
    world.settings = Settings(limits=Limits(callbacks=2_000))
    a, slow = world.book.step("a"), world.book.step("slow", hang)

    @saga(name="attack")
    async def shop() -> None:
        await a()
        while True:
            try:
                await slow()
            except asyncio.CancelledError:
                await asyncio.shield(asyncio.sleep(0))

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("slow")
            await handle.cancel("enough")
            parked = await world.reaches(handle, "attention")
            assert parked.cause == "overrun"
            await handle.cancel("without its code, then")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert world.book.remaining == []
    world.book.audit()


# ---------------------------------------------------------------- limits


def test_a_result_over_the_limit_is_not_produced_again_and_again(world: World) -> None:
    """It would be as large the next time; the effect is there, so the outcome is unknown, and it is undone."""
    world.settings = Settings(limits=Limits(payload=1_000))
    a = world.book.step("a", "x" * 2_000, retry=Retry(attempts=5, delay=1))

    @saga(name="attack")
    async def shop() -> str:
        return await a()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert result.error is not None
    assert "the limit is 1,000" in result.error["message"]
    assert len(world.book.of("a")) == 1
    assert world.book.undone == ["a"]


def test_a_signal_over_the_limit_is_refused_before_it_is_written(world: World) -> None:
    world.settings = Settings(limits=Limits(payload=1_000))
    text = Signal[str]("text")

    @saga(name="attack")
    async def shop() -> str:
        return await text.receive()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            with pytest.raises(PayloadTooLarge, match="the limit is 1,000"):
                await handle.send(text, "x" * 2_000)
            await handle.send(text, "x" * 900)
            assert await handle.result() == "x" * 900

    world.run(main)


def test_a_value_that_no_reader_could_take_is_refused_where_it_is_sent(world: World) -> None:
    """A signal of the wrong type would fail the saga that receives it, far from whoever made the mistake."""

    @saga(name="attack")
    async def shop() -> int:
        return await go.receive()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            with pytest.raises(PayloadError, match="go"):
                await handle.send(go, "not a number")
            await handle.send(go, 7)
            assert await handle.result() == 7

    world.run(main)


@pytest.mark.parametrize("kind", ["steps", "children", "task group"])
def test_a_fan_out_over_the_limit_is_refused_with_its_name(world: World, kind: str) -> None:
    world.settings = Settings(limits=Limits(fan_out=10))
    a = world.book.step("a", lambda call: asyncio.sleep(1))

    @saga(name="attack.child")
    async def child(tag: str) -> str:
        return await a(tag)

    @saga(name="attack")
    async def shop(count: int) -> int:
        make = child if kind == "children" else a
        if kind == "task group":
            async with asyncio.TaskGroup() as group:
                for n in range(count):
                    group.create_task(a(f"{n}"))
            return count
        return len(await asyncio.gather(*(make(f"{n}") for n in range(count))))

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(10), id="enough") == 10
            handle = await engine.start(shop(50), id="too many")
            result = await handle.outcome()
            if result.status == "attention":
                await handle.cancel("enough")
                await handle.outcome()
            return result

    result = world.run(main)
    assert result.status in {"attention", "compensated"}
    said = str(result.items) + str(result.error)
    assert "fan_out" in said
    assert "10" in said


def test_a_journal_over_the_limit_is_parked_with_what_to_do(world: World) -> None:
    world.settings = Settings(limits=Limits(rows=20))
    a = world.book.step("a")

    @saga(name="attack")
    async def shop() -> None:
        for n in range(100):
            await a(f"{n}")

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            parked = await handle.outcome()
            assert (parked.status, parked.cause) == ("attention", "limit")
            assert "continue_as_new" in parked.items[0]["do"]
            assert "the limit is 20" in parked.items[0]["message"]
            await handle.cancel("enough")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert world.book.remaining == []


# ---------------------------------------------------------------- ids, names and arguments


@pytest.mark.parametrize("id", ["", " ", "x" * 501, "a~b", "lone \udc80", 7, b"bytes"])
def test_an_id_that_cannot_be_addressed_is_refused(world: World, id: Any) -> None:
    @saga(name="attack")
    async def shop() -> str:
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            with pytest.raises((Refused, PayloadError, amends.StoreError)):
                await engine.start(shop(), id=id)
            assert await engine.run(shop(), id="good") == "?"

    world.run(main)


@pytest.mark.parametrize(
    "id", ["nul \x00 inside", "ünïcödé", "'; DROP TABLE amends_journal; --", "%_%", "a\nb"]
)
def test_a_strange_id_is_an_id(world: World, id: str) -> None:
    a = world.book.step("a")

    @saga(name="attack")
    async def shop() -> str:
        return await a()

    async def main() -> None:
        async with world.engine(shop) as engine:
            try:
                handle = await engine.start(shop(), id=id)
            except Refused:
                return
            assert await handle.result() == "a:"
            assert (await engine.handle(shop, id).status()).id == id
            assert [s.id for s in await engine.list(id_prefix=id[:2])] == [id]

    world.run(main)


def test_the_same_id_with_another_request_is_refused(world: World) -> None:
    @saga(name="attack")
    async def shop(n: int) -> int:
        return n

    @saga(name="attack.other")
    async def other(n: int) -> int:
        return n

    async def main() -> None:
        async with world.engine(shop) as engine:
            assert await engine.run(shop(1), id="one") == 1
            with pytest.raises(IdInUse, match="other arguments"):
                await engine.start(shop(2), id="one")
            with pytest.raises(IdInUse, match="belongs to"):
                await engine.start(other(1), id="one")
            ends = await asyncio.gather(
                *(engine.run(shop(n % 2), id="race") for n in range(20)), return_exceptions=True
            )
            values = {end for end in ends if isinstance(end, int)}
            assert len(values) == 1
            assert all(isinstance(end, (int, IdInUse)) for end in ends)

    world.run(main)


@pytest.mark.parametrize("attribute", [object(), float("nan"), "lone \udc80"])
def test_attributes_that_cannot_be_stored_are_refused(world: World, attribute: Any) -> None:
    @saga(name="attack")
    async def shop() -> str:
        return "?"

    async def main() -> None:
        async with world.engine(shop) as engine:
            with pytest.raises(PayloadError, match="attributes"):
                await engine.start(shop(), id="one", attributes={"x": attribute})
            assert await engine.run(shop(), id="one") == "?"

    world.run(main)


# ---------------------------------------------------------------- operators


def held(world: World, value: Any = OK) -> Any:
    """A saga whose first step is held for a person, and whose second fails."""
    first = world.book.step("first", TimeoutError("?"), value, recovery={TimeoutError: "ask"})
    gate = world.book.step("gate", Rejected("no"))

    @saga(name="attack")
    async def shop() -> str:
        await first()
        return await gate()

    return shop


def test_what_an_operator_resolves_is_undone_like_any_other_effect(world: World) -> None:
    """She says that it took place; so when the saga fails later, it must be undone. Also if it has no result."""
    done: list[str] = []

    @amends.step(name="attack.reserve", retry=ONCE, recovery={TimeoutError: "ask"})
    async def reserve() -> None:
        raise TimeoutError("?")

    @reserve.compensation
    async def release(result: None) -> None:
        done.append("released")

    gate = world.book.step("gate", Rejected("no"))

    @saga(name="attack")
    async def shop() -> str:
        await reserve()
        return await gate()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.resolve(None, reason="the warehouse confirms the reservation")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert done == ["released"]


def test_a_resolution_that_the_step_could_not_have_given_is_refused(world: World) -> None:
    shop = held(world)

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            with pytest.raises(PayloadError):
                await handle.resolve({"not": "text"}, reason="typing error")
            with pytest.raises(PayloadError):
                await handle.resolve(object(), reason="typing error")
            assert (await handle.status()).status == "attention"
            assert [r.action for r in await handle.audit()] == []
            await handle.resolve("first:", reason="seen")
            return await handle.outcome()

    assert world.run(main).status == "compensated"
    assert world.book.undone == ["first"]


@pytest.mark.parametrize("what", ["retry", "skip", "resolve"])
def test_an_action_that_is_not_parked_cannot_be_acted_upon(world: World, what: str) -> None:
    shop = held(world)

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            item = (await handle.outcome()).items[0]
            acts = {
                "retry": lambda: handle.retry(action="99"),
                "skip": lambda: handle.skip("?", action="99"),
                "resolve": lambda: handle.resolve("x", reason="?", action="99"),
            }
            with pytest.raises((UnknownName, Refused), match="99"):
                await acts[what]()
            assert await handle.audit() == [], "what was refused is not on record as done"
            await handle.skip("enough", action=item["action"])
            assert (await handle.outcome()).status in {"compensated", "partially_compensated"}

    world.run(main)


@pytest.mark.parametrize("what", ["retry", "skip", "resolve"])
def test_what_needs_no_attention_cannot_be_answered(world: World, what: str) -> None:
    slow = world.book.step("slow", lambda call: asyncio.sleep(10))

    @saga(name="attack")
    async def shop() -> str:
        return await slow()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            actions = {
                "retry": lambda: handle.retry(),
                "skip": lambda: handle.skip("?"),
                "resolve": lambda: handle.resolve("x", reason="?"),
            }
            with pytest.raises(Refused, match="attention"):
                await actions[what]()
            assert await handle.result() == "slow:"
            with pytest.raises(Refused):
                await actions[what]()
            assert await handle.audit() == []

    world.run(main)


def test_a_cancel_of_what_is_stuck_in_its_undoing_says_that_it_still_is(world: World) -> None:
    """It is being undone already: the cancel changes nothing, and whoever waits is not left waiting."""
    a = world.book.step("a", undo=(ValueError("no"),), undo_options={"retry": ONCE})
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="attack")
    async def shop() -> str:
        await a()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.cancel("undo it!")
            assert (await handle.outcome()).status == "attention"
            await handle.skip("written off")
            assert (await handle.outcome()).status == "partially_compensated"

    world.run(main)


def test_two_operators_at_once(world: World) -> None:
    """Both see the same stuck action; one retries it, the other skips it: one of them counts, none does harm."""
    a = world.book.step("a", undo=(ValueError("no"), OK), undo_options={"retry": ONCE})
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="attack")
    async def shop() -> str:
        await a()
        return await bad()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            assert (await handle.outcome()).status == "attention"
            ends = await asyncio.gather(
                handle.retry(by="ann"),
                handle.skip("?", by="bob"),
                handle.retry(by="cem"),
                return_exceptions=True,
            )
            assert all(end is None or isinstance(end, Refused) for end in ends)
            return await world.ended(handle)

    result = world.run(main)
    assert result.status in {"compensated", "partially_compensated"}
    assert len(world.book.of("a", "undo")) <= 2


# ---------------------------------------------------------------- the store in trouble


def test_an_execution_that_must_be_parked_while_the_disk_is_full_is_parked_later(world: World) -> None:
    world.settings = Settings(limits=Limits(callbacks=2_000))
    a = world.book.step("a")

    @saga(name="attack")
    async def shop() -> None:
        await a()
        while True:
            await asyncio.sleep(0)

    async def main() -> amends.Result[Any]:
        wire = world.wire()
        wire.fail("park", *[StoreFull("no room")] * 3, *[StoreBusy("locked")] * 2)
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            parked = await handle.outcome()
            assert not wire.broken["park"]
            return parked

    result = world.run(main)
    assert (result.status, result.cause) == ("attention", "overrun")


@pytest.mark.parametrize("method", ["claim", "news", "next_wake", "changed"])
@pytest.mark.parametrize("error", [StoreBusy("locked"), StoreFull("no room"), RuntimeError("driver bug")])
def test_the_worker_outlives_what_fails_between_commits(world: World, method: str, error: Exception) -> None:
    world.settings = Settings(linger=0.5)
    a = world.book.step("a")

    @saga(name="attack")
    async def shop() -> str:
        await asyncio.sleep(20)
        await a("1")
        await go.receive()
        return await a("2")

    async def main() -> amends.Result[Any]:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(5)
            wire.fail(method, *[error] * 3)
            await handle.send(go, 1)
            await asyncio.sleep(30)
            assert not wire.broken[method], "each of them was met"
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "a:2")
    world.book.audit(crashes=1)


def damage(world: World, sql: str, *values: Any) -> None:
    """Change the file behind the engine's back, as a bad disk or a bad friend would."""
    connection = apsw.Connection(str(world.path))
    connection.set_busy_timeout(5_000)
    connection.wal_autocheckpoint(0)
    try:
        connection.execute(sql, values)
        assert connection.changes() > 0
    finally:
        connection.close()


DAMAGES = {
    "no json": "UPDATE amends_inbox SET event = '{{{'",
    "another entry": """UPDATE amends_inbox SET event = '["completed"]'""",
    "no text": "UPDATE amends_inbox SET event = CAST(x'ff00ff' AS TEXT)",
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("answer", ["cancel", "terminate"])
def test_a_damaged_message_parks_its_receiver_and_nobody_else(
    tmp_path: Any, how: str, resident: bool, answer: str
) -> None:
    world = World("sqlite", tmp_path)
    world.settings = Settings(poll=5.0, linger=1000.0 if resident else 0.5)
    a, slow = world.book.step("a"), world.book.step("slow", lambda call: asyncio.sleep(50))

    @saga(name="attack")
    async def shop() -> int:
        await a()
        return await go.receive()

    @saga(name="attack.other")
    async def elsewhere() -> str:
        await slow()
        return await a("other")

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            other = await engine.start(elsewhere(), id="two")
            await asyncio.sleep(7)
            await handle.send(go, 7)
            damage(world, DAMAGES[how])
            parked = await handle.outcome()
            assert (parked.status, parked.cause) == ("attention", "corrupt")
            assert parked.items[0]["do"], "it says what to do"
            assert await other.result() == "a:other"
            await getattr(handle, answer)("by hand")
            return await handle.outcome()

    result = world.run(main)
    assert result.status == ("compensated" if answer == "cancel" else "terminated")
    assert world.book.undone == (["a"] if answer == "cancel" else [])


@pytest.mark.parametrize("column", ["attributes", "detail", "input", "result", "saga", "status"])
@pytest.mark.parametrize("value", ["{{{", "\udcff"])
def test_a_damaged_header_is_the_trouble_of_one_execution(tmp_path: Any, column: str, value: str) -> None:
    """Neither the list of all nor the others suffer."""
    world = World("sqlite", tmp_path)
    world.settings = Settings(linger=0.5)
    a, bad = world.book.step("a"), world.book.step("bad", Rejected("no"))

    @saga(name="attack")
    async def shop(fail: bool) -> str:
        await a()
        await asyncio.sleep(30)
        return await (bad if fail else a)("2")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handles = [await engine.start(shop(n == 1), id=f"{n}") for n in range(3)]
            await asyncio.sleep(5)
            raw = "CAST(? AS TEXT)" if value == "{{{" else "CAST(x'ff7b' AS TEXT)"
            sql = f"UPDATE amends_executions SET {column} = {raw} WHERE id = '1'"
            damage(world, sql, *([value] if value == "{{{" else []))
            assert {s.id for s in await engine.list()} == {"0", "1", "2"}
            assert await handles[0].result() == "a:2"
            assert await handles[2].result() == "a:2"
            assert {s.id for s in await engine.list()} == {"0", "1", "2"}

    world.run(main)


def test_one_flipped_bit_in_the_file(tmp_path: Any) -> None:
    """In the middle of the journal's text, in the file itself, between two lives of the worker."""
    world = World("sqlite", tmp_path)
    a, gate = world.book.step("a"), world.book.step("gate", hang, OK)

    @saga(name="attack")
    async def shop(word: str) -> str:
        await a(word)
        return await gate(word)

    async def main() -> None:
        async with world.engine(shop) as engine:
            for word in ("alpha", "beta", "gamma"):
                await engine.start(shop(word), id=word)
            await world.book.until(lambda: len(world.book.of("gate")) == 3)
            await engine.close()
            for attempt in list(engine._worker.attempts.running.values()):  # type: ignore[union-attr]
                assert attempt.task is not None
                attempt.task.cancel()
                await asyncio.gather(attempt.task, return_exceptions=True)
        store = world.store()
        await store.open()
        incarnation = await store.register(world.clock.now(), wait=False)
        await store.retire(incarnation)  # copies the log into the file
        await store.close()
        content = bytearray(world.path.read_bytes())
        place = content.index(b'["completed","1","a:beta"]')
        content[place + len(b'["completed","1","a:')] ^= 0x02
        world.path.write_bytes(content)
        async with world.engine(shop) as engine:
            assert await engine.handle(shop, "alpha").result() == "gate:alpha"
            assert await engine.handle(shop, "gamma").result() == "gate:gamma"
            handle = engine.handle(shop, "beta")
            parked = await handle.outcome()
            assert (parked.status, parked.cause) == ("attention", "corrupt")
            assert "checksum" in parked.items[0]["message"]
            assert "backup" in parked.items[0]["do"]
            await handle.terminate("settled by hand", by="ann")
            assert (await handle.outcome()).status == "terminated"
            assert [(r.by, r.action) for r in await handle.audit()][:1] == [("ann", "terminate")]

    world.run(main)
    assert len(world.book.of("gate", tag="beta")) == 1


def test_a_compensation_whose_result_no_longer_fits_waits_for_a_person(world: World) -> None:
    """The type of the result has changed, and what is journaled cannot be read as it any more."""
    a, gate = world.book.step("a"), world.book.step("gate", hang, OK)
    undone: list[Any] = []

    @saga(name="attack")
    async def shop() -> str:
        await a()
        await gate()
        raise ValueError("undo")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)

        @amends.step(name="a")
        async def a_now(tag: str = "") -> dict[str, int]:
            return {}

        @a_now.compensation
        async def undo(result: dict[str, int] | None, tag: str = "") -> None:
            undone.append(result)

        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            parked = await handle.outcome()
            assert parked.status == "attention"
            item = parked.items[0]
            assert (item["step"], item["direction"]) == ("a", "undo")
            assert "does not fit" in item["error"]["message"]
            assert item["result"] == "a:", "the person sees what is journaled"

            @amends.step(name="a")
            async def a_fixed(tag: str = "") -> dict[str, int] | str:
                return {}

            @a_fixed.compensation
            async def undo_fixed(result: dict[str, int] | str | None, tag: str = "") -> None:
                undone.append(result)

            await handle.retry(reason="deployed")
            assert (await handle.outcome()).status == "compensated"

    world.run(main)
    assert undone == ["a:"]


def test_a_failed_step_in_a_group_is_named_in_what_is_left_of_it(world: World) -> None:
    """ "unhandled errors in a TaskGroup (1 sub-exception)" helps nobody."""
    bad = world.book.step("bad", Rejected("the card is on fire"))

    @saga(name="attack")
    async def shop() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(bad())

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.error is not None
    assert "the card is on fire" in result.error["message"]


def test_what_the_worker_says_is_json(world: World) -> None:
    """`detail` of a header is read by people and programs; the arguments in it are the user's."""
    nasty = 'quotes " and \\ and {braces} and \u2028'
    a = world.book.step("a", undo=(ValueError(nasty),), undo_options={"retry": ONCE})
    bad = world.book.step("bad", Rejected(nasty, details={"x": nasty}))

    @saga(name="attack")
    async def shop() -> str:
        await a(nasty)
        return await bad(nasty)

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            stuck = await handle.outcome()
            assert stuck.items[0]["arguments"] == {"tag": nasty}
            assert stuck.items[0]["error"]["message"] == nasty
            header = await world.header("one")
            assert msgspec.json.decode(header.detail)

    world.run(main)


def test_a_step_that_fails_in_the_middle_of_many_hurts_no_other(world: World) -> None:
    """A hundred executions in flight, ten of which fail in ten ways."""
    ways: list[Any] = [
        Rejected("no"), ValueError("?"), hang, BaseException("?"), SystemExit(1), asyncio.CancelledError("?"),
        Rejected({"a": 1}), ValueError("\udc80"), object(), "x" * 5_000,
    ]  # fmt: skip
    world.settings = Settings(limits=Limits(payload=2_000))
    good = world.book.step("good", lambda call: asyncio.sleep(1))
    bads = [world.book.step(f"bad{n}", way, timeout=5) for n, way in enumerate(ways)]

    @saga(name="attack")
    async def shop(n: int) -> str:
        await good(f"{n}")
        if n % 10 == 0:
            await bads[n // 10](f"{n}")
        return await good(f"{n} again")

    async def main() -> dict[str, str]:
        async with world.engine(shop) as engine:
            handles = [await engine.start(shop(n), id=f"{n}") for n in range(100)]
            return {handle.id: (await handle.outcome()).status for handle in handles}

    statuses = world.run(main)
    assert {id: s for id, s in statuses.items() if s != "completed"} == {
        f"{n}": "compensated" for n in range(0, 100, 10)
    }
    world.book.audit()
