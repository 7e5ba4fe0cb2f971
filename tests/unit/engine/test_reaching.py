"""A server that is away when a worker starts is waited for; what waiting does not help is raised."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

import pytest

from amends import Engine, step
from amends.engine import reaching
from amends.engine.queue_worker import QueueWorker
from amends.engine.reaching import reach
from amends.errors import Misplaced, StoreBusy, StoreError
from amends.store.memory import MemoryStore
from amends.store.port import Store


class Away(MemoryStore):
    """Cannot be opened the first few times."""

    shared = True

    def __init__(self, *errors: StoreError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.opened = 0

    async def open(self) -> None:
        self.opened += 1
        if self.errors:
            raise self.errors.pop(0)
        await super().open()

    def surplus(self) -> int:
        return 0


def busy(why: str) -> StoreBusy:
    return StoreBusy(why, hint="is the server up?")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "AGAIN", 0.001)


def test_why_is_said_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    store = Away(*[busy("refused")] * 3, busy("no such database"))
    assert asyncio.run(reach(store, asyncio.Event()))
    assert store.opened == 5
    assert caplog.record_tuples == [
        ("amends.engine", logging.WARNING, "refused; trying again until it is there"),
        ("amends.engine", logging.WARNING, "no such database; trying again until it is there"),
    ]


def test_it_stops_when_told() -> None:
    async def main() -> bool:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, stop.set)
        return await reach(Away(*[busy("refused")] * 10_000), stop)

    assert not asyncio.run(main())


def test_what_waiting_does_not_help_is_raised() -> None:
    with pytest.raises(Misplaced):
        asyncio.run(reach(Away(Misplaced("another")), asyncio.Event()))
    file = Away(busy("another process keeps it locked"))
    file.shared = False
    with pytest.raises(StoreBusy):
        asyncio.run(reach(file, asyncio.Event()))


@step(name="reaching.queued", queue="reached")
async def queued() -> None: ...


def serving_queues(store: Store) -> QueueWorker:
    return QueueWorker(store, queues=["reached"])


@pytest.mark.parametrize("kind", [Engine, serving_queues])
def test_whoever_serves_waits(kind: Callable[[Store], Engine | QueueWorker]) -> None:
    async def main(store: Away) -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        await kind(store).serve()

    for errors in ([busy("refused")], [busy("refused")] * 10_000):
        store = Away(*errors)
        asyncio.run(main(store))
        assert store.opened >= 2
