"""What operators do by hand, in every combination: why it is held, what they say, and how it goes on afterwards.

The law: what they resolve took place (so it is undone with the value they gave), what they skip did not (what may be
left of it is residue), and what they retry is a step like any other.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import amends
from amends import PayloadError, Recovery, Refused, Rejected, Resource, StepFailed, saga, savepoint
from amends.kernel import entries as e

from .book import OK, ONCE
from .world import World

ASK = {Exception: Recovery.ASK}


class Desk:
    """A resource that only the next worker has."""


class Held:
    """A step that is held for some reason until its cause is mended."""

    tainted = False
    tag: Any = "x"
    args: tuple[Any, ...] | None = None
    resources: tuple[Any, ...] = ()

    def __init__(self, world: World, why: str) -> None:
        self.book = world.book
        self.why = why
        self.step = getattr(self, why)()

    def ask(self) -> Any:
        return self.book.step("held", Rejected("no"), OK, recovery=ASK)

    def ask_unknown(self) -> Any:
        self.tainted = True
        return self.book.step("held", ValueError("?"), OK, recovery=ASK)

    def halt(self) -> Any:
        self.tainted = True
        return self.book.step("held", ValueError("?"), OK, recovery={ValueError: Recovery.HALT})

    def irreversible(self) -> Any:
        self.tainted = True
        return self.book.step("held", ValueError("?"), OK, undo=None, irreversible=True)

    def unreadable(self) -> Any:
        self.tainted = True
        return self.book.step("held", 7, OK, recovery=ASK)

    def resource(self) -> Any:
        self.resources = (Desk(),)

        @amends.step(name="held", retry=ONCE)
        async def held(tag: str, desk: Resource[Desk] = amends.injected) -> str:
            return await self.book._perform(self.book._begin("held", "do", tag), (OK,))  # type: ignore[no-any-return]

        self.book._compensation(held, "held", (OK,), False, {})
        return held

    def arguments(self) -> Any:
        self.tag = 5
        self.args = ("x",)
        return self.book.step("held")


WHYS = ["ask", "ask_unknown", "halt", "irreversible", "unreadable", "resource", "arguments"]
ACTS = ["resolve", "skip", "retry"]
LATER = ["nothing", "fails", "cancelled", "rolled back", "undone as a child"]


async def act(handle: Any, held: Held, what: str) -> None:
    await {
        "resolve": lambda: handle.resolve("by hand", "seen"),
        "skip": lambda: handle.skip("never mind"),
        "retry": lambda: handle.retry(args=held.args),
    }[what]()


def sagas(world: World, held: Held, later: str) -> tuple[Any, ...]:
    first = world.book.step("first")
    gate = world.book.step("gate", OK if later in ("nothing", "undone as a child") else Rejected("no"))
    go = amends.Signal[int]("go")

    @saga(name="hand.child")
    async def child() -> str:
        await first()
        if later == "rolled back":
            try:
                async with savepoint():
                    await held.step(held.tag)
                    await gate()
            except StepFailed:
                return "another way"
        value = await held.step(held.tag)
        if later == "cancelled":
            await go.receive()
        await gate()
        return str(value)

    @saga(name="hand.top")
    async def top() -> str:
        value = await child()
        if later == "undone as a child":
            await world.book.step("last", Rejected("no"))()
        return value

    return top, child


async def story(world: World, held: Held, what: str, later: str) -> Any:
    top, child = sagas(world, held, later)
    called = child if later != "undone as a child" else top
    id = "one" if called is child else "one~1"
    async with world.engine(top, child) as engine:
        handle = await engine.start(called(), id="one")
        assert (await handle.outcome()).status == "attention"
    async with world.engine(top, child, resources=held.resources) as engine:  # all of it is read back
        below = engine.handle(child, id)
        assert (await below.status()).items[0]["why"] == {"ask_unknown": "ask", "unreadable": "ask"}.get(
            held.why, held.why
        )
        await act(below, held, what)
        if later == "cancelled":
            await asyncio.sleep(1)
            await below.cancel("changed our mind")
        return await world.ended(engine.handle(called, "one"))


CASES = [
    (why, what, later)
    for why, what, later in itertools.product(WHYS, ACTS, LATER)
    if later == "nothing"
    or (why, what) != ("arguments", "resolve")  # its compensation could not read them either
]


@pytest.mark.parametrize(("why", "what", "later"), CASES)
def test_whatever_was_held_is_afterwards_what_the_operator_said(
    world: World, why: str, what: str, later: str
) -> None:
    held = Held(world, why)
    result = world.run(lambda: story(world, held, what, later))
    book, took_place = world.book, what != "skip"
    value = {"resolve": "by hand", "skip": None, "retry": "held:x"}[what]
    undone = [call.result for call in book.of("held", "undo")]
    if later == "nothing":
        assert (result.status, result.value) == ("completed", str(value))
        assert undone == []
        return
    leaves = why == "irreversible" if took_place else held.tainted
    assert undone == ([value] if took_place and why != "irreversible" else [])
    assert bool(result.residue) is leaves
    if later == "rolled back":
        assert (result.status, result.value) == ("completed", "another way")
        assert book.undone == (["held:x"] if undone else [])
        return
    assert result.status == ("partially_compensated" if leaves else "compensated")
    order = [call.name for call in book.calls if call.direction == "undo" and call.name != "gate"]
    assert order == ([*(["held"] if undone else []), "first"])


# ---------------------------------------------------------------- several at once


def pair(world: World) -> Any:
    pay = world.book.step("pay", Rejected("no"), Rejected("no"), OK, recovery=ASK)

    @saga(name="hand.pair")
    async def both() -> list[str]:
        return list(await asyncio.gather(pay("a"), pay("b")))

    return both


def test_a_value_is_the_result_of_one_action(world: World) -> None:
    both = pair(world)

    async def main() -> None:
        async with world.engine(both) as engine:
            handle = await engine.start(both(), id="one")
            await handle.outcome()
            ids = [item["action"] for item in (await handle.status()).items]
            assert len(ids) == 2
            with pytest.raises(Refused, match="2 could have it") as refused:
                await handle.resolve("one value", "seen")
            assert f'action="{ids[0]}"' in refused.value.hint
            assert await handle.audit() == []
            for id in ids:
                await handle.resolve(f"value of {id}", "seen", action=id)
            await world.ended(handle)
            assert await handle.result() == [f"value of {id}" for id in ids]

    world.run(main)


def test_who_skips_all_skips_what_she_saw(world: World) -> None:
    """What is parked by the time the request takes effect was not meant, and the audit names what was."""
    slow = world.book.step("slow", lambda call: later(), recovery=ASK)
    fast = world.book.step("fast", Rejected("no"), recovery=ASK)

    async def later() -> None:
        await asyncio.sleep(50)
        raise Rejected("no")

    @saga(name="hand.pair")
    async def both() -> list[Any]:
        return list(await asyncio.gather(fast("a"), slow("b")))

    async def main() -> None:
        wire = world.wire()
        async with world.engine(both, wire=wire) as engine:
            handle = await engine.start(both(), id="one")
            seen = (await handle.outcome()).items
            assert [item["step"] for item in seen] == ["fast"]
            header = await handle._backend.find("one")
            await world.reaches(handle, "attention")
            await asyncio.sleep(60)
            assert len((await handle.status()).items) == 2
            handle._backend.find = lambda id: asyncio.sleep(0, header)  # type: ignore[method-assign,assignment]
            await handle.skip("enough", by="ann")
            del handle._backend.find
            await asyncio.sleep(5)
            assert [item["step"] for item in (await handle.status()).items] == ["slow"]
            assert [(r.by, r.detail) for r in await handle.audit()] == [("ann", seen[0]["action"])]

    world.run(main)


# ---------------------------------------------------------------- new arguments


def only_new(call: Any) -> None:
    if call.tag != "new":
        raise Rejected("no")


def test_new_arguments_that_come_after_an_unclear_attempt_have_no_effect(world: World) -> None:
    """Of two operators one retries as it is, and its end is unclear: what the other wants is impossible by then."""
    pay = world.book.step("pay", Rejected("no"), ValueError("?"), OK, recovery=ASK)

    @saga(name="hand.args")
    async def shop() -> str:
        return await pay("old")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            id = (await handle.outcome()).items[0]["action"]
            await handle.retry(by="ann")
            await handle.outcome()
            with pytest.raises(Refused, match="may have had an effect"):
                await handle.retry(args=("new",))
            header = await handle._backend.find("one")
            late = e.Retried(id, "bob", e.Raw(b'{"tag":"new"}'))
            await handle._backend.operate(header, late, "retry", "", "bob", id)
            await asyncio.sleep(5)
            assert (await handle.status()).items[0]["action"] == id, "it is held as before"
            last = (await handle.audit())[-1]
            assert (last.by, last.action) == ("bob", "retry: no effect")
            assert "may have had an effect" in last.reason
        assert [call.tag for call in world.book.of("pay")] == ["old", "old"]

    world.run(main)


def test_new_arguments_are_for_the_action_that_was_held(world: World) -> None:
    """Not for another that is held meanwhile, even if none was named."""
    pay = world.book.step("pay", only_new, recovery=ASK)

    @saga(name="hand.args")
    async def shop() -> str:
        return await pay("old")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            id = (await handle.outcome()).items[0]["action"]
            await handle.retry(args=("new",), by="ann")
            assert await handle.result() == "pay:new"
            assert [(r.by, r.detail) for r in await handle.audit()] == [("ann", id)]

    world.run(main)


def test_the_new_arguments_are_checked(world: World) -> None:
    pay = world.book.step("pay", Rejected("no"), OK, recovery=ASK)

    @saga(name="hand.args")
    async def shop() -> str:
        return await pay("old")

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await handle.outcome()
            with pytest.raises(PayloadError):
                await handle.retry(args=(5,))
            assert await handle.audit() == []

    world.run(main)
