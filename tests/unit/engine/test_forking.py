"""Forking: a new execution goes on from the journal of one that has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import amends
from amends import Engine, Handle, IdInUse, Recovery, Refused, Retry, Signal, UnknownName, saga, step
from amends.engine.forking import fork_uid
from amends.store import MemoryStore
from tests.stores import all_of
from tests.unit.engine.waiting import until

ONCE = Retry(attempts=1)
word = Signal[str]("forking.word")

book: list[tuple[str, str, str]] = []
"""What participants were told: direction, label, key without direction."""
broken: set[str] = set()
"""Labels of what fails for now."""
gates: dict[str, asyncio.Event] = {}


def told(direction: str) -> list[str]:
    return [label for way, label, _ in book if way == direction]


def keys(label: str, direction: str = "do") -> list[str]:
    return [key for way, name, key in book if (way, name) == (direction, label)]


def note(direction: str, label: str) -> None:
    book.append((direction, label, amends.current().idempotency_key.rpartition("/")[0]))


async def act(label: str) -> str:
    if label in gates:
        await gates[label].wait()
    if label in broken:
        raise LookupError(label)
    note("do", label)
    return f"r:{label}"


@step(name="forking.look_up", retry=ONCE)
async def look_up(label: str) -> str:
    return await act(label)


@step(name="forking.charge", retry=ONCE)
async def charge(label: str) -> str:
    return await act(label)


@charge.compensation(retry=ONCE)
async def refund(payment: str | None, label: str) -> None:
    note("undo", label)


@step(name="forking.ship", retry=ONCE, recovery={LookupError: Recovery.ASK})
async def ship(label: str) -> str:
    return await act(label)


@step(name="forking.seal", retry=ONCE, irreversible=True)
async def seal(label: str) -> str:
    return await act(label)


@saga(name="forking.order")
async def order(tail: str = "") -> list[str]:
    """Things are found out, then done; the last waits for a person when it fails."""
    found = [await look_up("a"), await look_up("b"), await charge("c")]
    if tail:
        found.append(await charge(tail))
    return [*found, await ship("s")]


@saga(name="forking.nested")
async def nested(label: str) -> str:
    return await charge(label)


@saga(name="forking.parent")
async def parent(first: bool = True) -> str:
    if first:
        await nested("n")
    await look_up("a")
    await look_up("b")
    if not first:
        await nested("n")
    return await ship("s")


@pytest.fixture(autouse=True)
def _empty() -> None:
    book.clear()
    broken.clear()
    gates.clear()


async def ended(engine: Engine, call: Any, id: str, how: str) -> Handle[Any]:
    """An execution that ends so: ``well``, ``badly`` (compensated), or ``terminated``, its last step parked."""
    if how != "well":
        broken.add("s")
    handle = await engine.start(call, id=id)
    status = (await handle.outcome()).status
    if how == "well":
        assert status == "completed"
        return handle
    assert status == "attention"
    await (handle.cancel("no more") if how == "badly" else handle.terminate("no more"))
    await until(lambda: over(handle), f"the end of {id}")
    broken.discard("s")
    return handle


async def over(handle: Handle[Any]) -> bool:
    return (await handle.status()).status in {"completed", "compensated", "terminated"}


@asynccontextmanager
async def serving(store: Any, **more: Any) -> AsyncIterator[Engine]:
    async with Engine(store, sagas=[order, nested, parent], **more) as engine:
        yield engine


def test_it_goes_on_from_there(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order(), "one", "terminated")
            fork = await first.fork("ship", reason="mended", by="ann")
            assert fork.id == "one-fork"
            assert await fork.result() == ["r:a", "r:b", "r:c", "r:s"]
            assert told("do") == ["a", "b", "c", "s"], "nothing is done twice"
            assert (await first.status()).status == "terminated"

    asyncio.run(main())


def test_what_was_done_before_is_undone_under_its_old_key(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order("d"), "one", "terminated")
            broken.add("s")
            fork = await first.fork("ship")
            assert (await fork.outcome()).status == "attention"
            await fork.cancel("no good")
            await until(lambda: over(fork))
            assert told("undo") == ["d", "c"], "the last first"
            for label in "cd":
                assert keys(label, "undo") == keys(label)
            uids = {key.partition("/")[0] for _, _, key in book}
            assert uids == {(await first.status()).uid}

    asyncio.run(main())


def test_what_is_done_anew_has_a_new_key(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order(), "one", "badly")
            fork = await first.fork("charge", id="two")
            assert await fork.result() == ["r:a", "r:b", "r:c", "r:s"]
            assert told("do") == ["a", "b", "c", "c", "s"]
            uids = [key.partition("/")[0] for key in keys("c")]
            assert uids == [(await first.status()).uid, (await fork.status()).uid]
            assert uids[1] == fork_uid(uids[0])

    asyncio.run(main())


# ---------------------------------------------------------------- once


def test_who_asks_again_gets_the_same(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order(), "one", "terminated")
            forks = await asyncio.gather(*(first.fork("ship", by=who) for who in ("ann", "bob", "cleo")))
            assert {fork.id for fork in forks} == {"one-fork"}
            assert await forks[0].result() == ["r:a", "r:b", "r:c", "r:s"]
            assert (await first.fork("forking.ship")).id == "one-fork", "also once it has ended"
            assert told("do").count("s") == 1
            records = [record for record in await first.audit() if record.action == "fork"]
            assert [(record.detail, record.by in ("ann", "bob", "cleo")) for record in records] == [
                ("one-fork", True)
            ], "the audit has the one that came first"

    asyncio.run(main())


def test_it_is_forked_once(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            await engine.run(nested("x"), id="taken")
            first = await ended(engine, order(), "one", "badly")
            with pytest.raises(IdInUse, match="the id 'taken' belongs to another execution"):
                await first.fork("charge", id="taken")
            assert await (await first.fork("charge", id="two")).result() == ["r:a", "r:b", "r:c", "r:s"]
            with pytest.raises(
                Refused, match=r"was forked before forking.charge \(action 3\), as two; it can"
            ):
                await first.fork("look_up#2")
            with pytest.raises(Refused, match="before that step already, as two, not as three"):
                await first.fork("charge", id="three")
            assert [status.id for status in await engine.list()].count("two") == 1

    asyncio.run(main())


def test_what_was_cleared_away_is_not_made_again(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order(), "one", "terminated")
            await (await first.fork("ship")).result()
            await until(lambda: cleared(engine, "one-fork"), "the end of its ownership")
            with pytest.raises(Refused, match="was forked, as one-fork, which is cleared away"):
                await first.fork("ship")
            assert told("do").count("s") == 1

    asyncio.run(main())


async def cleared(engine: Engine, id: str) -> bool:
    batches = await all_of(engine.operations.retain(0.0, where=f'id = "{id}"'))
    return id in [gone for batch in batches for gone in batch.ids]


def test_the_original_may_be_cleared_away(store: Any) -> None:
    async def main() -> None:
        async with serving(store) as engine:
            first = await ended(engine, order(), "one", "terminated")
            broken.add("s")
            fork = await first.fork("ship")
            assert (await fork.outcome()).status == "attention"
            await until(lambda: cleared(engine, "one"))
            with pytest.raises(UnknownName, match="no execution has the id 'one'"):
                await first.fork("ship")
            await fork.cancel("undo it")
            await until(lambda: over(fork))
            assert keys("c", "undo") == keys("c")

    asyncio.run(main())


# ---------------------------------------------------------------- what is refused


def test_what_has_not_ended_is_refused() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as engine:
            gates["a"] = asyncio.Event()
            first = await engine.start(order(), id="one")
            with pytest.raises(Refused, match=r"one has not ended \(running\)"):
                await first.fork("look_up")
            broken.add("s")
            gates["a"].set()
            assert (await first.outcome()).status == "attention"
            with pytest.raises(Refused, match=r"one has not ended \(attention\)"):
                await first.fork("ship")
            await first.terminate("no more")
            await until(lambda: over(first))
            assert (await first.fork("ship")).id == "one-fork"

    asyncio.run(main())


def test_what_was_undone_is_not_taken_over() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as engine:
            first = await ended(engine, order(), "one", "badly")
            with pytest.raises(
                Refused, match=r"charge \(action 3\), begun before forking.ship .* was undone"
            ):
                await first.fork("ship")
            assert await engine.list(where='id = "one-fork"') == []

    asyncio.run(main())


def test_what_stands_is_not_done_again() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as engine:
            first = await ended(engine, order("d"), "one", "well")
            with pytest.raises(Refused, match=r"not undone: forking.charge \(action 4\); a fork would do it"):
                await first.fork("charge#2")
            with pytest.raises(Refused, match=r"\(action 3\), forking.charge \(action 4\)"):
                await first.fork("look_up#2")
            assert await (await first.fork("ship")).result() == ["r:a", "r:b", "r:c", "r:d", "r:s"]
            assert told("do").count("s") == 2, "a step without a compensation has nothing to undo"

    asyncio.run(main())


def test_what_cannot_be_undone_is_not_done_again() -> None:
    @saga(name="forking.sealed")
    async def sealed() -> None:
        await look_up("a")
        await seal("i")
        raise LookupError("late")

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[sealed]) as engine:
            first = await engine.start(sealed(), id="one")
            assert (await first.outcome()).status == "partially_compensated"
            with pytest.raises(Refused, match=r"not undone: forking.seal \(action 2\)"):
                await first.fork("seal")

    asyncio.run(main())


def test_nested_sagas() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as engine:
            first = await ended(engine, parent(), "one", "terminated")
            with pytest.raises(Refused, match=r"nested \(action 1\), begun before .* is a nested saga"):
                await first.fork("ship")
            with pytest.raises(Refused, match=r"not undone: forking.nested \(action 1\)"):
                await first.fork("nested")
            with pytest.raises(Refused, match="one~1 is nested, and would have no parent to tell") as refused:
                await engine.handle(nested, "one~1").fork("charge")
            assert refused.value.hint == "fork one"
            second = await ended(engine, parent(first=False), "two", "badly")
            fork = await second.fork("nested")
            assert await fork.result() == "r:s"
            assert told("do") == ["n", "a", "b", "a", "b", "n", "n", "s"]
            assert len(set(keys("n"))) == 3

    asyncio.run(main())


def test_steps_that_it_has_not_begun() -> None:
    async def main() -> None:
        async with serving(MemoryStore()) as engine:
            first = await ended(engine, order("d"), "one", "terminated")
            with pytest.raises(UnknownName, match="one has begun no step 'chrage'") as unknown:
                await first.fork("chrage")
            assert "did you mean 'charge'" in unknown.value.hint
            with pytest.raises(Refused, match=r"one has begun forking.charge 2 times") as refused:
                await first.fork("charge")
            assert "charge#1 … charge#2" in refused.value.hint
            for step in ("charge#3", "charge#0"):
                with pytest.raises(UnknownName, match=f"there is no '{step}'"):
                    await first.fork(step)
            for step in ("", "charge#", "charge#x"):
                with pytest.raises(UnknownName, match="has begun no step"):
                    await first.fork(step)
            with pytest.raises(Refused, match="step is a text"):
                await first.fork(5)  # type: ignore[arg-type]
            with pytest.raises(Refused, match="an execution's id must be visible text"):
                await first.fork("ship", id=" ")
            assert (await first.fork("5")).id == "one-fork", "an action's id"

    asyncio.run(main())


def test_a_step_that_began_while_it_was_undone() -> None:
    @saga(name="forking.cleaning")
    async def cleaning() -> None:
        try:
            await look_up("a")
            await word.receive()
        finally:
            await asyncio.shield(look_up("b"))

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[cleaning]) as engine:
            first = await engine.start(cleaning(), id="one")
            await until(lambda: "a" in told("do"))
            await first.cancel("no more")
            await first.outcome()
            with pytest.raises(Refused, match=r"it was being undone .* when it began forking.look_up"):
                await first.fork("look_up#2")
            assert (await first.fork("look_up#1")).id == "one-fork"

    asyncio.run(main())


def test_what_was_certainly_not_done_does_not_stand() -> None:
    """Parked and refused: it had no effect. Parked and not known: it may have had one."""

    @step(name="forking.hold", retry=ONCE, rejects=KeyError, recovery={Exception: Recovery.ASK})
    async def hold(label: str) -> str:
        if label in broken:
            raise KeyError(label) if label == "no" else LookupError(label)
        return await act(label)

    @hold.compensation
    async def unhold(held: str | None, label: str) -> None:
        note("undo", label)

    @saga(name="forking.held")
    async def held(label: str) -> str:
        await charge("c")
        return await hold(label)

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[held]) as engine:
            for label in ("no", "perhaps"):
                broken.add(label)
                first = await engine.start(held(label), id=label)
                assert (await first.outcome()).status == "attention"
                await first.terminate("no more")
                await until(lambda first=first: over(first))
            broken.clear()
            with pytest.raises(Refused, match=r"not undone: forking.hold \(action 2\)"):
                await engine.handle(held, "perhaps").fork("hold")
            assert await (await engine.handle(held, "no").fork("hold")).result() == "r:no"
            assert told("do").count("c") == 2, "once for each"

    asyncio.run(main())


def test_what_a_nested_saga_left_stands() -> None:
    @saga(name="forking.leaves")
    async def leaves() -> None:
        await seal("i")
        raise LookupError("late")

    @saga(name="forking.copes")
    async def copes() -> str:
        await look_up("a")
        with contextlib.suppress(amends.Compensated):
            await leaves()
        return await look_up("b")

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[leaves, copes]) as engine:
            await engine.run(copes(), id="one")
            first = engine.handle(copes, "one")
            with pytest.raises(Refused, match=r"not undone: forking.seal \(action 1\)"):
                await first.fork("leaves")
            assert await (await first.fork("look_up#2")).result() == "r:b"

    asyncio.run(main())
