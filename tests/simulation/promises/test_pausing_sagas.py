"""A saga, or a namespace, that is paused: nothing of it begins anywhere, nothing of it is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import amends
from amends import (
    Engine,
    Handle,
    Resource,
    Settings,
    Signal,
    Transaction,
    UnknownName,
    injected,
    saga,
)
from amends.errors import CommitUnknown
from amends.store.pausing import Pause
from amends.store.port import AuditRecord
from amends.worker.holds import Holds

from .book import Call
from .test_pausing import around, crashes_in, going_back, steps, two_steps
from .world import World

heard: Signal[str] = Signal("holding.heard")


async def given_up(engine: Engine, count: int = 0) -> None:
    """Wait until no more than that many executions are in memory."""
    while engine.stats()["resident"] > count:
        await asyncio.sleep(0.05)


def test_what_runs_ends_and_nothing_more_begins(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            handle = await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            held = await engine.pauses.pause(two, reason="the bank is closed", by="ann")
            before = await world.header("p")
            await world.passes(5)
            go.set()
            await given_up(engine)
            status = await handle.status()
            assert (status.status, status.cause, status.paused) == ("running", "", None)
            assert status.saga_paused == held == (await engine.pauses.list())[0]
            assert (held.saga, held.by, held.reason) == ("pausing.two", "ann", "the bank is closed")
            after = await world.header("p")
            assert (after.status, after.cause, after.detail) == (before.status, before.cause, before.detail)
            assert len(await world.rows("p")) == 2, "the end of the first step is durable"
            await world.passes(60)
        async with world.engine(two) as engine:  # a restart changes nothing
            await world.passes(60)
            assert steps(world) == ["pausing.first"]
            assert await engine.pauses.resume("pausing.two", by="bob") is True
            assert await engine.handle(two, "p").result() == "done"
            assert await engine.pauses.resume("pausing.two") is False
            assert (await engine.handle(two, "p").status()).saga_paused is None
            told = [(record.action, record.by, record.reason) for record in await engine.pauses.audit(two)]
            assert told == [("pause", "ann", "the bank is closed"), ("resume", "bob", "")]
        assert steps(world) == ["pausing.first", "pausing.second"]
        assert {call.attempt for call in world.book.calls} == {1}, "nothing counts as lost"
        world.book.audit()

    world.run(main)


def test_new_ones_are_accepted_and_wait_and_others_go_on(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        go.set()
        two = two_steps(world, go)

        @saga(name="holding.other")
        async def other() -> str:
            return "other"

        async with world.engine(two, other) as engine:
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            handle = await engine.start(two(), id="started")
            running = asyncio.create_task(engine.run(two(), id="run"))
            assert await engine.run(other(), id="o") == "other"
            await world.passes(60)
            assert steps(world) == []
            assert engine.stats()["resident"] == 0
            assert {each.id for each in await engine.list(saga=two) if each.saga_paused} == {"started", "run"}
            await engine.pauses.resume(two)
            assert [await handle.result(), await running] == ["done", "done"]
        world.book.audit()

    world.run(main)


def test_one_that_is_being_started_as_the_pause_is_heard_is_accepted_and_not_begun(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        go.set()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            await world.passes(1)
            worker = engine._worker
            assert worker is not None
            told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            header = engine._backend.header_for(two(), "p", None)
            pause = Pause(namespace="default", saga="pausing.two")
            await engine.store.add_pause(pause, AuditRecord(0.0, "x", "x", "x"))  # nobody is told
            worker.loader.start(header, told)
            worker.holds.learn([pause])  # before its turn
            assert await told is True
            await given_up(engine)
            await world.passes(60)
            assert (await world.rows("p"), steps(world)) == ([], [])
            await engine.pauses.resume(two)
            assert await engine.handle(two, "p").result() == "done"

    world.run(main)


def test_a_pause_that_ends_before_all_has_stopped_changes_nothing(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two, settings=Settings(poll=0.1, grace=1.0, steps=1)) as engine:
            handles = [await engine.start(two(), id=f"p{n}") for n in range(3)]
            await world.book.begun("pausing.first")
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            assert engine.stats()["attempts"] == 1, "what waited for the slot is taken back"
            await engine.pauses.resume(two)
            await world.passes(1)
            go.set()
            assert [await handle.result() for handle in handles] == ["done"] * 3
        assert sorted(steps(world)) == ["pausing.first"] * 3 + ["pausing.second"] * 3
        assert {call.attempt for call in world.book.calls} == {1}
        world.book.audit()

    world.run(main)


def test_a_namespace_stands_still_whole(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        outer = around(two)
        async with world.engine(outer, two) as engine:
            handle = await engine.start(outer(), id="p")
            await world.book.begun("pausing.first")
            assert (await engine.pauses.pause_all(reason="moving")).saga == ""
            await engine.pauses.pause(two, reason="and this")
            go.set()
            await given_up(engine)
            told = {each.saga: each.saga_paused.reason for each in await engine.list() if each.saga_paused}
            assert told == {"pausing.outer": "moving", "pausing.two": "and this"}
            assert await engine.pauses.resume_all() is True
            await world.passes(60)
            assert steps(world) == ["pausing.first"], "its saga is paused by itself"
            assert (await handle.status()).saga_paused is None, "it only waits for one that stands still"
            await engine.pauses.resume(two)
            assert await handle.result() == "done"
            assert [record.reason for record in await engine.pauses.audit()] == ["moving", ""]
        world.book.audit()

    world.run(main)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_requests_wait_for_the_end_of_the_pause(world: World, how: str) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            one = await engine.start(two(), id="in memory")
            await world.book.begun("pausing.first")
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            other = await engine.start(two(), id="not begun")
            for handle in (one, other):
                await getattr(handle, how)("enough")
            await world.passes(60)
            go.set()
            await given_up(engine)
            await getattr(one, how)("and again")
            await world.passes(60)
            assert {status.status for status in await engine.list()} == {"running"}
            assert steps(world) == ["pausing.first"]
            await engine.pauses.resume(two)
            ends = {(await handle.outcome()).status for handle in (one, other)}
            assert ends == {"compensated" if how == "cancel" else "terminated"}
        assert steps(world) == ["pausing.first"] * (2 if how == "cancel" else 1), "and its compensation"

    world.run(main)


def test_timers_retries_and_deadlines_go_on_by_the_clock(world: World) -> None:
    async def main() -> None:
        failures = [ConnectionResetError("gone")]

        async def answer(call: Call) -> None:
            if failures:
                raise failures.pop()

        flaky = world.book.step("holding.flaky", answer, retry=amends.Retry(attempts=3, delay=30, jitter=0))

        @saga(name="holding.retried")
        async def retried() -> None:
            await flaky("a")

        @saga(name="holding.sleeps")
        async def sleeps() -> float:
            began = amends.now()
            await asyncio.sleep(50)
            return (amends.now() - began).total_seconds()

        @saga(name="holding.late", deadline=60)
        async def late() -> None:
            await heard.receive()

        async with world.engine(retried, sleeps, late) as engine:
            calls = {"r": retried(), "s": sleeps(), "l": late()}
            handles: dict[str, Handle[Any]] = {
                id: await engine.start(call, id=id) for id, call in calls.items()
            }
            await world.book.begun("holding.flaky")
            await engine.pauses.pause_all(reason="not now")
            await world.passes(300)
            assert len(world.book.calls) == 1
            await engine.pauses.resume_all()
            await handles["r"].result()
            assert 300 <= await handles["s"].result() < 310, "due in the pause, so at its end"
            assert (await handles["l"].outcome()).cause == "deadline"
        assert [call.attempt for call in world.book.calls] == [1, 2]

    world.run(main)


def test_the_way_back_stands_still_too(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        back = going_back(world, go)
        async with world.engine(back) as engine:
            handle = await engine.start(back(), id="p")
            await world.book.begun("pausing.second", "undo")
            await engine.pauses.pause(back, reason="not now")
            await world.passes(1)
            go.set()
            await given_up(engine)
            await world.passes(60)
            assert [call.name for call in world.book.calls if call.direction == "undo"] == ["pausing.second"]
            await engine.pauses.resume(back)
            assert (await handle.outcome()).status == "compensated"
        world.book.audit()

    world.run(main)


def test_a_nested_saga_is_held_by_its_own_name(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        go.set()
        two = two_steps(world, go)
        outer = around(two)
        async with world.engine(outer, two) as engine:
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            handle = await engine.start(outer(), id="p")
            await world.passes(60)
            (child,) = await engine.list(saga=two)
            assert child.saga_paused is not None, "it was started by its parent, and not begun"
            assert (steps(world), (await handle.status()).status) == ([], "running")
            await engine.pauses.resume(two)
            assert await handle.result() == "done"
        world.book.audit()

    world.run(main)


def test_a_child_that_has_ended_is_undone_only_after_the_pause(world: World) -> None:
    async def main() -> None:
        inner_step = world.book.step("holding.inner")

        @saga(name="holding.inner")
        async def inner() -> None:
            await inner_step("a")

        @saga(name="holding.outer")
        async def outer() -> None:
            await inner()
            await heard.receive()

        async with world.engine(outer, inner) as engine:
            handle = await engine.start(outer(), id="p")
            while not await engine.list(status="completed", saga=inner):
                await asyncio.sleep(0.05)
            await engine.pauses.pause(inner, reason="not now")
            await world.passes(1)
            await handle.cancel("enough")
            await world.passes(60)
            assert [call.direction for call in world.book.calls] == ["do"]
            await engine.pauses.resume(inner)
            assert (await handle.outcome()).status == "compensated"
            assert [call.direction for call in world.book.calls] == ["do", "undo"]

    world.run(main)


# ---------------------------------------------------------------- the gate


async def heard_during_a_commit(world: World) -> list[str]:
    """The row with the intent of the second step is on its way when the pause is heard. What was dispatched?"""
    go = asyncio.Event()
    two = two_steps(world, go)
    wire = world.wire()
    async with world.engine(two, wire=wire) as engine:
        await engine.start(two(), id="p")
        await world.book.begun("pausing.first")
        wire.hold()
        go.set()
        await world.passes(0.5)
        await engine.pauses.pause(two, reason="not now")
        await world.passes(1)
        wire.release()
        await world.passes(30)
        return steps(world)


def test_what_becomes_durable_in_a_pause_is_not_dispatched(world: World) -> None:
    async def main() -> None:
        assert await heard_during_a_commit(world) == ["pausing.first"]

    world.run(main)


def test_without_the_gate_it_would_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard off."""
    monkeypatch.setattr(Holds, "shut", lambda self, of: False)

    async def main() -> None:
        assert await heard_during_a_commit(world) == ["pausing.first", "pausing.second"]

    world.run(main)


