"""Promise 16: every accepted execution ends, or waits in attention. None is silent, none lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import amends
from amends import Limits, NotSent, Rejected, Retry, Settings, Signal, StepFailed, saga

from .book import OK, ONCE, hang
from .world import World, unknown

go = Signal[str]("go")

ENDS: dict[str, Any] = {
    "ok": (OK,),
    "rejected": (Rejected("no"),),
    "error": (ValueError("?"),),
    "hangs": (hang,),
    "not sent, then ok": (NotSent("?"), OK),
    "base exception": (SystemExit("a step must not end the worker"),),
}
UNDOS: dict[str, Any] = {
    "undone": {"undo": (OK,)},
    "undone at last": {"undo": (ValueError("?"), OK), "undo_options": {"retry": Retry(attempts=3, delay=1)}},
    "not critical": {"undo": (ValueError("?"),), "undo_options": {"retry": ONCE, "critical": False}},
    "parked": {"undo": (ValueError("?"),), "undo_options": {"retry": ONCE}},
    "irreversible": {"undo": None, "irreversible": True},
    "nothing to undo": {"undo": None},
}


def expected(first: str, second: str, undo: str) -> set[str]:
    """How an execution of two steps (the first with that undo) may end."""
    if first in ("ok", "not sent, then ok") and second in ("ok", "not sent, then ok"):
        return {"completed"}
    if first == "rejected":
        return {"compensated"}
    if undo == "parked" or (undo == "irreversible" and first in ("error", "hangs", "base exception")):
        return {"attention"}
    if undo in ("not critical", "irreversible"):
        return {"partially_compensated"}
    return {"compensated"}


def one_after_the_other(world: World, a: Any, b: Any) -> amends.Result[str]:
    @saga(name="promise16")
    async def shop() -> str:
        await a()
        return await b()

    async def main() -> amends.Result[str]:
        async with world.engine(shop) as engine:
            found = await (await engine.start(shop(), id="one")).outcome()
            assert await engine.list(status=["running", "compensating"]) == []
            return found

    return world.run(main)


@pytest.mark.parametrize("undo", UNDOS)
@pytest.mark.parametrize("first", ENDS)
def test_every_execution_ends(worlds: Any, first: str, undo: str) -> None:
    """All ends of two steps in a row: each has the one status that the promises give it."""
    for second, script in ENDS.items():
        world = worlds()
        retry = Retry(attempts=2, delay=1) if "not sent" in first else ONCE
        a = world.book.step("a", *ENDS[first], timeout=5, retry=retry, **UNDOS[undo])
        b = world.book.step("b", *script, timeout=5, retry=Retry(attempts=2, delay=1))

        result = one_after_the_other(world, a, b)
        assert {result.status} == expected(first, second, undo), (first, second, undo)
        if result.status == "partially_compensated":
            assert [r["step"] for r in result.residue] == ["a"]
        if result.status == "attention":
            assert [i["step"] for i in result.items] == ["a"]


@pytest.mark.parametrize("seed", range(6))
def test_none_is_lost_through_crashes_and_lost_acknowledgements(worlds: Any, seed: int) -> None:
    """Many executions, a worker that dies at a random commit again and again: all end, each exactly once."""
    chance = random.Random(seed)
    world: World = worlds()
    a = world.book.step("a", lambda call: asyncio.sleep(chance.choice([0, 1])), timeout=20)
    b = world.book.step("b", lambda call: asyncio.sleep(0.5), timeout=20)
    bad = world.book.step("bad", Rejected("no"))
    count = 8

    @saga(name="promise16.child")
    async def child(tag: str) -> str:
        return await b(f"{tag} child")

    @saga(name="promise16")
    async def shop(tag: str, fails: bool) -> str:
        await a(tag)
        await asyncio.gather(b(tag), child(tag))
        await asyncio.sleep(10)
        return await bad(tag) if fails else tag

    async def life() -> None:
        wire = world.wire()
        number, when = chance.randint(1, 25), chance.choice(["before", "after"])
        wire.at(number, when, chance.choice(["crash", unknown()]))
        engine = world.build(shop, child, wire=wire)
        await engine.__aenter__()
        starts = [engine.start(shop(str(n), bool(n % 2)), id=f"id-{n}") for n in range(count)]
        for start in starts:
            task = asyncio.create_task(start)
            stop = asyncio.create_task(wire.crashed.wait())
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(30):
                await wire.crashed.wait()
        except TimeoutError:
            pass
        await world.crash(engine)

    async def main() -> list[amends.Result[str]]:
        for _ in range(4):
            await life()
        async with world.engine(shop, child) as engine:
            handles = [await engine.start(shop(str(n), bool(n % 2)), id=f"id-{n}") for n in range(count)]
            found = [await handle.outcome() for handle in handles]
            assert await engine.list(status=["running", "compensating"]) == []
            assert engine.stats()["attempts"] == 0
            return found

    results = world.run(main)

    # an action of unknown outcome is sent again with its key, so only bad tags are compensated
    assert [r.status for r in results] == ["completed" if n % 2 == 0 else "compensated" for n in range(count)]
    world.book.audit(crashes=4, retried=True)


@pytest.mark.parametrize(
    "where",
    ["waits for a signal", "sleeps", "waits for a retry", "in a step", "in a compensation", "has a child"],
)
@pytest.mark.parametrize("leave", ["crash", "drain"])
def test_whoever_stops_where_it_stands_goes_on_later(world: World, leave: str, where: str) -> None:
    """Wherever an execution is when its worker leaves: the next brings it to its end, without being told."""
    retry = Retry(attempts=2, delay=100)
    a = world.book.step("a", undo=(lambda call: asyncio.sleep(20),))
    slow = world.book.step("slow", lambda call: asyncio.sleep(20))
    flaky = world.book.step("flaky", NotSent("?"), OK, retry=retry)
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise16.child")
    async def child() -> str:
        return await slow()

    ways: dict[str, Any] = {
        "waits for a signal": lambda: go.receive(timeout=200),
        "sleeps": lambda: asyncio.sleep(200),
        "waits for a retry": flaky,
        "in a step": slow,
        "in a compensation": bad,
        "has a child": child,
    }

    @saga(name="promise16")
    async def shop() -> str:
        await a()
        try:
            await ways[where]()
        except TimeoutError:
            return "in time"
        return "in time"

    async def main() -> amends.Result[str]:
        async with world.engine(shop, child) as engine:
            await engine.start(shop(), id="one")
            await asyncio.sleep(10)
            if leave == "crash":
                await world.crash(engine)
        await asyncio.sleep(500)
        async with world.engine(shop, child) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)

    assert result.status == ("compensated" if where == "in a compensation" else "completed")


def test_a_deadline_ends_what_waits_for_ever(world: World) -> None:
    a = world.book.step("a")

    @saga(name="promise16", deadline=60)
    async def shop() -> None:
        await a()
        await go.receive()

    async def main() -> amends.Result[None]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "deadline")
    assert world.book.undone == ["a"]


@pytest.mark.parametrize("limit", ["rows", "depth", "deaths"])
def test_what_grows_without_bound_stops_and_says_so(world: World, limit: str) -> None:
    """It waits in attention (a child that does holds its parents), and can be ended by whoever looks."""
    world.settings = Settings(poll=0.1, grace=1.0, limits=Limits(rows=20, depth=3, deaths=2))
    deadly = world.book.step("deadly", hang)

    @saga(name="promise16")
    async def shop(depth: int) -> str:
        if limit == "depth":
            return await shop(depth + 1)
        if limit == "rows":
            for _ in range(1_000):
                await asyncio.sleep(1)
        return await deadly()

    async def main() -> amends.Result[str]:
        for n in range(2 if limit == "deaths" else 0):
            async with world.engine(shop) as engine:
                await engine.start(shop(0), id="one")
                await world.book.begun("deadly", count=n + 1)
                await world.crash(engine)
        async with world.engine(shop) as engine:
            root = await engine.start(shop(0), id="one")
            for _ in range(100):
                await asyncio.sleep(1)
            stuck = await engine.list(status="attention")
            assert len(stuck) == 1
            said = {"rows": "continue_as_new", "depth": "continue_as_new", "deaths": "what kills the process"}
            assert said[limit] in stuck[0].items[0]["do"]
            await engine.handle(shop, stuck[0].id).cancel("it grows")
            return await world.ended(root)

    assert world.run(main).status == "compensated"


def test_nobody_waits_in_vain_for_its_end(world: World) -> None:
    """Whoever waits for it hears of it: also on another handle, and after the worker was replaced."""
    a = world.book.step("a")

    @saga(name="promise16")
    async def shop() -> str:
        await go.receive()
        return await a()

    async def main() -> list[str]:
        wire = world.wire()
        async with world.engine(shop, wire=wire) as engine:
            handle = await engine.start(shop(), id="one")
            waiting = [asyncio.create_task(h.result()) for h in (handle, engine.handle(shop, "one"))]
            await asyncio.sleep(1)
            wire.at(wire.commits + 2, "after", unknown())
            await handle.send(go, "")
            return list(await asyncio.gather(*waiting))

    assert world.run(main) == ["a:", "a:"]
    world.book.audit(crashes=1)


def test_an_error_of_the_body_is_an_end_too(world: World) -> None:
    a = world.book.step("a")

    class Odd(BaseException):
        pass

    @saga(name="promise16")
    async def shop(kind: str) -> None:
        await a(kind)
        if kind == "assert":
            raise AssertionError("no")
        if kind == "base":
            raise Odd("no")
        if kind == "cancelled":
            raise asyncio.CancelledError
        if kind == "exit":
            raise SystemExit(1)
        if kind == "group":
            raise ExceptionGroup("two", [ValueError("one"), StepFailed("a", "b", "c", outcome="unknown")])
        raise RecursionError

    kinds = ["assert", "base", "cancelled", "exit", "group", "recursion"]

    async def main() -> list[amends.Result[None]]:
        async with world.engine(shop) as engine:
            return [await (await engine.start(shop(kind), id=kind)).outcome() for kind in kinds]

    results = world.run(main)

    assert [(r.status, r.cause) for r in results] == [("compensated", "failed")] * len(kinds)
    assert world.book.undone == [f"a:{kind}" for kind in kinds]
