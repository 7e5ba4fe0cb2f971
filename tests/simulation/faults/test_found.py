"""Bugs that the simulation found, each as a test of its own."""

from __future__ import annotations

import asyncio
import json

import pytest

import amends
from amends import Limits, saga, step
from amends.definition.registry import REGISTRY
from amends.errors import StoreError
from amends.kernel import entries as e
from amends.kernel.instance import Instance
from tests.simulation.promises.world import World, forget


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path) -> World:  # type: ignore[no-untyped-def]
    return World(request.param, tmp_path)


def test_a_terminated_execution_that_hears_of_its_child_dispatches_nothing(world: World) -> None:
    """Its open step was sent again, and again, for as long as a worker served it."""
    calls: list[str] = []

    @step(name="found.slow")
    async def slow(what: str) -> None:
        calls.append(what)
        await asyncio.sleep(3.0 if what == "child" else 8.0)

    @saga(name="found.child")
    async def child() -> None:
        await slow("child")

    @saga(name="found.parent")
    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow("parent"))
            group.create_task(_as_task(child()))

    async def _as_task(call: object) -> None:
        await call  # type: ignore[misc]

    async def main() -> None:
        async with world.engine(parent, child) as engine:
            handle = await engine.start(parent(), id="p")
            await world.passes(1.0)
            await handle.terminate("enough", by="me")
            await world.passes(60.0)
            assert (await handle.status()).status == "terminated"
            assert (await engine.handle(child, "p~2.1").status()).status == "completed"
            assert calls.count("parent") == 1, calls
            assert not engine._worker.lives  # type: ignore[union-attr]
        header = await world.header("p")
        assert (header.owner, header.wake_at) == (None, None)

    world.run(main)


def test_a_standby_whose_look_fails_looks_again(world: World) -> None:
    """It failed once, and never took over."""

    @step(name="found.quick")
    async def quick() -> str:
        return "done"

    @saga(name="found.plain")
    async def plain() -> str:
        return await quick()

    async def main() -> None:
        async with world.engine(plain) as first:
            wire = world.wire()
            second = world.build(plain, wire=wire)
            await second.__aenter__()  # another one works: it stands by
            wire.fail("register", StoreError("the disk hiccups"), StoreError("and again"))
            await world.crash(first)
            await world.passes(30.0)
            assert second.working
            assert await second.run(plain(), id="p") == "done"
            await second.close()

    world.run(main)


def test_what_cannot_be_read_again_is_not_left_to_nobody(world: World) -> None:
    """The journal had moved under a worker, and the store failed as it read it again: it waited for ever."""

    @step(name="found.once")
    async def once() -> str:
        await asyncio.sleep(0.01)
        return "done"

    @saga(name="found.moved")
    async def moved() -> str:
        await once()
        return await once()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(moved, wire=wire) as engine:
            handle = await engine.start(moved(), id="m")
            worker = engine._worker
            assert worker is not None
            wire.fail("read", StoreError("the disk hiccups"))
            live = next(iter(worker.lives.values()))
            worker.loader.reload(live, "as if the journal had moved")
            assert await handle.result() == "done"

    world.run(main)


def test_a_child_may_not_pass_its_pivot_once_its_parent_is_terminated(world: World) -> None:
    """It asked its parent, which had ended, and waited for ever."""

    @step(name="found.wait")
    async def wait() -> None:
        await asyncio.sleep(2.0)

    @saga(name="found.pivoting")
    async def pivoting() -> str:
        await wait()
        try:
            await amends.pivot()
        except amends.PivotRefused as refused:
            return str(refused)
        return "passed"

    @saga(name="found.above")
    async def above() -> str:
        return await pivoting()

    async def main() -> None:
        async with world.engine(above, pivoting) as engine:
            handle = await engine.start(above(), id="a")
            await world.passes(1.0)
            await handle.terminate("enough", by="me")
            assert "terminated" in await engine.handle(pivoting, "a~1").result()

    world.run(main)