async def waiting_for_a_thread(world: World) -> list[str]:
    """One thread, and a pause of the saga that comes while a second plain step waits for it. Which were called?"""
    inside, go, called = threading.Event(), threading.Event(), []

    @amends.step(name="holding.plain")
    def plain(tag: str) -> None:
        called.append(tag)
        inside.set()
        go.wait(20)

    @saga(name="holding.threads")
    async def threads(tag: str) -> str:
        await plain(tag)
        return tag

    async with world.engine(threads, settings=Settings(poll=0.1, grace=5.0, threads=1)) as engine:
        handles = [await engine.start(threads(tag), id=tag) for tag in ("a", "b")]
        while not inside.is_set():
            await asyncio.sleep(0.005)
        await engine.pauses.pause(threads, reason="not now")
        assert engine._worker is not None
        while not engine._worker.holds.known:
            await asyncio.sleep(0.005)
        go.set()
        await given_up(engine)
        so_far = list(called)
        await engine.pauses.resume(threads)
        assert [await handle.result() for handle in handles] == ["a", "b"]
        assert called == ["a", "b"]
        attempts = [e["events"] for h in handles for e in await h.history()]
        assert "attempt_failed" not in str(attempts)
    return so_far


def test_what_waits_for_a_thread_is_turned_away_and_was_never_tried(real_world: World) -> None:
    async def main() -> None:
        assert await waiting_for_a_thread(real_world) == ["a"]

    real_world.run(main)


