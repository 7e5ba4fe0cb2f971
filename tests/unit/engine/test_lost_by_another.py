"""An attempt runs on in a process that lost its execution; another worker had it meanwhile, and died."""

from __future__ import annotations

import asyncio

import pytest

from amends import Engine, Rejected, Retry, Settings, saga, step
from amends.errors import AmendsError
from amends.store.memory import MemoryStore
from amends.store.port import Claim

from .waiting import until

LOG: list[str] = []
GO: list[asyncio.Event] = []


@step(name="another.pay", retry=Retry(attempts=1))
async def pay() -> str:
    LOG.append("pay")
    await GO[0].wait()
    raise Rejected("no money")


@pay.compensation
async def refund(payment: str | None) -> None:
    LOG.append("refund")


@saga(name="another.order")
async def order() -> None:
    await pay()


class Reluctant(MemoryStore):
    """Nobody becomes a worker again, or takes anything, before the gates are open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.hall = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.hall.set()

    async def register(self, now: float, *, wait: bool) -> int | None:
        await self.gate.wait()
        return await super().register(now, wait=wait)

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        await self.hall.wait()
        return await super().claim(incarnation, now, limit)


@pytest.mark.parametrize("ends", ["while nobody owns it", "at the next owner"])
@pytest.mark.parametrize(("another", "then"), [(True, ["pay", "refund"]), (False, ["pay"])])
def test_an_attempt_does_not_speak_for_that_of_another_worker(
    another: bool, then: list[str], ends: str
) -> None:
    async def main() -> None:
        LOG.clear()
        GO[:] = [asyncio.Event()]
        store = Reluctant()
        async with Engine(store, sagas=[order], settings=Settings(grace=0.05)) as engine:
            handle = await engine.start(order(), id="one")
            await until(lambda: LOG == ["pay"])
            worker = engine._posts[0].worker
            assert worker is not None
            store.gate.clear()
            worker.lost(AmendsError("the line was cut"))
            await until(lambda: store._worker is None)
            if another:
                other = await MemoryStore.register(store, 0.0, wait=False)
                assert other is not None
                found = await MemoryStore.claim(store, other, engine._clock.now(), 1)
                assert (found[0].lost, found[0].lost_by) == (True, worker.incarnation)
                store._worker = None  # it has sent the payment, and dies
            if ends == "while nobody owns it":
                store.hall.clear()
            store.gate.set()
            await until(lambda: engine._posts[0].worker is not worker)
            successor = engine._posts[0].worker
            assert successor is not None
            if ends == "at the next owner":
                await until(lambda: successor.lives)
            GO[0].set()
            await until(lambda: not successor.attempts.running)
            store.hall.set()
            await handle.outcome()
            assert then == LOG

    asyncio.run(main())
