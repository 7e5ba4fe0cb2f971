"""Containment: what is ill stops alone and says what to do; an operator can end it; the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import apsw
import msgspec
import pytest

import amends
from amends import Engine, Handle, Limits, Rejected, Settings, Signal, saga
from amends.errors import PayloadTooLarge

from .book import OK, ONCE
from .world import World, forget

go = Signal[str]("go")


class Neighbours:
    """A healthy saga that starts before what falls ill, and one that starts after it; both must complete."""

    def __init__(self, world: World) -> None:
        self.world = world
        well = world.book.step("well")

        @saga(name="containment.healthy")
        async def healthy(which: str) -> str:
            await well(which)
            await go.receive()
            return await well(f"{which} again")

        self.saga = healthy

    async def begin(self, engine: Engine) -> None:
        await engine.start(self.saga("before"), id="before")
        await self.world.book.until(lambda: "well:before" in self.world.book.done())

    async def complete(self, engine: Engine) -> None:
        for which in ("before", "after"):
            if which == "after":
                await engine.start(self.saga(which), id=which)
            handle = engine.handle(self.saga, which)
            await handle.send(go, "")
            assert await handle.result() == f"well:{which} again"


async def attention(handle: Handle[Any], cause: str) -> amends.Result[Any]:
    """The execution waits for a person, and says why and what to do."""
    found = await handle.outcome()
    assert (found.status, found.cause) == ("attention", cause)
    with pytest.raises(amends.NeedsAttention) as raised:
        found.unwrap()
    assert raised.value.hint
    return found


async def audited(handle: Handle[Any], *actions: str) -> None:
    """The operators' actions are on record, with who and why."""
    records = await handle.audit()
    assert [r.action for r in records] == [*actions]
    assert all(r.by == "ann" and r.reason == "because" for r in records)


BY: dict[str, str] = {"by": "ann"}

# ---------------------------------------------------------------- one action is stuck


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve", "terminate", "cancel then skip"])
def test_a_failing_compensation(world: World, answer: str) -> None:
    a = world.book.step("a")
    b = world.book.step("b", undo=(ValueError("ledger closed"), OK), undo_options={"retry": ONCE})
    bad = world.book.step("bad", Rejected("no"))
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop() -> str:
        await a()
        await b()
        return await bad()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            handle = await engine.start(shop(), id="one")
            stuck = await attention(handle, "failed")
            (item,) = stuck.items
            assert (item["step"], item["direction"], item["attempts"]) == ("b", "undo", 1)
            assert item["error"] == {"type": "ValueError", "message": "ledger closed"}
            assert item["result"] == "b:"
            await neighbours.complete(engine)
            if answer == "cancel then skip":
                await handle.cancel("because", **BY)
                assert (await handle.status()).status == "attention", "it is being undone already"
            if answer == "retry":
                await handle.retry(reason="because", **BY)
            elif answer == "resolve":
                await handle.resolve(reason="because", **BY)
            elif answer == "terminate":
                await handle.terminate("because", **BY)
            else:
                await handle.skip("because", **BY)
            found = await world.ended(handle)
            await audited(handle, *answer.split(" then "))
            return found

    result = world.run(main)

    if answer in ("retry", "resolve"):
        assert (result.status, len(result.residue)) == ("compensated", 0)
    elif answer == "terminate":
        assert result.status == "terminated"
    else:
        assert (result.status, len(result.residue)) == ("partially_compensated", 1)
    assert "a" in world.book.undone, "what is stuck holds nobody back"
    assert ("b" in world.book.undone) == (answer == "retry")