def test_what_is_undone_without_its_code_hears_of_its_children_and_is_given_back(world: World) -> None:
    """The end of a child waited in the inbox and was passed over; and what had ended kept its owner."""

    @step(name="found.below")
    async def below() -> None:
        await asyncio.sleep(1.0)

    @saga(name="found.nested")
    async def nested() -> None:
        await below()

    @saga(name="found.around")
    async def around() -> None:
        await nested()

    async def main() -> None:
        async with world.engine(around, nested) as engine:
            await engine.start(around(), id="a")
            await world.passes(0.5)
            await world.crash(engine)
        forget(around)
        async with world.engine(nested) as engine:
            handle = engine.handle(around, "a")
            await world.reaches(handle, "attention")
            await world.passes(20.0)  # the child ends meanwhile
            await handle.cancel("enough", by="me")
            assert (await world.ended(handle)).status == "compensated"
            await world.passes(20.0)
            header = await world.header("a")
            assert (header.owner, header.wake_at) == (None, None)

    world.run(main)


def test_a_clock_that_goes_back_hides_no_lost_attempt(world: World) -> None:
    """A retry was dispatched and lost with its worker. For the clock of the next one it was not due yet, so the action
    was not tainted, ended as rejected, and its effect stood.
    """
    undone: list[str] = []
    begun: list[int] = []

    @step(name="found.pay", retry=amends.Retry(attempts=3, delay=5.0, jitter=0.0, factor=1.0))
    async def pay() -> None:
        begun.append(len(begun))
        if len(begun) == 2:  # it is done, and no answer comes
            await asyncio.get_running_loop().create_future()
        raise ConnectionRefusedError

    @pay.compensation
    async def pay_back(result: None) -> None:
        undone.append("pay")

    @saga(name="found.paying")
    async def paying() -> None:
        await pay()

    async def main() -> None:
        async with world.engine(paying) as engine:
            await engine.start(paying(), id="p")
            await world.passes(6.0)
            assert len(begun) == 2
            await world.crash(engine)
        now = world.virtual.now
        world.virtual.now = lambda: now() - 3.0  # type: ignore[method-assign]
        async with world.engine(paying) as engine:
            assert (await engine.handle(paying, "p").outcome()).status == "compensated"
        assert undone == ["pay"]

    world.run(main)


def test_a_failure_after_the_pivot_is_one_even_if_the_execution_is_just_being_read(world: World) -> None:
    """The attempt ended while its execution was out of memory, and was judged as if there was no pivot."""
    calls: list[int] = []

    @step(name="found.late", retry=amends.Retry(attempts=1))
    async def late() -> str:
        calls.append(len(calls))
        await asyncio.sleep(2.0)
        if len(calls) == 1:
            raise OSError("not this time")
        return "done"

    @saga(name="found.beyond")
    async def beyond() -> str:
        await amends.pivot()
        return await late()

    async def main() -> None:
        wire = world.wire()
        async with world.engine(beyond, wire=wire) as engine:
            handle = await engine.start(beyond(), id="b")
            await world.passes(1.0)
            worker, read = engine._worker, wire.inner.read
            assert worker is not None

            async def slow(uid: str) -> object:
                await asyncio.sleep(5.0)
                return await read(uid)

            wire.inner.read = slow
            worker.loader.reload(next(iter(worker.lives.values())), "as if the journal had moved")
            await world.passes(2.0)
            assert calls == [0]
            assert (await handle.outcome()).status == "completed"

    world.run(main)


def test_a_cancel_and_a_skip_in_one_row_fold_to_what_they_did(world: World) -> None:
    """Found as: undone twice, promise 6 (a held irreversible action; the cancel gives it up, then the skip comes).

    The fold applied the skip to what the cancel had already given up, and counted its residue twice.
    """

    @step(name="found.launch", irreversible=True, retry=amends.Retry(attempts=1))
    async def launch() -> None:
        raise OSError("who knows")

    @saga(name="found.launching")
    async def launching() -> None:
        await launch()

    async def main() -> None:
        async with world.engine(launching) as engine:
            handle = await engine.start(launching(), id="s")
            await world.reaches(handle, "attention")
            header = await handle._backend.find("s")
            await asyncio.gather(
                handle._backend.operate(header, e.CancelRequested("enough"), "cancel", "enough", "me"),
                handle._backend.operate(header, e.Skipped("leave it", "1", "me"), "skip", "leave it", "me"),
            )
            assert (await world.ended(handle)).status == "partially_compensated"
        header, rows = await world.header("s"), await world.rows("s")
        assert any(row.events.count("cancel_requested") and row.events.count("skipped") for row in rows)
        folded = Instance(header.uid, header.id, header.saga, header.version, REGISTRY, Limits())
        folded.fold(rows)
        assert len(folded.ledger.residue) == len(json.loads(header.detail)["residue"]) == 1

    world.run(main)
