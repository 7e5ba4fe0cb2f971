"""Operators who act at random, at once, through crashes and drains: nothing is done twice, nothing is left hanging,
and the audit tells of each request whether it had an effect.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from amends import AmendsError, Recovery, Rejected, saga
from amends.store.port import FINAL

from .book import OK, ONCE, Call
from .world import World

ASK = {Exception: Recovery.ASK}
SEEDS = 60
ACTS = ("retry", "skip", "resolve", "cancel")
ACTIONS = {"a": "1.1", "b": "2.1"}
NAMED = ("", "99", *ACTIONS.values())


def shop_of(world: World, chance: random.Random) -> tuple[Any, ...]:
    """Two held steps at once in a nested saga, a failure behind them, compensations that are stuck at first."""

    def sometimes(error: Exception) -> Any:
        async def play(call: Call) -> None:
            await asyncio.sleep(chance.random())
            if chance.random() < 0.7:
                raise error

        return play

    stuck = {"retry": ONCE}
    a = world.book.step(
        "a", sometimes(Rejected("no")), undo=(sometimes(ValueError("?")),), undo_options=stuck, recovery=ASK
    )
    b = world.book.step(
        "b", sometimes(ValueError("?")), undo=(sometimes(ValueError("?")),), undo_options=stuck, recovery=ASK
    )
    last = world.book.step("last", Rejected("no") if chance.random() < 0.7 else OK)

    @saga(name="fuzz.child")
    async def child() -> str:
        return str(await asyncio.gather(a("x"), b("y")))

    @saga(name="fuzz.top")
    async def top() -> str:
        done = await child()
        await last()
        return done

    return top, child


async def act(handle: Any, what: str, action: str, by: str, accepted: Counter[Any]) -> None:
    calls = {
        "retry": lambda: handle.retry(action=action, by=by),
        "skip": lambda: handle.skip("enough", action=action, by=by),
        "resolve": lambda: handle.resolve("by hand", "seen", action=action, by=by),
        "cancel": lambda: handle.cancel("enough", by=by),
    }
    try:
        await calls[what]()
    except AmendsError:
        return
    accepted[handle.id, by, what] += 1


async def shift(engine: Any, sagas: tuple[Any, ...], chance: random.Random, accepted: Counter[Any]) -> None:
    """A few rounds of two operators who act at once, on any of the family, on what is parked or what is not."""
    handles = [engine.handle(sagas[0], "one"), engine.handle(sagas[1], "one~1")]
    for _ in range(chance.randrange(1, 6)):
        await asyncio.sleep(chance.random() * 2)
        acts = []
        for by in ("ann", "bob"):
            handle = chance.choice(handles)
            what = chance.choices(ACTS, (6, 3, 3, 1))[0]
            acts.append(act(handle, what, chance.choice(NAMED), by, accepted))
        await asyncio.gather(*acts)


async def settles(engine: Any, sagas: tuple[Any, ...]) -> str:
    """Somebody with patience: retries what is parked until it has ended."""
    top, child = engine.handle(sagas[0], "one"), engine.handle(sagas[1], "one~1")
    while True:
        for handle in (top, child):
            try:
                await handle.retry(by="zoe")
            except AmendsError:
                continue
        await asyncio.sleep(3)
        status: str = (await top.status()).status
        if status in FINAL:
            return status


async def one_life(world: World, chance: random.Random) -> tuple[str, dict[str, list[Any]], Counter[Any]]:
    """How it ended, the audit of each of the family, and what was accepted."""
    sagas = shop_of(world, chance)
    accepted: Counter[Any] = Counter()
    async with world.engine(*sagas) as engine:
        await engine.start(sagas[0](), id="one")
    for _ in range(3):
        async with world.engine(*sagas) as engine:
            await shift(engine, sagas, chance, accepted)
            if chance.random() < 0.5:
                await world.crash(engine)
    async with world.engine(*sagas) as engine:
        status = await settles(engine, sagas)
        await asyncio.sleep(5)
        audits = {
            id: await engine.handle(definition, id).audit()
            for id, definition in zip(("one", "one~1"), sagas, strict=True)
        }
    return status, audits, accepted


def check(world: World, status: str, audits: dict[str, list[Any]], accepted: Counter[Any]) -> int:
    """Returns how many requests came too late."""
    asked = Counter((id, r.by, r.action) for id, rows in audits.items() for r in rows if ":" not in r.action)
    void = Counter(
        (id, r.by, r.action.partition(":")[0]) for id, rows in audits.items() for r in rows if ":" in r.action
    )
    known = {key: count for key, count in asked.items() if key[1] not in ("zoe", "amends")}
    assert set(known) == set(accepted), "what was accepted is on record, and nothing else"
    assert all(known[key] >= count for key, count in accepted.items()), (
        "(a record for each action it was for)"
    )
    assert all(count <= asked[key] for key, count in void.items()), "told more often than asked"
    world.book.audit(retried=True)
    by_hand = {r.detail for r in audits["one~1"] if r.action == "resolve"}
    for name, id in ACTIONS.items():
        done = [call for call in world.book.of(name) if call.how == "ok"]
        undone = [call for call in world.book.of(name, "undo") if call.how == "ok"]
        assert len(done) <= 1, f"done twice: {done}"
        assert len(undone) <= 1, f"undone twice: {undone}"
        if status == "compensated" and done and id not in by_hand:
            assert undone, f"{name} took place and was never undone"
        if status == "completed":
            assert not undone, f"{name} was undone, though all is completed"
    return sum(void.values())


def test_operators_at_random(world: World) -> None:
    if world.kind == "postgres":
        pytest.skip("makes worlds of its own")
    late, ends, requests = 0, Counter[str](), Counter[str]()
    for seed in range(SEEDS):
        folder = world.folder / str(seed)
        folder.mkdir()
        each, chance = World(world.kind, folder), random.Random(seed)
        try:
            status, audits, accepted = each.run(lambda: one_life(each, chance))  # noqa: B023 - runs at once
            late += check(each, status, audits, accepted)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        ends[status] += 1
        for (_, _, what), count in accepted.items():
            requests[what] += count
    assert late > 0, "no request ever came too late: the test tests nothing"
    assert set(requests) == set(ACTS)
    assert {"completed", "compensated"} <= set(ends)
