"""When an abandoned generator is closed, the garbage collector decides: its saga must not show it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any

import amends
from tests.unit.kernel.parity.driver import Run
from tests.unit.kernel.parity.world import Program, say, work


def test_it_draws_from_nobodys_stream_and_its_savepoint_is_left_alone() -> None:
    found: list[Any] = []
    collecting = [True]

    async def hides() -> None:
        async def items() -> AsyncIterator[int]:
            async with amends.savepoint():
                try:
                    await work("inside")
                    yield 1
                finally:
                    say("closing", amends.uuid() == amends.uuid(), amends.random().random())
                    await work("must not run")

        cycle: list[Any] = [items()]
        await anext(cycle[0])
        cycle.append(cycle)
        if collecting[-1]:
            del cycle
            gc.collect()
        found.append([amends.random().random(), amends.uuid()])
        await work("a")

    program = Program("abandons", hides, saga=amends.saga(name="parity.abandons")(hides))
    runs = [Run(program).begin()]
    assert "closing" in [line[1] for line in runs[0].trace.said]
    collecting.append(False)
    runs.append(Run(program).begin())
    assert [run.ended for run in runs] == ["completed", "completed"]
    assert found[0] == found[1]
    first, second = ([(row.events, row.commands) for row in run.rows] for run in runs)
    assert first == second