@pytest.mark.parametrize("answer", ["retry", "skip", "resolve", "terminate", "cancel"])
def test_an_action_held_for_a_person(world: World, answer: str) -> None:
    a = world.book.step("a")
    pay = world.book.step("pay", Rejected("try later"), OK, recovery={Rejected: amends.Recovery.ASK})
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop() -> str | None:
        await a()
        return await pay()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            handle = await engine.start(shop(), id="one")
            held = await attention(handle, "failed")
            assert (held.items[0]["step"], held.items[0]["direction"]) == ("pay", "do")
            await neighbours.complete(engine)
            if answer == "retry":
                await handle.retry(reason="because", **BY)
            elif answer == "resolve":
                await handle.resolve("paid by phone", reason="because", **BY)
            else:
                await getattr(handle, answer)("because", **BY)
            found = await world.ended(handle)
            await audited(handle, answer)
            return found

    result = world.run(main)

    ends = {
        "retry": ("completed", "pay:"),
        "skip": ("completed", None),
        "resolve": ("completed", "paid by phone"),
        "terminate": ("terminated", None),
        "cancel": ("compensated", None),
    }
    assert (result.status, result.value) == ends[answer]
    assert world.book.undone == (["a"] if answer == "cancel" else [])


# ---------------------------------------------------------------- the code no longer fits the journal


def deployed(
    world: World,
    neighbours: Neighbours,
    old: Any,
    new: Callable[[], list[Any]],
    act: Callable[[Engine, Handle[Any]], Any],
) -> amends.Result[Any]:
    """The old code runs until it waits; the new code is deployed; then somebody acts."""

    async def main() -> amends.Result[Any]:
        async with world.engine(old) as engine:
            await neighbours.begin(engine)
            await engine.start(old(), id="one")
            await world.book.until(lambda: "a" in world.book.done())
        async with world.engine(*new()) as engine:
            handle = engine.handle(old, "one")
            await handle.send(go, "")
            return await act(engine, handle)  # type: ignore[no-any-return]

    return world.run(main)


async def shows_a_misfit(handle: Handle[Any], fault: str) -> None:
    """It is parked as a whole: both sides are shown, and what to do."""
    shown = {"divergence": ['"a"', '"other"'], "missing_definition": ["'containment'"]}
    hints = {"divergence": "deploy the earlier code", "missing_definition": "did you mean"}
    (item,) = (await attention(handle, fault)).items
    assert all(text in item["message"] for text in shown[fault]), item
    assert hints[fault] in item["do"]
    with pytest.raises(amends.Refused, match="deploy a fix and retry, cancel"):
        await handle.skip("there is no single action")
    with pytest.raises(amends.Refused, match="deploy a fix and retry, cancel"):
        await handle.resolve(reason="there is no single action")


@pytest.mark.parametrize("answer", ["retry after a fixed deploy", "retry in vain", "cancel", "terminate"])
@pytest.mark.parametrize("fault", ["divergence", "missing_definition"])
def test_a_deploy_that_does_not_fit(world: World, fault: str, answer: str) -> None:
    a, b, other = (world.book.step(name) for name in ("a", "b", "other"))
    neighbours = Neighbours(world)

    def old() -> Any:
        @saga(name="containment")
        async def shop() -> str:
            await a()
            await go.receive()
            return await b()

        return shop

    def new() -> list[Any]:
        if fault == "missing_definition":
            forget(first)
            return []

        @saga(name="containment")
        async def shop() -> str:
            await other()
            await go.receive()
            return await b()

        return [shop]

    async def act(engine: Engine, handle: Handle[Any]) -> amends.Result[Any]:
        await shows_a_misfit(handle, fault)
        await neighbours.complete(engine)
        assert not world.book.of("other"), "it never runs on by guess"
        if answer == "retry in vain":
            await handle.retry(reason="because", **BY)
            await attention(handle, fault)
            await audited(handle, "retry")
            return await handle.outcome()
        if answer.startswith("retry"):
            return await handle.outcome()
        await getattr(handle, answer)("because", **BY)
        return await end(world, handle, answer)

    async def repair() -> amends.Result[Any]:
        async with world.engine(old()) as engine:
            handle = engine.handle(first, "one")
            await handle.retry(reason="because", **BY)
            return await end(world, handle, "retry")

    first = old()
    result = deployed(world, neighbours, first, new, act)

    if answer == "cancel":
        assert result.status == "compensated"
        assert world.book.undone == ["a"]
    elif answer == "terminate":
        assert result.status == "terminated"
        assert world.book.remaining.count("a") == 1
    elif answer == "retry after a fixed deploy":
        world.virtual = type(world.virtual)()
        result = world.run(repair)
        assert (result.status, result.value) == ("completed", "b:")
        assert len(world.book.of("a")) == 1
    assert not world.book.of("other")


