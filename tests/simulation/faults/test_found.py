"""Bugs that the simulation found, each as a test of its own."""

from __future__ import annotations

import asyncio

import pytest

from amends import saga, step
from tests.simulation.promises.world import World


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
