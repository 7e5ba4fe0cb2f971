"""Types of `amends.testing`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_type

import amends.testing
from amends import Engine, saga


@saga
async def count(to: int) -> int:
    return to


async def time_passes() -> None:
    async with amends.testing.world("memory://", seed=3) as w:
        assert_type(w, amends.testing.World)
        assert_type(w.now, datetime)
        assert_type(w.elapsed, timedelta)
        async with w.engine(sagas=[count]) as engine:
            assert_type(engine, Engine)
            assert_type(await engine.run(count(3)), int)
            await w.advance(days=30)
            await w.advance(timedelta(hours=1), minutes=2)
            await w.advance(2.5)
            await w.crash(engine)
        await w.advance("tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
