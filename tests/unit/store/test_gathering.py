"""Orders that are gathered: who gives up holds up nobody behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from amends.store.gathering import MOST, Gathering


@dataclass
class Order:
    number: int
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slow(Gathering[Order]):
    """Carries out nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def place(self, number: int) -> Any:
        return await self._place(Order(number))

    async def _carry_out(self, orders: list[Order]) -> None:
        await self.free.wait()
        for order in orders:
            order.future.set_result(order.number)


def test_more_than_a_batch_that_gave_up_hold_up_nobody() -> None:
    async def main() -> list[Any]:
        slow = Slow()
        first = asyncio.create_task(slow.place(0))
        await asyncio.sleep(0.01)  # in flight: the others wait
        impatient = [asyncio.create_task(slow.place(number)) for number in range(1, MOST + 1)]
        last = asyncio.create_task(slow.place(-1))
        await asyncio.sleep(0.01)
        for task in impatient:
            task.cancel()
        await asyncio.gather(*impatient, return_exceptions=True)
        slow.free.set()
        async with asyncio.timeout(5):
            return [await first, await last]

    assert asyncio.run(main()) == [0, -1]