def test_a_compensation_that_is_missing(world: World) -> None:
    a = world.book.step("a")
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop() -> str:
        await a()
        await go.receive()
        raise ValueError("sold out")

    def new() -> list[Any]:
        world.book.step("a", undo=None)  # the same name, declared again
        return [shop]

    async def act(engine: Engine, handle: Handle[Any]) -> amends.Result[Any]:
        stuck = await attention(handle, "failed")
        assert stuck.items[0]["step"] == "a"
        assert "no longer has a compensation" in stuck.items[0]["error"]["message"]
        assert "declare it again and retry" in stuck.items[0]["error"]["message"]
        await neighbours.complete(engine)
        world.book.step("a")
        await handle.retry(reason="because", **BY)
        found = await world.ended(handle)
        await audited(handle, "retry")
        return found

    assert deployed(world, neighbours, shop, new, act).status == "compensated"
    assert world.book.undone == ["a"]


# ---------------------------------------------------------------- payloads


@pytest.mark.parametrize("poison", ["argument", "result", "return value"])
@pytest.mark.parametrize("how", ["unencodable", "too large"])
def test_a_poison_payload_fails_its_own_saga(world: World, how: str, poison: str) -> None:
    bad: Any = object() if how == "unencodable" else "x" * 3_000
    world.settings = Settings(poll=0.1, limits=Limits(payload=2_000))
    a = world.book.step("a")
    neighbours = Neighbours(world)

    @amends.step(name="echo", retry=ONCE)
    async def echo(value: Any) -> Any:
        return bad

    @saga(name="containment")
    async def shop() -> Any:
        await a()
        if poison == "return value":
            return bad
        await echo(bad if poison == "argument" else 1)
        return "not reached"

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            handle = await engine.start(shop(), id="one")
            found = await handle.outcome()
            await neighbours.complete(engine)
            return found

    result = world.run(main)

    assert result.status == "compensated"
    assert world.book.undone == ["a"]
    assert result.error is not None
    said = result.error["message"]
    if how == "unencodable":
        assert "cannot be journaled" in said
        assert "use a dataclass" in said, "it says what to do"
    else:
        assert "3,0" in said
        assert "the limit is 2,000" in said
        assert "raise Limits(payload=" in said, "it says what to do"


@pytest.mark.parametrize("how", ["unencodable", "too large"])
def test_a_poison_input_is_refused_before_anything_is_written(world: World, how: str) -> None:
    world.settings = Settings(poll=0.1, limits=Limits(payload=2_000))
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop(value: Any) -> Any:
        return value

    async def main() -> None:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            if how == "unencodable":
                with pytest.raises(amends.PayloadError, match="use a dataclass"):
                    await engine.start(shop(object()), id="one")
            else:
                with pytest.raises(PayloadTooLarge, match="pass a reference, or raise Limits"):
                    await engine.start(shop("x" * 3_000), id="one")
            assert await world.header("one") is None
            await neighbours.complete(engine)

    world.run(main)


class Order(msgspec.Struct):
    item: str


class Other(msgspec.Struct):
    item: str
    amount: int


@pytest.mark.parametrize("where", ["input", "result", "compensation"])
def test_journaled_bytes_that_no_longer_fit(world: World, where: str) -> None:
    undone: list[Any] = []
    neighbours = Neighbours(world)
    a = world.book.step("a")

    def code(fixed: bool) -> Any:
        taken: Any = Order if fixed or where != "input" else Other
        given: Any = Order if fixed or where == "input" else Other

        async def make(item: str) -> Any:
            return Order(item)

        async def unmake(result: Any, item: str) -> None:
            undone.append(item)

        make.__annotations__["return"] = given
        step: Any = amends.step(name="make", retry=ONCE)(make)
        step.compensation(retry=ONCE)(unmake)

        async def shop(order: Any) -> str:
            made = await step(order.item)
            await a()
            await go.receive()
            if where == "compensation":
                raise ValueError("sold out")
            return str(made.item)

        shop.__annotations__["order"] = taken
        return saga(name="containment")(shop)

    async def main() -> amends.Result[Any]:
        first = code(fixed=True)
        async with world.engine(first) as engine:
            await neighbours.begin(engine)
            await engine.start(first(Order("tea")), id="one")
            await world.book.until(lambda: "a" in world.book.done())
        second = code(fixed=False)
        async with world.engine(second) as engine:
            handle = engine.handle(second, "one")
            await handle.send(go, "")
            parked = await handle.outcome()
            assert parked.status == "attention"
            text = str(parked.items[0])
            assert "does not fit" in text
            assert "give new fields a default" in text, "it says what to do"
            await neighbours.complete(engine)
        third = code(fixed=True)
        async with world.engine(third) as engine:
            handle = engine.handle(third, "one")
            await handle.retry(reason="because", **BY)
            found = await world.ended(handle)
            await audited(handle, "retry")
            return found

    result = world.run(main)

    if where == "compensation":
        assert result.status == "compensated"
        assert undone == ["tea"]
    else:
        assert (result.status, result.value) == ("completed", "tea")