def test_one_turned_away_as_the_pause_ends_is_sent_again(real_world: World) -> None:
    """The thread finds the gate shut; before the worker hears of that, it hears that the pause is over."""

    async def main() -> None:
        called: list[str] = []

        @amends.step(name="holding.turned")
        def turned() -> None:
            called.append("turned")

        @saga(name="holding.turned")
        async def away() -> str:
            await turned()
            return "done"

        async with real_world.engine(away) as engine:
            worker = engine._worker
            assert worker is not None
            shut = [True]
            worker.holds.shut = lambda of: bool(shut) and shut.pop()  # type: ignore[method-assign]
            assert await asyncio.wait_for(engine.run(away(), id="p"), 20) == "done"
            assert (called, shut) == (["turned"], [])

    real_world.run(main)


def test_a_transaction_that_waits_for_the_store_is_turned_away(tmp_path: Any) -> None:
    world = World("sqlite", tmp_path)

    async def main() -> None:
        called: list[int] = []

        @amends.step(name="holding.transactional", transaction=True)
        def transactional(tx: Resource[Transaction] = injected) -> None:
            called.append(1)

        @saga(name="holding.transactional")
        async def together() -> str:
            await transactional()
            return "done"

        wire = world.wire()
        async with world.engine(together, wire=wire) as engine:
            worker = engine._worker
            assert worker is not None
            transact, pauses = wire.inner.transact, [Pause(namespace="default", saga="holding.transactional")]

            async def late(incarnation: int, uid: str, body: Any) -> Any:
                if pauses:  # heard while it waits for its turn
                    await wire.inner.add_pause(pauses[0], AuditRecord(0.0, "x", "x", "x"))
                    worker.holds.learn([pauses.pop()])
                return await transact(incarnation, uid, body)

            wire.inner.transact = late
            handle = await engine.start(together(), id="p")
            await world.passes(0.05)
            assert (called, pauses) == ([], [])
            await engine.pauses.resume(together)
            assert await handle.result() == "done"
            assert called == [1]

    world.run(main)


