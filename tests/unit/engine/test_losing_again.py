"""A store that fails each worker at once is not asked as fast as it answers; and a drain does not wait for it."""

from __future__ import annotations

import asyncio
import logging

import apsw
import pytest

from amends import Engine, Settings, saga, step
from amends.errors import StoreBusy, StoreError
from amends.store.memory import MemoryStore
from amends.store.port import Message
from amends.worker import worker

from .waiting import until


class Broken(MemoryStore):
    """It registers workers, and has lost its messages."""

    broken, registered = False, 0

    async def register(self, now: float, *, wait: bool) -> int | None:
        self.registered += 1
        return await super().register(now, wait=wait)

    async def news(self, incarnation: int, after: int) -> list[Message]:
        if self.broken:
            raise StoreError("the table inbox is gone", hint="restore it")
        return await super().news(incarnation, after)


@step(name="losing.slow")
async def slow() -> str:
    await asyncio.sleep(0.1)
    return "done"


@saga(name="losing.saga")
async def one() -> str:
    return await slow()


def test_a_worker_that_is_lost_again_and_again_begins_after_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        store = Broken()
        async with Engine(store, sagas=[one]) as engine:
            store.broken = True
            engine._posts[0].stir()
            await asyncio.sleep(1.0)
            assert 3 <= store.registered <= 7  # 0, 0.1, 0.3, 0.7 seconds after the first loss
            store.broken = False
            assert await engine.run(one()) == "done"
        told = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert all("the table inbox is gone" in record.getMessage() for record in told)
        assert all("restore it" in record.getMessage() and not record.exc_info for record in told)

    asyncio.run(main())


def test_a_drain_does_not_wait_for_ever_for_a_store_that_is_locked(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        monkeypatch.setattr(worker, "_LAST_ROWS", 0.3)
        file = f"{tmp_path}/locked.db"
        engine = Engine(f"sqlite:///{file}?patience=0.1", sagas=[one], settings=Settings(grace=0.2))
        other = apsw.Connection(file)
        await engine.__aenter__()
        await engine.start(one(), id="one")
        other.execute("BEGIN IMMEDIATE")
        await until(lambda: "the store is busy" in caplog.text)
        with pytest.raises(StoreBusy, match=r"keeps .* locked"):
            await asyncio.wait_for(engine.close(), 10)
        assert "does not take the last rows" in caplog.text
        other.execute("ROLLBACK")
        async with Engine(f"sqlite:///{file}", sagas=[one]) as later:
            assert await later.handle(one, "one").result() == "done"

    asyncio.run(main())
