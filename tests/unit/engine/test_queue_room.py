"""Starters are held back while a queue that their sagas fill is as deep as it may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import (
    Client,
    DefinitionError,
    Engine,
    QueueFull,
    QueueLimits,
    QueueWorker,
    Refused,
    Settings,
    saga,
    step,
)
from amends.engine import room
from amends.store import MemoryStore

from .waiting import until

QUICK = Settings(lease=2.0, poll=0.01, grace=0.2)
StoreGiven = MemoryStore | str


@step(name="qr.send", queue="crowded")
async def send(to: str) -> str:
    return f"mail-{to}"


@saga(name="qr.mail", room="crowded")
async def mail(to: str) -> str:
    return await send(to)


@saga(name="qr.careless")
async def careless(to: str) -> str:
    return await send(to)


async def waiting(engine: Engine | Client) -> int:
    return (await engine.queues.status("crowded")).waiting


async def filled(engine: Engine) -> None:
    """Two tasks wait, and no more may."""
    for name in ("a", "b"):
        await engine.start(mail(name), id=name)

    async def two_wait() -> bool:
        return await waiting(engine) == 2

    await until(two_wait)
    await engine.queues.limit("crowded", QueueLimits(depth=2))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starters give up soon."""
    monkeypatch.setattr(room, "PATIENCE", 0.5)


def test_a_start_waits_for_room(store: StoreGiven) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[mail], settings=QUICK) as engine:
            await filled(engine)
            late = asyncio.create_task(engine.start(mail("c"), id="c"))
            await asyncio.sleep(0.1)
            assert not late.done()
            assert await engine.store.find("default", "c") is None
            async with QueueWorker(store, queues=["crowded"], settings=QUICK):
                assert await (await late).result() == "mail-c"
                assert await engine.run(mail("d"), id="d") == "mail-d"

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_nothing_is_started_when_none_comes(store: StoreGiven) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[mail, careless], settings=QUICK) as engine:
            await filled(engine)
            for begin in (engine.start, engine.run):
                with pytest.raises(QueueFull) as raised:
                    await begin(mail("c"), id="c")
                assert "2 tasks wait in 'crowded', its depth is 2" in str(raised.value)
                assert isinstance(raised.value, TimeoutError)
            assert await engine.store.find("default", "c") is None
            assert await waiting(engine) == 2
            again = await engine.start(mail("a"), id="a")  # it exists
            assert (await again.status()).status == "running"
            await engine.start(careless("e"), id="e")  # it heeds no queue
            await engine.queues.limit("crowded", QueueLimits(depth=10))
            await engine.start(mail("c"), id="c")

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_a_client_is_held_back(store: StoreGiven) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[mail], settings=QUICK) as engine:
            await filled(engine)
            async with Client(store) as client:
                with pytest.raises(QueueFull):
                    await client.start(mail("c"), id="c")

    asyncio.run(main())


def test_what_cannot_be_started_does_not_wait(store: StoreGiven) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[mail], settings=QUICK) as engine, Client(store) as client:
            await filled(engine)
            for begin in (engine.start, engine.run, client.start, client.run):
                for call, id in ((mail("c"), " "), (7, "c"), (mail, "c"), (send("c"), "c")):
                    with pytest.raises(Refused):
                        await begin(call, id=id)  # type: ignore[operator]

    asyncio.run(main())


def test_one_look_gives_leave_for_as_many_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many starters at once do not ask the store once each, and start no more than may wait."""

    async def main() -> tuple[int, int]:
        async with Engine(MemoryStore(), sagas=[mail], settings=QUICK) as engine:
            await engine.queues.limit("crowded", QueueLimits(depth=20))
            looks = 0
            whole = engine.queues.room_in("crowded")._look

            async def counted() -> Any:
                nonlocal looks
                looks += 1
                return await whole()

            monkeypatch.setattr(engine.queues.room_in("crowded"), "_look", counted)
            monkeypatch.setattr(room, "LEAVE", 3600.0)
            starts = [asyncio.create_task(engine.start(mail(str(n)), id=str(n))) for n in range(20)]
            await asyncio.gather(*starts)

            async def all_wait() -> bool:
                return await waiting(engine) == 20

            await until(all_wait)
            late = asyncio.create_task(engine.start(mail("late"), id="late"))
            await asyncio.sleep(0.05)
            assert not late.done()
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
            return looks, await waiting(engine)

    looks, found = asyncio.run(main())
    assert looks < 10
    assert found == 20


def test_in_a_transaction_it_is_asked_once() -> None:
    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[mail], settings=QUICK) as engine:
            await filled(engine)
            async with asyncio.timeout(5):
                with pytest.raises(QueueFull, match="no room now"):
                    await engine.start(mail("c"), id="c", connection=object())

    asyncio.run(main())


def test_a_queue_has_a_name() -> None:
    with pytest.raises(DefinitionError, match="the name of a queue"):
        saga(room="")
