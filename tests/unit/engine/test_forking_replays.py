"""Forks replay what the original did as the original, and go on as themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import amends
from amends import Engine, Handle, Recovery, Refused, Retry, Signal, saga, step
from amends.engine.forking import fork_of, fork_uid
from amends.engine.journals import verified
from amends.kernel import entries as e
from amends.store import MemoryStore
from amends.store.port import History
from amends.testing import world
from tests.stores import all_of
from tests.unit.engine.waiting import until

ONCE = Retry(attempts=1)
word = Signal[str]("replays.word")
told: list[tuple[str, str, str]] = []
broken: set[str] = set()
gates: dict[str, asyncio.Event] = {}


def keys(label: str, direction: str = "do") -> list[str]:
    return [key for way, name, key in told if (way, name) == (direction, label)]


def note(direction: str, label: str) -> None:
    told.append((direction, label, amends.current().idempotency_key.rpartition("/")[0]))


async def act(text: str) -> str:
    label = text.partition(" ")[0]
    note("try", label)
    if label in gates:
        await gates[label].wait()
    if label in broken:
        raise LookupError(label)
    note("do", label)
    return text


@step(name="replays.look", retry=ONCE, recovery={LookupError: Recovery.ASK})
async def look(label: str) -> str:
    return await act(label)


@step(name="replays.book", retry=ONCE, recovery={LookupError: Recovery.ASK})
async def book(label: str) -> str:
    return await act(label)


@book.compensation(retry=ONCE)
async def release(booked: str | None, label: str) -> None:
    note("try undo", label)
    if f"undo {label}" in gates:
        await gates[f"undo {label}"].wait()
    note("undo", label)


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()
    broken.clear()
    gates.clear()


async def terminated(engine: Engine, handle: Handle[Any]) -> Handle[Any]:
    """Once it waits for a person, nothing of it is to be undone."""
    assert (await handle.outcome()).status == "attention"
    await handle.terminate("no more")
    assert (await handle.outcome()).status == "terminated"
    return handle


async def over(handle: Handle[Any]) -> bool:
    return (await handle.status()).status in {"completed", "compensated", "terminated"}


async def args_of(handle: Handle[Any], step: str) -> list[Any]:
    commands = [command for row in await handle.history() for command in row["commands"]]
    return [list(command["args"].values()) for command in commands if command.get("step") == step]


# ---------------------------------------------------------------- who it is


@saga(name="replays.named")
async def named() -> list[str]:
    chance = amends.random()
    async with asyncio.TaskGroup() as group:  # callbacks and tasks have streams of their own
        group.create_task(_named_task())
    await look(f"{amends.current().id} {amends.current().uid} {amends.uuid()}")
    after = f"{amends.current().id} {amends.current().uid} {amends.uuid()} {chance.random()}"
    await look("s")
    return [after, f"{amends.uuid()} {chance.random()}"]


async def _named_task() -> None:
    await look(str(amends.uuid()))


def test_code_is_told_who_it_was_and_then_who_it_is(store: Any) -> None:
    """What it was told before the cut it is told again; then it is the fork."""

    async def main() -> None:
        async with Engine(store, sagas=[named]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(named(), id="one"))
            broken.clear()
            fork = await first.fork("look#3")
            after, late = await fork.result()
            assert after.split()[:2] == ["one-fork", (await fork.status()).uid]
            # The code between the last row and the step is run again, as the fork.
            assert (await args_of(fork, "replays.look"))[:2] == (await args_of(first, "replays.look"))[:2]
            drawn = [*after.split()[2:], *late.split()]
            assert len(set(drawn)) == 4

    asyncio.run(main())


def test_chance_is_the_forks_own_also_after_a_restart(store: Any) -> None:
    @saga(name="replays.restarted")
    async def restarted() -> list[float]:
        chance = amends.random()
        drawn = [chance.random()]
        await look(str(drawn))
        drawn.append(chance.random())
        await look(f"s {drawn}")
        drawn.append(chance.random())
        await word.receive()
        return drawn

    async def main() -> None:
        async with Engine(store, sagas=[restarted]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(restarted(), id="one"))
            broken.clear()
            fork = await first.fork("look#2")
            await until(lambda: keys("s"))
        async with Engine(store, sagas=[restarted]) as engine:
            first, fork = engine.handle(restarted, "one"), engine.handle(restarted, "one-fork")
            await fork.send(word, "go")
            drawn = await fork.result()
            assert len(set(drawn)) == 3
            was, now = await args_of(first, "replays.look"), await args_of(fork, "replays.look")
            assert was[0] == now[0] == [str(drawn[:1])]
            assert was[1] != now[1] == [f"s {drawn[:2]}"], "the original's stream is not used any more"
            history = await _history(engine, fork)
            assert verified(history).forked is not None

    asyncio.run(main())


async def _history(engine: Engine, handle: Handle[Any]) -> History:
    found = await engine._backend.store.read((await handle.status()).uid)
    assert found is not None
    return History(*found)


def test_nested_sagas_of_before_and_after(store: Any) -> None:
    """A nested saga that is over leaves nothing to undo after the pivot, and is told by its old uid."""

    @saga(name="replays.inner")
    async def inner(label: str) -> str:
        return await book(label)

    @saga(name="replays.outer")
    async def outer() -> str:
        await inner("n")
        await amends.pivot()
        await look("a")
        await look("s")
        return await inner("m")

    async def main() -> None:
        async with Engine(store, sagas=[inner, outer]) as engine:
            broken.add("s")
            first = await engine.start(outer(), id="one")
            await until(lambda: keys("s", "try"))  # after the pivot it is tried for ever
            await first.terminate("no more")
            await until(lambda: over(first))
            broken.clear()
            fork = await first.fork("look#2")
            assert await fork.result() == "m"
            assert [label for way, label, _ in told if way == "do"] == ["n", "a", "s", "m"]
            assert (await engine.handle(inner, "one-fork~5").status()).parent == (await fork.status()).uid

    asyncio.run(main())


# ---------------------------------------------------------------- what runs beside


@saga(name="replays.beside")
async def beside(limit: float | None = None) -> list[str]:
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(_slow())
        await look("a")
        await look("s")
    return [await slow]


async def _slow() -> str:
    return await book("p")


@pytest.mark.parametrize("since", ["succeeded", "open"])
def test_what_ran_beside(store: Any, since: str) -> None:
    """What of it has succeeded since counts; what never told is sent again, with its old key."""

    async def main() -> None:
        gates["p"] = asyncio.Event()
        broken.add("s")
        async with Engine(store, sagas=[beside]) as engine:
            first = await engine.start(beside(), id="one")
            assert (await first.outcome()).status == "attention"
            if since == "succeeded":
                gates["p"].set()
                await until(lambda: done(first, "replays.book"))
            await first.terminate("no more")
            await until(lambda: over(first))
            gates["p"].set()
            broken.clear()
            fork = await first.fork("look#2")
            assert await fork.result() == ["p"]
            assert len(keys("p", "try")) == (1 if since == "succeeded" else 2)
            assert len(set(keys("p", "try"))) == 1
            assert len(set(keys("s", "try"))) == 2

    asyncio.run(main())


async def done(handle: Handle[Any], step: str) -> bool:
    rows = await handle.history()
    ids = {c["id"] for row in rows for c in row["commands"] if c.get("step") == step}
    return any(x["type"] == "completed" and x["id"] in ids for row in rows for x in row["events"])


def test_what_was_given_up_beside_is_not_taken_over() -> None:
    async def main() -> None:
        gates["p"] = asyncio.Event()
        broken.add("s")
        async with Engine(MemoryStore(), sagas=[beside]) as engine:
            first = await engine.start(beside(), id="one")
            assert (await first.outcome()).status == "attention"
            await first.cancel("no more")
            await until(lambda: over(first))
            with pytest.raises(Refused, match=r"replays.book \(action \S+\), begun before .* was undone"):
                await first.fork("look#2")

    asyncio.run(main())


def test_what_is_just_being_undone_is_not_taken_over() -> None:
    """Neither finished nor given up when the step was begun, and the same to the end."""

    @saga(name="replays.rolls")
    async def rolls() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_rolls_back())
            await look("a")
            await look("s")

    async def main() -> None:
        gates["undo p"], gates["a"] = asyncio.Event(), asyncio.Event()
        broken.add("s")
        async with Engine(MemoryStore(), sagas=[rolls]) as engine:
            first = await engine.start(rolls(), id="one")
            await until(lambda: keys("p", "try undo"))
            gates["a"].set()
            assert (await first.outcome()).status == "attention"
            await first.terminate("no more")
            await until(lambda: over(first))
            with pytest.raises(Refused, match=r"replays.book \(action \S+\), begun before .* was undone"):
                await first.fork("look#2")
            gates["undo p"].set()

    asyncio.run(main())


async def _rolls_back() -> None:
    try:
        async with amends.savepoint():
            await book("p")
            raise LookupError
    except LookupError:
        pass


def test_sets_are_in_the_order_of_the_original() -> None:
    """Tasks hash by numbers that begin at the uid: what depends on them is as it was."""

    @saga(name="replays.sets")
    async def sets() -> None:
        await look(f"a {hash(asyncio.current_task())}")
        await look("s")

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[sets]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(sets(), id="one"))
            broken.clear()
            fork = await first.fork("look#2")
            assert (await fork.outcome()).status == "completed"

    asyncio.run(main())


# ---------------------------------------------------------------- time


def test_time_stands_still_in_between() -> None:
    """Timers that ran have as much time left as they had; so has the deadline."""

    @saga(name="replays.timed", deadline=timedelta(hours=10))
    async def timed() -> str:
        async with asyncio.timeout(7200):
            await asyncio.sleep(3600)
            await look("s")
            await asyncio.sleep(3000)
        await asyncio.sleep(5 * 3600)
        await look("t")
        return "in time"

    async def main() -> None:
        async with world() as w, w.engine(sagas=[timed]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(timed(), id="one"))
            broken.clear()
            gates["t"] = asyncio.Event()
            await w.advance(days=30)
            fork = await first.fork("look")
            was, now = (await first.status()).deadline, (await fork.status()).deadline
            assert was is not None
            assert now is not None
            assert timedelta(days=29) < now - was < timedelta(days=31)
            await w.advance(hours=8.9)
            assert (await fork.status()).status == "running", "one of its ten hours had passed"
            assert keys("t", "try"), "the timeout had an hour left"
            await w.advance(hours=0.2)
            assert (await fork.outcome()).cause == "deadline"

    asyncio.run(main())


def test_from_the_first_step_on() -> None:
    @saga(name="replays.first", deadline=timedelta(hours=1))
    async def once() -> str:
        return await look("s")

    async def main() -> None:
        async with world() as w, w.engine(sagas=[once]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(once(), id="one"))
            broken.clear()
            await w.advance(days=1)
            gates["s"] = asyncio.Event()
            before = w.elapsed
            fork = await first.fork("look")
            await until(lambda: len(keys("s", "try")) == 2)
            assert w.elapsed - before < timedelta(seconds=1), "a worker of the same process looks at once"
            await w.advance(minutes=59)
            assert (await fork.status()).status == "running", "it has its hour"
            gates["s"].set()
            assert await fork.result() == "s"
            uid = (await fork.status()).uid
            assert [key.partition("/")[0] for key in keys("s")] == [uid]

    asyncio.run(main())


def test_signals_of_before_are_kept_and_those_of_after_are_not(store: Any) -> None:
    @saga(name="replays.signalled")
    async def signalled() -> list[str]:
        await look("a")
        await look("s")
        return [await word.receive(), await word.receive()]

    async def main() -> None:
        async with Engine(store, sagas=[signalled]) as engine:
            gates["a"] = asyncio.Event()
            broken.add("s")
            first = await engine.start(signalled(), id="one")
            await first.send(word, "early")
            await until(lambda: signals(first, 1))
            gates["a"].set()
            assert (await first.outcome()).status == "attention"
            await first.send(word, "late")
            await until(lambda: signals(first, 2))
            await first.terminate("no more")
            await until(lambda: over(first))
            broken.clear()
            fork = await first.fork("look#2")
            await fork.send(word, "anew")
            assert await fork.result() == ["early", "anew"]

    asyncio.run(main())


async def signals(handle: Handle[Any], count: int) -> bool:
    events = [event for row in await handle.history() for event in row["events"]]
    return [event["type"] for event in events].count("signalled") == count


# ---------------------------------------------------------------- generations


def test_across_continue_as_new(store: Any) -> None:
    """What an earlier run did is undone under its key; either run may be gone on from."""

    @saga(name="replays.rounds")
    async def rounds(n: int = 0) -> str:
        await book(f"r{n}")
        if n < 2:
            await amends.continue_as_new(n + 1)
        await look("s")
        return str(amends.random().random())

    async def main() -> None:
        async with Engine(store, sagas=[rounds]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(rounds(), id="one"))
            fork = await first.fork("look")
            assert (await fork.outcome()).status == "attention"
            await fork.cancel("no more")
            await until(lambda: over(fork))
            assert [keys(f"r{n}", "undo") for n in range(3)] == [keys(f"r{n}") for n in range(3)]
            assert [label for way, label, _ in told if way == "undo"] == ["r2", "r1", "r0"]
            broken.clear()
            again = await fork.fork("book#1")
            await again.result()
            assert len(set(keys("r0"))) == 2

    asyncio.run(main())


def test_before_the_first_step_of_a_later_run() -> None:
    @saga(name="replays.looks", deadline=timedelta(hours=1))
    async def looks(n: int = 0) -> float:
        await look(f"r{n}")
        if n < 2:
            await amends.continue_as_new(n + 1)
        return amends.random().random()

    async def main() -> None:
        async with world() as w, w.engine(sagas=[looks]) as engine:
            broken.add("r2")
            first = await terminated(engine, await engine.start(looks(), id="one"))
            broken.clear()
            await w.advance(days=2)
            fork = await first.fork("look#3")
            await fork.result()
            assert [label for way, label, _ in told if way == "do"] == ["r0", "r1", "r2"]
            assert fork_uid(keys("r0")[0].partition("/")[0]) == keys("r2")[0].partition("/")[0]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("step", "done"), [("look#3", "a s t"), ("look#2", "a s s t"), ("look#1", "a s a s t")]
)
def test_a_fork_is_forked(store: Any, step: str, done: str) -> None:
    """At, after or before where it was forked itself."""

    @saga(name="replays.chain")
    async def chain() -> str:
        drawn = amends.uuid()
        await look("a")
        await look("s")
        await look("t")
        return str(drawn)

    async def main() -> None:
        async with Engine(store, sagas=[chain]) as engine:
            broken.update("st")
            first = await terminated(engine, await engine.start(chain(), id="one"))
            broken.discard("s")
            second = await terminated(engine, await first.fork("look#2"))
            broken.clear()
            third = await second.fork(step)
            assert third.id == "one-fork-fork"
            await third.result()
            assert " ".join(label for way, label, _ in told if way == "do") == done
            found = await _history(engine, third)
            said = fork_of(found.rows)
            assert said is not None
            assert said.source == "one-fork"
            assert said.id == ("one" if step == "look#1" else "one-fork")

    asyncio.run(main())


# ---------------------------------------------------------------- code of today


def test_the_code_of_today_diverges_as_always() -> None:
    today = "a"

    @saga(name="replays.changed")
    async def changed() -> str:
        await look(today)
        await look("s")
        return await look(f"{today}2")

    async def main() -> None:
        nonlocal today
        async with Engine(MemoryStore(), sagas=[changed]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(changed(), id="one"))
            broken.clear()
            today = "b"
            fork = await first.fork("look#2")
            outcome = await fork.outcome()
            assert (outcome.status, outcome.cause) == ("attention", "divergence")
            today = "a"
            await fork.retry(reason="the code of yesterday")
            assert await fork.result() == "a2"

    asyncio.run(main())


def test_it_travels(store: Any) -> None:
    """Export and import take forks and forked along, each by itself, and go on with what they were."""

    @saga(name="replays.travels")
    async def travels() -> str:
        await book("a")
        return await look("s")

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[travels]) as engine:
            broken.add("s")
            first = await terminated(engine, await engine.start(travels(), id="one"))
            fork = await first.fork("look", reason="mended")
            await fork.outcome()
            await fork.cancel("no")
            await until(lambda: over(fork))
            lines = await all_of(engine.operations.export())
            uid = (await first.status()).uid
        async with Engine(store, sagas=[travels]) as engine:
            items = await all_of(engine.operations.import_(lines))
            assert sorted((item.id, item.outcome) for item in items) == [
                ("one", "imported"), ("one-fork", "imported"),
            ]  # fmt: skip
            found = await _history(engine, engine.handle(travels, "one-fork"))
            said = fork_of(found.rows)
            assert said is not None
            assert (said.uid, said.source, said.reason) == (uid, "one", "mended")
            assert verified(found).status == "compensated"
            with pytest.raises(Refused, match="was undone"):
                await engine.handle(travels, "one-fork").fork("look")
            assert (await engine.handle(travels, "one").fork("look")).id == "one-fork"
            assert e.decode_events(found.rows[-1].events)

    asyncio.run(main())
