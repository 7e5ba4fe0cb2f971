"""Promise 13: same code, same journal, same decisions; a real divergence parks, never runs on by guess."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import amends
from amends import Rejected, Signal, saga, step
from amends.kernel import entries as e
from amends.kernel.instance import Instance
from amends.kernel.limits import Limits

from .book import ONCE
from .world import World, forget

go = Signal[str]("go")


def redeployed(world: World, old: Callable[[], Any], new: Callable[[], Any]) -> amends.Result[Any]:
    """Run the old code until it waits, deploy the new, let it go on, and see how that ends."""

    async def main() -> amends.Result[Any]:
        first = old()
        async with world.engine(first) as engine:
            await engine.start(first(), id="one")
            await asyncio.sleep(20)
        second = new()
        async with world.engine(second) as engine:
            handle = engine.handle(second, "one")
            await handle.send(go, "went")
            return await handle.outcome()

    return world.run(main)


@pytest.mark.parametrize("seed", range(10))
def test_every_prefix_of_a_journal_leads_to_the_same_decisions(world: World, seed: int) -> None:
    """A random saga (tasks, timers, chance, clock): replayed from each of its rows it decides the same."""

    def takes(call: Any) -> Any:
        return asyncio.sleep(random.Random(call.key).random())

    steps = [world.book.step(f"s{n}", takes) for n in range(4)]
    bad = world.book.step("bad", Rejected("no"))

    async def branch(depth: int, chance: random.Random) -> str:
        way = chance.choice(["step", "both", "sleep", "timeout", "caught", "savepoint"])
        if depth == 0 or way == "step":
            return await chance.choice(steps)(f"{amends.random().random()} {amends.uuid()} {amends.now()}")
        if way == "both":
            return "".join(await asyncio.gather(*(branch(depth - 1, chance) for _ in range(2))))
        if way == "sleep":
            await asyncio.sleep(chance.random())
        elif way == "timeout":
            try:
                return await asyncio.wait_for(branch(depth - 1, chance), 0.4)
            except TimeoutError:
                return "late"
        else:
            try:
                async with amends.savepoint():
                    await branch(depth - 1, chance)
                    await bad()
            except amends.StepFailed:
                pass
        return await branch(depth - 1, chance)

    @saga(name="promise13")
    async def shop() -> str:
        chance = random.Random(seed)
        return "".join([await branch(4, chance) for _ in range(3)])

    async def main() -> tuple[Any, Any, Any, list[Any]]:
        async with world.engine(shop) as engine:
            result = await (await engine.start(shop(), id="one")).outcome()
            registry = engine._worker.registry  # type: ignore[union-attr]
        return result, registry, await world.header("one"), await world.rows("one")

    result, registry, header, rows = world.run(main)

    assert result.status == "completed"
    assert len(rows) > 3
    for head in range(1, len(rows)):
        instance = Instance(header.uid, "one", "promise13", header.version, registry, Limits())
        instance.load(rows[:head])
        row = rows[head]
        decision = instance.activate(e.decode_events(row.events), row.now)
        assert instance.seal(decision) == row, head
        instance.discard()


class Old(msgspec.Struct):
    item: str


class New(msgspec.Struct):
    item: str
    amount: int = 1


class Renamed(msgspec.Struct):
    thing: str = ""


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ("a new field with a default", "completed"),
        ("a new parameter with a default", "completed"),
        ("another value of a field", "divergence"),
        ("a renamed field", "divergence"),
        ("more policies", "completed"),
    ],
)
def test_commands_are_compared_as_values(world: World, change: str, outcome: str) -> None:
    calls: list[Any] = []

    def code(changed: bool) -> Any:
        kind: Any = Old
        if changed and "new field" in change:
            kind = New
        if changed and "renamed" in change:
            kind = Renamed

        async def buy(order: Any) -> str:
            calls.append(order)
            return "bought"

        async def buy_more(order: Any, again: int = 3) -> str:
            calls.append(order)
            return "bought"

        function: Any = buy_more if changed and "parameter" in change else buy
        function.__annotations__["order"] = kind
        options: dict[str, Any] = (
            {"timeout": 30, "retry": ONCE} if changed and change == "more policies" else {}
        )
        bought: Any = step(name="buy", **options)(function)

        @saga(name="promise13")
        async def shop() -> str:
            await bought(kind("coffee" if changed and "another value" in change else "tea"))
            return await go.receive()

        return shop

    result = redeployed(world, lambda: code(False), lambda: code(True))

    assert len(calls) == 1, "nothing is dispatched anew"
    if outcome == "completed":
        assert (result.status, result.value) == ("completed", "went")
    else:
        assert (result.status, result.cause) == ("attention", "divergence")


CHANGES = [
    "another step",
    "a step more before",
    "a step less",
    "steps swapped",
    "a timer instead",
    "a child instead",
    "ends early",
    "fails early",
    "in a task",
    "another order of tasks",
    "a savepoint around",
    "a pivot before",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_divergence_parks_with_both_sides_shown(world: World, change: str) -> None:
    a, b, c, other = (world.book.step(name) for name in ("a", "b", "c", "other"))

    @saga(name="promise13.child")
    async def child() -> str:
        return await other()

    async def both(*calls: Any) -> None:
        await asyncio.gather(*calls)

    async def changed_body() -> str:
        ways: dict[str, list[Callable[[], Any]]] = {
            "another step": [other, b],
            "a step more before": [other, a, b],
            "a step less": [b],
            "steps swapped": [b, a],
            "a timer instead": [lambda: asyncio.sleep(5), b],
            "a child instead": [child, b],
            "in a task": [lambda: asyncio.create_task(both(a())), b],
            "a pivot before": [amends.pivot, a, b],
            "another order of tasks": [a, b],
        }
        if change == "ends early":
            return "early"
        if change == "fails early":
            raise ValueError("early")
        if change == "a savepoint around":
            async with amends.savepoint():
                await a()
                await b()
        for way in ways.get(change, []):
            await way()
        await (both(other(), c()) if change == "another order of tasks" else both(c(), other()))
        return await go.receive()

    def old() -> Any:
        @saga(name="promise13")
        async def shop() -> str:
            await a()
            await b()
            await both(c(), other())
            return await go.receive()

        return shop

    def new() -> Any:
        return saga(name="promise13")(changed_body)

    result = redeployed(world, old, new)

    assert (result.status, result.cause) == ("attention", "divergence")
    (item,) = result.items
    assert "journal row" in item["message"]
    assert "    journal:  " in item["message"]
    assert "    code:     " in item["message"]
    assert "amends.patched" in item["do"]
    assert sorted(x.name for x in world.book.calls) == ["a", "b", "c", "other"], "nothing by guess"


def test_what_comes_after_the_head_may_change(world: World) -> None:
    a, b = world.book.step("a"), world.book.step("b")

    def code(changed: bool) -> Any:
        @saga(name="promise13")
        async def shop() -> str:
            await a()
            await go.receive()
            if changed:
                return await b()
            return "old"

        return shop

    assert redeployed(world, lambda: code(False), lambda: code(True)).value == "b:"


def test_a_patch_tells_the_old_from_the_new(world: World) -> None:
    a, other = world.book.step("a"), world.book.step("other")

    def code(changed: bool) -> Any:
        @saga(name="promise13")
        async def shop() -> str:
            if changed and amends.patched("use other"):
                await other()
            else:
                await a()
            return await go.receive()

        return shop

    result = redeployed(world, lambda: code(False), lambda: code(True))

    assert (result.status, result.value) == ("completed", "went")
    assert [c.name for c in world.book.calls] == ["a"]


def test_a_missing_definition_parks_and_is_no_divergence(world: World) -> None:
    a = world.book.step("a")

    def old() -> Any:
        @saga(name="promise13")
        async def shop() -> str:
            await a()
            return await go.receive()

        return shop

    def new() -> Any:
        @saga(name="promise13.elsewhere")
        async def elsewhere() -> None: ...

        forget(old())
        return elsewhere

    async def main() -> amends.Result[Any]:
        first = old()
        async with world.engine(first) as engine:
            await engine.start(first(), id="one")
            await asyncio.sleep(20)
        async with world.engine(new()) as engine:
            handle = engine.handle(first, "one")
            await handle.send(go, "went")
            return await handle.outcome()

    result = world.run(main)
    assert (result.status, result.cause) == ("attention", "missing_definition")