# ---------------------------------------------------------------- code that makes no progress


async def spin(sleeps: bool) -> None:
    while True:
        if sleeps:
            await asyncio.sleep(0)


async def wait_for_nobody() -> None:
    await asyncio.Event().wait()


LOOPS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "while True: pass": (lambda: spin(False), "overrun", "endless or very long loop"),
    "while True: await sleep(0)": (lambda: spin(True), "overrun", "awaits only asyncio.sleep(0)"),
    "waits for nobody": (wait_for_nobody, "stuck", "that is never set"),
}


@pytest.mark.parametrize("answer", ["retry after a fixed deploy", "retry in vain", "cancel", "terminate"])
@pytest.mark.parametrize("fault", LOOPS)
def test_code_that_makes_no_progress(real_world: World, fault: str, answer: str) -> None:
    world = real_world
    world.settings = Settings(poll=0.02, limits=Limits(seconds=0.3, callbacks=2_000))
    a, b = world.book.step("a"), world.book.step("b")
    neighbours = Neighbours(world)
    never, cause, hint = LOOPS[fault]

    def code(ill: bool) -> Any:
        @saga(name="containment")
        async def shop() -> str:
            await a()
            if ill:
                await never()
            return await b()

        return shop

    async def main() -> amends.Result[Any]:
        first = code(ill=True)
        async with world.engine(first) as engine:
            await neighbours.begin(engine)
            handle = await engine.start(first(), id="one")
            parked = await attention(handle, cause)
            assert hint in parked.items[0]["do"]
            if answer == "retry in vain":
                await handle.retry(reason="because", **BY)
                await attention(handle, cause)
            await neighbours.complete(engine)
            if answer in ("cancel", "terminate"):
                await getattr(handle, answer)("because", **BY)
                return await end(world, handle, answer)
        second = code(ill=False)
        async with world.engine(second) as engine:
            handle = engine.handle(second, "one")
            await handle.retry(reason="because", **BY)
            return await end(world, handle, "retry")

    result = world.run(main)

    if answer == "cancel":
        assert (result.status, world.book.undone) == ("compensated", ["a"])
    elif answer == "terminate":
        assert (result.status, world.book.undone) == ("terminated", [])
    else:
        assert (result.status, result.value) == ("completed", "b:")
        assert len(world.book.of("a")) == 1, "what was done is not done again"


@pytest.mark.parametrize("fault", LOOPS)
def test_code_that_makes_no_progress_from_its_first_activation(real_world: World, fault: str) -> None:
    """It was never accepted in the store before, and must not vanish: it is, and is parked at once."""
    world = real_world
    world.settings = Settings(poll=0.02, limits=Limits(seconds=0.3, callbacks=2_000))
    neighbours = Neighbours(world)
    never, cause, _ = LOOPS[fault]

    @saga(name="containment")
    async def shop() -> str:
        await never()
        return "not reached"

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            handle = await engine.start(shop(), id="one")
            await attention(handle, cause)
            await neighbours.complete(engine)
            await handle.cancel("because", **BY)
            return await end(world, handle, "cancel")

    assert world.run(main).status == "compensated"


async def end(world: World, handle: Handle[Any], answer: str) -> amends.Result[Any]:
    found = await world.ended(handle)
    assert {(r.action, r.by, r.reason) for r in await handle.audit()} == {(answer, "ann", "because")}
    return found


