"""Saga code beyond plain awaiting: savepoints, pivots, patches, runs, ad hoc undo, time and chance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

import amends
from amends import (
    Compensated,
    Engine,
    NeedsAttention,
    Rejected,
    Retry,
    Settings,
    Signal,
    StepFailed,
    saga,
    step,
)

LOG: list[str] = []
QUICK = Retry(attempts=2, delay=0.001)


@pytest.fixture(autouse=True)
def _clean() -> None:
    LOG.clear()


@step(name="flow.do")
async def do(what: str) -> str:
    LOG.append(f"do {what}")
    if what.startswith("no "):
        raise Rejected(f"{what}: refused")
    return what.upper()


@do.compensation
async def undo(done: str | None, what: str) -> None:
    LOG.append(f"undo {what}")


@step(name="flow.note")
async def note(what: str) -> None:
    LOG.append(f"note {what}")


def run(call, **options):
    async def main():
        async with Engine("memory://", **options) as engine:
            return await engine.run(call, id="x")

    return asyncio.run(main())


# ---------------------------------------------------------------- savepoints


@saga(name="flow.savepoint")
async def with_savepoint(fail: bool) -> str:
    await do("a")
    try:
        async with amends.savepoint():
            await do("b")
            await asyncio.gather(do("c"), do("d"))
            if fail:
                await do("no e")
    except StepFailed:
        await do("other way")
        return "other"
    return "first"


def test_a_savepoint_left_by_an_exception_undoes_its_inside_only():
    assert run(with_savepoint(True)) == "other"
    assert LOG[-1] == "do other way"
    assert set(LOG[5:7]) == {"undo c", "undo d"}
    assert LOG[7] == "undo b"
    assert "undo a" not in LOG


def test_a_savepoint_left_normally_keeps_everything():
    assert run(with_savepoint(False)) == "first"
    assert not [line for line in LOG if line.startswith("undo")]


@saga(name="flow.savepoint_then_fail")
async def savepoint_then_fail() -> None:
    async with amends.savepoint():
        await do("a")
    await do("b")
    await do("no c")


def test_members_of_a_closed_savepoint_are_undone_with_the_rest():
    with pytest.raises(Compensated):
        run(savepoint_then_fail())
    assert LOG[-2:] == ["undo b", "undo a"]


# ---------------------------------------------------------------- the pivot


@step(name="flow.flaky", retry=QUICK)
async def flaky(times: int) -> int:
    attempt = amends.current().attempt
    LOG.append(f"attempt {attempt}")
    if attempt <= times:
        raise RuntimeError("not yet")
    return attempt


@saga(name="flow.pivot")
async def with_pivot(times: int) -> int:
    await do("a")
    await amends.pivot()
    return await flaky(times)


def test_after_the_pivot_steps_are_tried_until_they_succeed():
    assert run(with_pivot(4)) == 5
    assert "undo a" not in LOG


@saga(name="flow.pivot_rejected")
async def pivot_then_rejected() -> str:
    await do("a")
    await amends.pivot()
    return await do("no b")


def test_a_rejection_after_the_pivot_waits_for_a_person_who_can_resolve_it():
    async def main():
        async with Engine("memory://") as engine:
            handle = await engine.start(pivot_then_rejected(), id="x")
            with pytest.raises(NeedsAttention):
                await handle.result()
            await handle.cancel("too late")
            assert (await handle.outcome()).status == "attention"
            await handle.resolve("DONE", "did it by hand", by="ann")
            return await handle.result(), [a.action for a in await handle.audit()]

    value, audit = asyncio.run(main())
    assert value == "DONE"
    assert audit == ["cancel", "resolve"]
    assert "undo a" not in LOG


@saga(name="flow.pivot_busy")
async def pivot_while_busy() -> str:
    task = asyncio.create_task(do("slow"))
    await asyncio.sleep(0)
    try:
        await amends.pivot()
    except amends.PivotRefused as error:
        await task
        return str(error)
    return "granted"


def test_a_pivot_is_refused_while_something_is_in_flight():
    assert "flow.do" in run(pivot_while_busy())


@saga(name="flow.child_pivots")
async def child_pivots() -> str:
    await do("child")
    await amends.pivot()
    return await do("after")


@saga(name="flow.parent_of_pivot")
async def parent_of_pivot() -> str:
    await do("parent")
    result = await child_pivots()
    await do("no way back")
    return result


def test_a_childs_pivot_is_its_ancestors_pivot():
    async def main():
        async with Engine("memory://") as engine:
            handle = await engine.start(parent_of_pivot(), id="x")
            outcome = await handle.outcome()
            await handle.skip("it is fine", by="ann")
            return outcome, await handle.outcome()

    before, after = asyncio.run(main())
    assert before.status == "attention"
    assert after.status == "completed"
    assert after.value == "AFTER"
    assert not [line for line in LOG if line.startswith("undo")]


# ---------------------------------------------------------------- ad hoc compensations


@saga(name="flow.undo_with")
async def with_ad_hoc() -> None:
    await note("1")
    amends.undo_with(note, "back 1")
    await note("2")
    amends.undo_with(note, "back 2")
    amends.undo_with(note, "back 2b")
    await do("no 3")


def test_ad_hoc_compensations_run_in_reverse():
    with pytest.raises(Compensated):
        run(with_ad_hoc())
    assert LOG[-3:] == ["note back 2b", "note back 2", "note back 1"]


# ---------------------------------------------------------------- runs


@saga(name="flow.runs")
async def counting(left: int, done: int = 0) -> int:
    await do(f"step {left}")
    if left == 0:
        await do("no end") if done == 99 else None
        return done
    await amends.continue_as_new(left - 1, done + 1)


def test_continue_as_new_starts_again_with_a_short_journal():
    async def main():
        async with Engine("memory://") as engine:
            value = await engine.run(counting(3), id="x")
            rows = await engine.handle(counting, "x").history()
            return value, [e["run"] for row in rows for e in row["events"] if e["type"] == "started"]

    assert asyncio.run(main()) == (3, [0, 1, 2, 3])


def test_obligations_survive_continue_as_new():
    with pytest.raises(Compensated):
        run(counting(2, 97))
    assert LOG[-3:] == ["undo step 0", "undo step 1", "undo step 2"]


# ---------------------------------------------------------------- time and chance

tick = Signal[int]("tick")


@saga(name="flow.chance")
async def chances() -> list[str]:
    async def draw() -> str:
        return f"{amends.random().random()} {amends.uuid()}"

    first = [await draw(), amends.now().isoformat()]
    await tick.receive()
    return [*first, *await asyncio.gather(draw(), draw()), await draw()]


def test_now_random_and_uuid_replay():
    async def main():
        from amends.store import open_store

        store = open_store("memory://")
        async with Engine(store) as engine:
            handle = await engine.start(chances(), id="x")
        async with Engine(store) as engine:
            handle = engine.handle(chances, "x")
            await handle.send(tick, 1)
            first = await handle.result()
            history = await handle.history()
        return first, history

    values, history = asyncio.run(main())
    assert len(set(values)) == 5
    assert datetime.fromisoformat(values[1]) == datetime.fromtimestamp(history[0]["now"], UTC)


# ---------------------------------------------------------------- patched


def test_patched_keeps_old_executions_on_the_old_path():
    from amends.store import open_store

    async def main():
        store = open_store("memory://")

        @saga(name="flow.patched")
        async def old() -> str:
            await do("a")
            await tick.receive()
            await do("old")
            return "old"

        async with Engine(store, sagas=[old]) as engine:
            await engine.start(old(), id="before")
            while not any(
                r["commands"][-1:][0]["type"] == "await" for r in await history(engine, old) if r["commands"]
            ):
                await asyncio.sleep(0.005)

        @saga(name="flow.patched")
        async def new() -> str:
            await do("a")
            if amends.patched("look first"):
                await note("look")
            await tick.receive()
            return await do("new" if amends.patched("new end") else "old")

        async with Engine(store, sagas=[new]) as engine:
            await engine.start(new(), id="after")
            for id in ("before", "after"):
                await engine.handle(new, id).send(tick, 1)
            return [await engine.handle(new, id).result() for id in ("before", "after")]

    async def history(engine, definition):
        return await engine.handle(definition, "before").history()

    assert asyncio.run(main()) == ["NEW", "NEW"]
    assert LOG.count("note look") == 1


# ---------------------------------------------------------------- cancel and deadline


@saga(name="flow.deadline", deadline=0.05)
async def late() -> None:
    await do("a")
    await asyncio.sleep(60)


def test_a_deadline_compensates():
    with pytest.raises(Compensated) as caught:
        run(late())
    assert caught.value.cause == "deadline"
    assert LOG == ["do a", "undo a"]


def test_stuck_code_is_told_apart_from_waiting_code():
    @saga(name="flow.stuck")
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NeedsAttention, match="waits for something"):
        run(stuck(), settings=Settings())
