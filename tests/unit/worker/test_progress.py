"""How far a task is reaches the store, also when that is out of reach for a while."""

from __future__ import annotations

import asyncio
from typing import Any

from amends import Settings
from amends.clock import SystemClock
from amends.definition.registry import Registry
from amends.errors import StoreBusy
from amends.store.queueing import Lease, Pulse, Standing, Task
from amends.worker.queues.server import Held, Server
from amends.worker.resources import Resources


class Away:
    """A store that is away the first time."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self.news = lambda: None

    async def renew_tasks(self, pulses: list[Pulse], *_: Any) -> list[Standing]:
        self.told += [pulse.progress for pulse in pulses]
        if len(self.told) == 1:
            self.news()
            raise StoreBusy("away")
        return [Standing.HELD] * len(pulses)


def told(*, meanwhile: str | None) -> list[str | None]:
    async def main() -> list[str | None]:
        store: Any = Away()
        more = {"namespace": "default", "holder": "here", "told": lambda: None}
        server = Server(store, Registry(), Resources(), SystemClock(), Settings(), ["q"], **more)
        task = Task(uid="u", action="1", direction="do", namespace="default", queue="q", step="s", call="{}")
        held = Held(Lease(1, 1, task), 0.0, 0.0)
        held.progress = "50"

        def news() -> None:
            held.progress = meanwhile

        store.news = news
        await server._renew([held], 0.0)
        await server._renew([held], 0.0)
        return store.told

    return asyncio.run(main())


def test_progress_is_told_once_the_store_is_there() -> None:
    assert told(meanwhile=None) == ["50", "50"]


def test_the_newest_is_told() -> None:
    assert told(meanwhile="60") == ["50", "60"]