def test_a_worker_that_begins_anew_knows_what_it_knew(world: World) -> None:
    """Its incarnation is lost while attempts wait for a slot; nothing of them begins before it has read again."""

    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        wire = world.wire()
        async with world.engine(two, wire=wire, settings=Settings(poll=0.1, grace=1.0, steps=1)) as engine:
            handles = [await engine.start(two(), id=f"p{n}") for n in range(3)]
            await world.book.begun("pausing.first")
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            before = engine._worker
            wire.fail("pauses", *[RuntimeError("not yet")] * 3)
            assert before is not None
            before.lost(CommitUnknown("nobody knows"))
            await world.passes(60)
            assert engine._worker is not before
            go.set()
            await world.passes(60)
            assert steps(world) == ["pausing.first"]
            await engine.pauses.resume(two)
            assert [await handle.result() for handle in handles] == ["done"] * 3
        world.book.audit()

    world.run(main)


# ---------------------------------------------------------------- crashes


def interrupted(worlds: Callable[[], World], crash: int, when: str) -> bool:
    """Pause, resume, with a crash at a commit. Was there such a commit?"""
    world = worlds()

    async def main() -> bool:
        go = asyncio.Event()
        two = two_steps(world, go)
        wire = world.wire()
        wire.at(crash, when, "crash")
        engine = world.build(two, wire=wire)
        await engine.__aenter__()

        async def step_by_step() -> None:
            handle = await engine.start(two(), id="p")
            await world.book.begun("pausing.first")
            await engine.pauses.pause(two, reason="not now")
            await world.passes(1)
            go.set()
            await given_up(engine)
            await engine.pauses.resume(two)
            await handle.result()

        if not await crashes_in(world, engine, step_by_step()):
            return False
        go.set()
        async with world.engine(two) as second:
            await second.pauses.resume(two)
            again = await second.start(two(), id="p")
            assert await again.result() == "done"
        world.book.audit(crashes=1)
        return True

    return world.run(main)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_commit_of_a_pause_loses_nothing(worlds: Callable[[], World], when: str) -> None:
    crashes = 0
    while interrupted(worlds, crashes + 1, when):
        crashes += 1
    assert crashes >= 4, "the rows of the steps, what is given up, what follows it"


# ---------------------------------------------------------------- names


def test_a_name_that_nobody_knows_is_told_with_those_that_are_near(world: World) -> None:
    async def main() -> None:
        go = asyncio.Event()
        two = two_steps(world, go)
        async with world.engine(two) as engine:
            for given, hint in (("two", "'pausing.two'"), ("pausing.tow", "'pausing.two'")):
                with pytest.raises(UnknownName, match=hint):
                    await engine.pauses.pause(given, reason="not now")
            with pytest.raises(amends.Refused):
                await engine.pauses.pause("", reason="not now")
            assert await engine.pauses.list() == []

    world.run(main)
