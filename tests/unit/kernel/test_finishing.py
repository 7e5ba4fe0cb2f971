"""`as_completed` of sagas, as such: it needs no saga, so plain asyncio drives it here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, cast

import pytest

from amends.kernel.finishing import Finishing


async def after(turns: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return turns


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_async_iteration_gives_each_future_once_and_ends(count: int) -> None:
    async def main() -> list[int]:
        awaitables = [after(turns) for turns in range(count, 0, -1)]
        return [future.result() async for future in Finishing(awaitables)]

    async def limited() -> list[int]:
        return await asyncio.wait_for(main(), 5)

    assert asyncio.run(limited()) == list(range(1, count + 1))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_plain_iteration_gives_each_result_once_and_ends(count: int) -> None:
    async def main() -> list[int]:
        return [await each for each in Finishing([after(turns) for turns in range(count, 0, -1)])]

    assert asyncio.run(main()) == list(range(1, count + 1))


def test_one_awaitable_is_no_iterable_of_them() -> None:
    async def main() -> None:
        for one, kind in ((asyncio.get_running_loop().create_future(), "Future"), (after(1), "coroutine")):
            with pytest.raises(TypeError, match=f"takes an iterable of awaitables, not one {kind}$"):
                Finishing(cast("Iterable[Awaitable[Any]]", one))
            one.close() if asyncio.iscoroutine(one) else one.cancel()

    asyncio.run(main())


def test_what_ends_after_its_time_is_told_to_nobody() -> None:
    async def main() -> None:
        never = asyncio.get_running_loop().create_future()
        finishing = Finishing([after(1), never], timeout=0.01)
        assert await next(finishing) == 1
        with pytest.raises(TimeoutError):
            await next(finishing)
        never.set_result(None)
        await asyncio.sleep(0)
        assert finishing._finished.empty()

    asyncio.run(main())