# ---------------------------------------------------------------- the store


def fill(world: World, engine: Engine, *, room: bool) -> None:
    """No room is left in the store, or there is room again."""
    inner = engine._store.inner  # type: ignore[attr-defined]
    if world.kind == "memory":
        inner.capacity = None if room else 0
    else:
        inner.limit_pages(1_000_000 if room else 1)


def test_a_full_disk_holds_everything_and_loses_nothing(world: World) -> None:
    if world.kind == "postgres":
        pytest.skip("reaches into the other stores")
    world.options = {"max_pages": 1_000_000}
    a = world.book.step("a")
    b = world.book.step("b")
    c = world.book.step("c")
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop() -> str:
        await a("x" * 9_000)
        await b("x" * 9_000)
        return await c()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            fill(world, engine, room=False)
            starting = asyncio.create_task(engine.start(shop(), id="one"))
            more = [asyncio.create_task(engine.start(shop(), id=f"more-{n}")) for n in range(20)]
            await world.passes(60)
            stopped = len(world.book.calls)
            assert not all(task.done() for task in more), "there must be no room for all"
            full = engine._worker.committer.full  # type: ignore[union-attr]
            assert isinstance(full, amends.StoreError)
            assert "continues by itself once there is room" in full.hint
            await world.passes(60)
            assert len(world.book.calls) == stopped, "nothing is done that is not durable"
            fill(world, engine, room=True)
            for task in more:
                assert await (await task).result() == "c:"
            await neighbours.complete(engine)
            return await (await starting).outcome()

    result = world.run(main)

    assert (result.status, result.value) == ("completed", "c:")
    world.book.audit()


def damage(world: World, uid: str) -> None:
    """Flip one bit of the execution's first journal row, behind the store's back."""
    if world.kind == "memory":
        execution = world.memory._state.executions[uid]
        row = execution.rows[0]
        text = row.events.replace("containment", "containmenu").replace("[[", "[[ ", 1)
        execution.rows[0] = msgspec.structs.replace(row, events=text)
        return
    connection = apsw.Connection(str(world.path))
    try:
        rows = connection.execute(
            "SELECT journal.rowid, events FROM amends_journal AS journal"
            " JOIN amends_executions ON num = execution WHERE uid = ? AND position = 0",
            (uid,),
        ).fetchall()
        ((rowid, events),) = rows
        flipped = bytearray(events.encode())
        flipped[len(flipped) // 2] ^= 1
        connection.execute("UPDATE amends_journal SET events = ? WHERE rowid = ?", (flipped.decode(), rowid))
    finally:
        connection.close()


@pytest.mark.parametrize("answer", ["terminate", "cancel, then terminate", "retry in vain"])
def test_a_corrupt_row(world: World, answer: str) -> None:
    if world.kind == "postgres":
        pytest.skip("reaches into the other stores")
    a, b = world.book.step("a"), world.book.step("b")
    neighbours = Neighbours(world)

    @saga(name="containment")
    async def shop() -> str:
        await a()
        await go.receive()
        return await b()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            await neighbours.begin(engine)
            await engine.start(shop(), id="one")
            await world.book.until(lambda: "a" in world.book.done())
        damage(world, (await world.header("one")).uid)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.send(go, "")
            parked = await attention(handle, "corrupt")
            assert "journal row 0 does not match its checksum" in parked.items[0]["message"]
            assert "restore the row from a backup, or terminate" in parked.items[0]["do"]
            await neighbours.complete(engine)
            done = ["terminate"]
            if answer == "cancel, then terminate":
                done.insert(0, "cancel")
                await handle.cancel("because", **BY)
            if answer == "retry in vain":
                done.insert(0, "retry")
                await handle.retry(reason="because", **BY)
            if len(done) > 1:
                await attention(handle, "corrupt")
                assert not world.book.undone, "nothing is undone by guess"
            await handle.terminate("because", **BY)
            found = await world.ended(handle)
            assert [*dict.fromkeys(r.action for r in await handle.audit())] == done
            return found

    assert world.run(main).status == "terminated"
    assert not world.book.of("b")
