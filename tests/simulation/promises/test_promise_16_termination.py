"""Promise 16: every accepted execution ends, or waits in attention: none silent, none lost, none without progress."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import amends
from amends import Limits, Rejected, Retry, Settings, Signal, StepFailed, saga
from amends.store.port import FINAL

from .book import OK, ONCE, hang
from .world import World, unknown

go = Signal[str]("go")

ENDS = {*FINAL, "attention"}


def waits_for_nobody() -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    """Bodies that wait for what nobody can deliver."""

    async def an_event() -> None:
        await asyncio.Event().wait()

    async def a_future() -> None:
        await asyncio.get_running_loop().create_future()

    async def a_queue() -> None:
        await asyncio.Queue().get()

    async def its_own_lock() -> None:
        lock = asyncio.Lock()
        async with lock, lock:
            pass

    async def each_other() -> None:
        one, two = asyncio.Lock(), asyncio.Lock()

        async def left() -> None:
            async with one:
                await asyncio.sleep(1)
                async with two:
                    pass

        async def right() -> None:
            async with two:
                await asyncio.sleep(1)
                async with one:
                    pass

        await asyncio.gather(left(), right())

    async def itself() -> None:
        async def inner() -> None:
            await task

        task = asyncio.create_task(inner())
        await task

    async def a_semaphore() -> None:
        await asyncio.Semaphore(0).acquire()

    async def a_condition() -> None:
        condition = asyncio.Condition()
        async with condition:
            await condition.wait()

    async def a_barrier() -> None:
        await asyncio.Barrier(2).wait()

    async def a_thread() -> None:
        await asyncio.to_thread(print)

    return {f.__name__: f for f in (
        an_event, a_future, a_queue, its_own_lock, each_other, itself, a_semaphore, a_condition, a_barrier, a_thread
    )}  # fmt: skip


@pytest.mark.parametrize("what", [*waits_for_nobody()])
@pytest.mark.parametrize("answer", ["cancel", "terminate", "fix"])
def test_what_waits_for_nobody_does_not_wait_in_silence(world: World, what: str, answer: str) -> None:
    a, b = world.book.step("a"), world.book.step("b")
    broken = [True]

    @saga(name="promise16")
    async def shop() -> str:
        await a()
        if broken:
            await waits_for_nobody()[what]()
        return await b()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            stuck = await handle.outcome()
            if what == "a_thread":  # refused with an error: the saga fails
                assert stuck.status == "compensated"
                return stuck
            if stuck.status == "compensated":  # a task that awaits itself is an error of asyncio's own
                assert what == "itself"
                return stuck
            assert (stuck.status, stuck.cause) == ("attention", "stuck")
            assert "waits for something" in stuck.items[0]["message"]
            assert stuck.items[0]["do"], "it says what to do"
            if answer == "cancel":
                await handle.cancel("give up")
            elif answer == "terminate":
                await handle.terminate("give up")
            else:
                broken.clear()
                await handle.retry(reason="deployed")
            if (what, answer) == ("each_other", "fix"):  # its timers are journaled, and the fix has none
                assert (await handle.outcome()).cause == "divergence"
                await handle.cancel("then undo it")
            return await world.ended(handle)

    result = world.run(main)
    if result.status == "compensated":
        assert world.book.remaining == []
    else:
        assert result.status == {"terminate": "terminated", "fix": "completed"}[answer]
    world.book.audit()


def test_an_endless_settlement_is_no_silence(world: World) -> None:
    """A compensation without end of retries: the status says what goes on."""
    forever = {"retry": Retry(attempts=None, delay=1, cap=5)}
    a = world.book.step("a", undo=(ValueError("never"),), undo_options=forever)
    bad = world.book.step("bad", Rejected("no"))

    @saga(name="promise16")
    async def shop() -> str:
        await a()
        return await bad()

    async def main() -> None:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("a", "undo", count=20)
            assert (await handle.status()).status == "compensating"
            assert "never" in str(await handle.history())
            await handle.terminate("enough")
            assert (await handle.outcome()).status == "terminated"

    world.run(main)


def test_a_step_without_a_timeout_is_not_taken_for_dead(world: World) -> None:
    """It works for days; that is its right."""
    a = world.book.step("a", lambda call: asyncio.sleep(3 * 86400))

    @saga(name="promise16")
    async def shop() -> str:
        return await a()

    async def main() -> None:
        world.settings = Settings(poll=3600)
        async with world.engine(shop) as engine:
            assert await engine.run(shop(), id="one") == "a:"

    world.run_for(10 * 86400, main)


def test_workers_that_die_over_it_again_and_again_do_not_go_on_dying(world: World) -> None:
    """After so many deaths at the same place it is set aside; others go on; a retry tries again."""
    killer = world.book.step("killer", *[hang] * 4, OK)
    other = world.book.step("other")
    world.settings = Settings(limits=Limits(deaths=3))

    @saga(name="promise16")
    async def shop() -> str:
        return await killer()

    @saga(name="promise16.other")
    async def elsewhere() -> str:
        return await other()

    async def main() -> amends.Result[Any]:
        for life in range(1, 4):
            async with world.engine(shop) as engine:
                if life == 1:
                    await engine.start(shop(), id="one")
                await world.book.begun("killer", count=life)
                await world.crash(engine)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            parked = await handle.outcome()
            assert (parked.status, parked.cause) == ("attention", "poison")
            assert "3 workers in a row died" in parked.items[0]["message"]
            assert parked.items[0]["do"]
            assert len(world.book.of("killer")) == 3
            assert await engine.run(elsewhere(), id="two") == "other:"
            await handle.retry(reason="more memory")
            await world.book.begun("killer", count=4)
            await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    result = world.run(main)
    assert (result.status, result.value) == ("completed", "killer:")


@pytest.mark.parametrize("answer", ["cancel", "terminate"])
def test_what_killed_its_workers_can_be_ended(world: World, answer: str) -> None:
    a, killer = world.book.step("a"), world.book.step("killer", hang)
    world.settings = Settings(limits=Limits(deaths=2))

    @saga(name="promise16")
    async def shop() -> str:
        await a()
        return await killer()

    async def main() -> amends.Result[Any]:
        for life in range(1, 3):
            async with world.engine(shop) as engine:
                if life == 1:
                    await engine.start(shop(), id="one")
                await world.book.begun("killer", count=life)
                await world.crash(engine)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            assert (await handle.outcome()).cause == "poison"
            await (handle.cancel("undo it") if answer == "cancel" else handle.terminate("leave it"))
            return await world.ended(handle)

    result = world.run(main)
    assert result.status == ("compensated" if answer == "cancel" else "terminated")
    assert world.book.undone == (["killer", "a"] if answer == "cancel" else [])


def test_progress_forgives_deaths(world: World) -> None:
    """Crash after crash, but each worker brings it a row further: that is no poison."""
    world.settings = Settings(limits=Limits(deaths=2))
    steps = [world.book.step(f"s{n}") for n in range(8)]

    @saga(name="promise16")
    async def shop() -> str:
        for step in steps:
            await step()
        return "done"

    async def main() -> amends.Result[Any]:
        for life in range(20):
            wire = world.wire()
            wire.at(2 if life == 0 else 1, "after", "crash")
            async with world.engine(shop, wire=wire) as engine:
                if life == 0:
                    starting = asyncio.create_task(engine.start(shop(), id="one"))
                    await wire.crashed.wait()
                    await asyncio.gather(starting, return_exceptions=True)
                else:
                    ended = asyncio.create_task(engine.handle(shop, "one").outcome())
                    died = asyncio.create_task(wire.crashed.wait())
                    await asyncio.wait([ended, died], return_when=asyncio.FIRST_COMPLETED)
                    died.cancel()
                    if not wire.crashed.is_set():
                        return ended.result()
                    ended.cancel()
                    await asyncio.gather(ended, return_exceptions=True)
                await world.crash(engine)
        async with world.engine(shop) as engine:
            return await engine.handle(shop, "one").outcome()

    assert world.run(main).status == "completed"
    world.book.audit(crashes=1)


# ---------------------------------------------------------------- a zoo, and everything that can go wrong


class Zoo:
    """Sagas of every kind, among them those that cannot end well."""

    def __init__(self, world: World) -> None:
        self.world = world
        book = world.book
        self.ok, self.plain = book.step("ok"), book.step("plain", plain=False)
        self.slow = book.step("slow", lambda call: asyncio.sleep(3))
        self.flaky = book.step("flaky", ValueError("?"), OK, retry=Retry(attempts=3, delay=1))
        self.no = book.step("no", Rejected("no"))
        self.unclear = book.step("unclear", TimeoutError("?"))
        self.stubborn = book.step("stubborn", undo=(ValueError("no"),), undo_options={"retry": ONCE})
        self.lax = book.step("lax", undo=(ValueError("no"),), undo_options={"retry": ONCE, "critical": False})
        self.held = book.step("held", ValueError("?"), recovery={ValueError: "ask"})
        self.sagas = [self.make(name) for name in self.bodies]

    bodies = (
        "completes", "fails", "parks", "residue", "held_back", "stuck", "spins", "nested", "nested_fails",
        "alternatives", "saved", "pivots", "pivots_and_fails", "too_large", "unencodable", "sleeps", "waits", "again",
    )  # fmt: skip

    def make(self, name: str) -> Any:
        async def body(n: int) -> Any:
            return await getattr(self, name)(n)

        made = saga(name=f"zoo.{name}", deadline=500)(body)
        setattr(self, f"saga_{name}", made)
        return made

    async def completes(self, n: int) -> str:
        await self.ok(f"{n}")
        await asyncio.gather(self.slow(f"{n}"), self.flaky(f"{n}"))
        return "done"

    async def fails(self, n: int) -> str:
        await self.completes(n)
        await self.unclear()
        return "?"

    async def parks(self, n: int) -> str:
        await self.stubborn()
        return await self.no()

    async def residue(self, n: int) -> str:
        await self.lax()
        return await self.no()

    async def held_back(self, n: int) -> str:
        return await self.held()

    async def stuck(self, n: int) -> None:
        await self.ok()
        await asyncio.Event().wait()

    async def spins(self, n: int) -> None:
        await self.ok()
        while True:
            await asyncio.sleep(0)

    async def nested(self, n: int) -> Any:
        return await asyncio.gather(*(self.saga_completes(k) for k in range(3)))  # type: ignore[attr-defined]

    async def nested_fails(self, n: int) -> Any:
        await self.saga_completes(n)  # type: ignore[attr-defined]
        return await self.saga_fails(n)  # type: ignore[attr-defined]

    async def alternatives(self, n: int) -> str:
        for step in (self.unclear, self.no, self.ok):
            try:
                return await step()
            except StepFailed:
                continue
        return "?"

    async def saved(self, n: int) -> str:
        try:
            async with amends.savepoint():
                await self.completes(n)
                await self.no()
        except StepFailed:
            return await self.ok("plan b")
        return "?"

    async def pivots(self, n: int) -> str:
        await self.ok()
        await amends.pivot()
        await self.flaky()
        return await self.unclear_until_ok()

    async def unclear_until_ok(self) -> str:
        return await self.flaky("later")

    async def pivots_and_fails(self, n: int) -> str:
        await amends.pivot()
        await self.ok()
        raise ValueError("a bug after the pivot")

    async def too_large(self, n: int) -> str:
        await self.ok()
        return await self.ok("x" * 20_000)

    async def unencodable(self, n: int) -> Any:
        await self.ok()
        return {"socket": object()}

    async def sleeps(self, n: int) -> str:
        await asyncio.sleep(100)
        return await self.ok()

    async def waits(self, n: int) -> str:
        await self.ok()
        return await go.receive()  # until the deadline

    async def again(self, n: int) -> str:
        await self.ok(f"{n}")
        if n % 3:
            await amends.continue_as_new(n - 1)
        return "done"


ZOO_SETTINGS = Settings(limits=Limits(payload=10_000, callbacks=5_000, deaths=1000), linger=2.0)

ENDINGS = {
    "completes": "completed", "fails": "compensated", "parks": "attention", "residue": "partially_compensated",
    "held_back": "attention", "stuck": "attention", "spins": "attention", "nested": "completed",
    "nested_fails": "compensated", "alternatives": "completed", "saved": "completed", "pivots": "completed",
    "pivots_and_fails": "attention", "too_large": "compensated", "unencodable": "compensated",
    "sleeps": "completed", "waits": "compensated", "again": "completed",
}  # fmt: skip


LEFT = {
    "completes": ["flaky", "ok", "slow"],
    "nested": ["flaky"] * 3 + ["ok"] * 3 + ["slow"] * 3,
    "alternatives": ["ok"],
    "saved": ["ok"],
    "pivots": ["flaky", "flaky", "ok"],
    "sleeps": ["ok"],
}


def check_zoo(world: World, found: dict[str, amends.Status]) -> None:
    """Each came to the end that is its own, and its participants agree."""
    effects: dict[str, list[str]] = {status.uid: [] for status in found.values()}
    undone = {c.where for c in world.book.calls if c.direction == "undo" and c.how == "ok"}
    for where, name in {
        c.where: c.name for c in world.book.calls if c.direction == "do" and c.how == "ok"
    }.items():
        if where not in undone:
            effects[where[0]].append(name)
    for id, status in found.items():
        if "~" in id:
            assert status.status in ENDS, f"{id} is {status.status}"
            continue
        name = id.split("/")[0]
        # what is held is undone when its deadline passes, if it comes to that
        wanted = "compensated" if (name, status.status) == ("held_back", "compensated") else ENDINGS[name]
        assert status.status == wanted, f"{id} ended {status.status}"
        family = [s.uid for s in found.values() if s.id.split("~")[0] == id]
        left = sorted(effect for uid in family for effect in effects[uid])
        if status.status == "compensated":
            assert left == [], f"{id} is compensated, and these remain: {left}"
        elif name in LEFT:
            assert left == LEFT[name], f"{id} is completed, and these remain: {left}"


async def everything_ended(engine: amends.Engine, count: int) -> dict[str, amends.Status]:
    """Wait until each execution has ended or needs attention."""
    while True:
        found = {s.id: s for s in await engine.list(limit=10_000)}
        roots = [id for id in found if "~" not in id]
        if len(roots) == count and all(found[id].status in ENDS for id in roots):
            return found
        await asyncio.sleep(5)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "group"])
@pytest.mark.parametrize("linger", [0.0, 5.0], ids=["evicting", "resident"])
def test_everything_that_was_accepted_ends(world: World, inline: bool, linger: float) -> None:
    world.inline = inline
    world.settings = Settings(limits=ZOO_SETTINGS.limits, linger=linger, resident=0 if linger == 0 else 1000)
    zoo = Zoo(world)

    async def main() -> dict[str, amends.Status]:
        async with world.engine(*zoo.sagas) as engine:
            for n in range(3):
                for name in zoo.bodies:
                    await engine.start(getattr(zoo, f"saga_{name}")(n), id=f"{name}/{n}")
            return await everything_ended(engine, 3 * len(zoo.bodies))

    check_zoo(world, world.run(main))
    world.book.audit(retried=True)


@pytest.mark.parametrize("seed", range(6))
def test_everything_that_was_accepted_ends_though_workers_die_and_acknowledgements_get_lost(
    world: World, seed: int
) -> None:
    """Every accepted start, from any life of the worker, comes to the same end as without all that."""
    survive(world, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 1_100))
def test_everything_ends_whatever_the_seed(world: World, seed: int) -> None:
    survive(world, seed)


def survive(world: World, seed: int) -> None:
    chance = random.Random(seed)
    world.settings = ZOO_SETTINGS
    zoo = Zoo(world)
    wanted = [(name, n) for n in range(3) for name in zoo.bodies]
    chance.shuffle(wanted)

    async def start(engine: amends.Engine, todo: list[tuple[str, int]]) -> None:
        while todo:
            name, n = todo[-1]
            await engine.start(getattr(zoo, f"saga_{name}")(n), id=f"{name}/{n}")
            todo.pop()
            await asyncio.sleep(chance.choice([0, 0, 0.1, 1]))

    async def main() -> dict[str, amends.Status]:
        lives = 0
        while wanted or lives < 8:
            lives += 1
            world.inline = chance.random() < 0.5
            wire = world.wire()
            wire.at(chance.randrange(2, 60), chance.choice(["before", "after"]), "crash")
            for _ in range(chance.randrange(3)):
                wire.at(chance.randrange(1, 40), chance.choice(["before", "after"]), unknown())
            async with world.engine(*zoo.sagas, wire=wire) as engine:
                starting = asyncio.create_task(start(engine, wanted))
                try:
                    async with asyncio.timeout(30):
                        await wire.crashed.wait()
                except TimeoutError:
                    wire.die()
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                await world.crash(engine)
            assert lives < 200
        async with world.engine(*zoo.sagas) as engine:
            return await everything_ended(engine, 3 * len(zoo.bodies))

    check_zoo(world, world.run(main))
    world.book.audit(crashes=1_000, retried=True)
