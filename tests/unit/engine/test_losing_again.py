"""A store that fails each worker at once is not asked as fast as it answers; and a drain does not wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import apsw
import pytest

from amends import Client, Engine, Settings, Signal, saga, step
from amends.errors import StoreBusy, StoreError, StoreFull
from amends.store.memory import MemoryStore
from amends.store.pausing import Pause
from amends.store.port import AuditRecord, Claim, Message
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


class Reluctant(MemoryStore):
    """Whatever a worker reads of it, and what it takes, it refuses so many times before it does it."""

    def __init__(self, error: type[StoreError]) -> None:
        super().__init__()
        self.error = error
        self.registered = 0
        self.refusals: dict[str, int] = {}
        self.refused: list[str] = []

    def _may_refuse(self, call: str) -> None:
        if self.refusals.get(call, 0) > 0:
            self.refusals[call] -= 1
            self.refused.append(call)
            raise self.error(f"no {call} just now")

    async def register(self, now: float, *, wait: bool) -> int | None:
        self.registered += 1
        return await super().register(now, wait=wait)

    async def news(self, incarnation: int, after: int) -> list[Message]:
        self._may_refuse("news")
        return await super().news(incarnation, after)

    async def pauses(self, namespace: str = "") -> list[Pause]:
        self._may_refuse("pauses")
        return await super().pauses(namespace)

    async def next_wake(self) -> float | None:
        self._may_refuse("next_wake")
        return await super().next_wake()

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        self._may_refuse("claim")
        return await super().claim(incarnation, now, limit)


@saga(name="losing.waits")
async def waits() -> str:
    return await go.receive()


go = Signal[str]("losing.go")


@pytest.mark.parametrize("call", ["news", "pauses", "next_wake", "claim"])
@pytest.mark.parametrize("error", [StoreBusy, StoreFull])
def test_a_store_that_cannot_be_read_just_now_costs_no_worker(
    call: str, error: type[StoreError], caplog: pytest.LogCaptureFixture
) -> None:
    """What the turn that failed was to look at is looked at later: no message and no claim is missed."""

    async def main() -> None:
        store = Reluctant(error)
        async with Engine(store, sagas=[one, waits], settings=Settings(poll=30)) as engine:
            handle = await engine.start(waits(), id="w")
            async with Client(store) as client:
                await asyncio.sleep(0.05)
                store.refusals[call] = 3
                await client.start(one(), id="one")
                await client.handle(waits, "w").send(go, "gone")
                engine._posts[0].stir()
                assert await asyncio.wait_for(handle.result(), 5) == "gone"
                assert await asyncio.wait_for(client.handle(one, "one").result(), 5) == "done"
        assert store.refused == [call] * 3
        assert store.registered == 1
        assert f"looking again in 0.2 s: no {call} just now" in caplog.text

    asyncio.run(main())


def test_a_store_that_cannot_be_read_is_not_asked_all_the_time() -> None:
    """Not even when an execution is to leave memory meanwhile, which it cannot before the store is read."""

    async def main() -> None:
        store = Reluctant(StoreBusy)
        async with Engine(store, sagas=[one, waits], settings=Settings(poll=0.05, linger=0.01)) as engine:
            handle = await engine.start(waits(), id="w")
            store.refusals["next_wake"] = 1_000_000
            engine._posts[0].stir()
            await asyncio.sleep(0.5)
            assert 2 <= len(store.refused) <= 11  # a pause of 0.05 seconds at least
            store.refusals.clear()
            await handle.send(go, "gone")
            assert await asyncio.wait_for(handle.result(), 5) == "gone"

    asyncio.run(main())


class Hasty(Reluctant):
    """A pause ends between a worker's look at the pauses and its claim, and cannot be looked at again at once."""

    over: Sequence[Pause] = ()

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        for pause in self.over:
            await super().end_pause(pause.namespace, pause.saga, AuditRecord(now, "", "ada", "resume", ""))
            self.refusals["pauses"] = 2
        self.over = ()
        return await super().claim(incarnation, now, limit)


def test_what_was_taken_when_the_pauses_could_not_be_read_is_kept() -> None:
    async def main() -> None:
        store = Hasty(StoreBusy)
        async with Engine(store, sagas=[one], settings=Settings(poll=30)) as engine, Client(store) as client:
            pause = await client.pauses.pause(one, reason="a test")
            engine._posts[0].stir()
            await until(lambda: bool(engine._posts[0].worker and engine._posts[0].worker.holds.known))
            handle = await client.start(one(), id="one")
            store.next_wake = _now  # type: ignore[method-assign]
            store.over = [pause]
            engine._posts[0].stir()
            assert await asyncio.wait_for(handle.result(), 5) == "done"
        assert store.refused == ["pauses"] * 2
        assert store.registered == 1

    asyncio.run(main())


async def _now() -> float | None:
    """Something is due, by what was known before."""
    return 0.0
