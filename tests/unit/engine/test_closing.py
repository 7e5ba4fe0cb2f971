"""Whatever raises while an engine or a queue worker opens or closes: nothing of it is left open or running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from amends import Engine, QueueWorker, StoreError, step
from amends.store import MemoryStore, Store


@step(name="closing.send", queue="closing.mail")
async def send() -> None: ...


class Watched(MemoryStore):
    """A store that knows whether it is open, and may refuse a worker."""

    opened = False

    def __init__(self, refuses: str = "") -> None:
        super().__init__()
        self._refuses = refuses

    async def open(self) -> None:
        await super().open()
        self.opened = True

    async def close(self) -> None:
        self.opened = False
        await super().close()

    async def register(self, now: float, *, wait: bool) -> int | None:
        if self._refuses == "register":
            raise StoreError("no place for a worker")
        return await super().register(now, wait=wait)

    async def retire(self, *arguments: Any) -> None:
        if self._refuses == "retire":
            raise StoreError("no retirement")
        await super().retire(*arguments)


@asynccontextmanager
async def pool() -> AsyncIterator[int]:
    yield 1
    raise RuntimeError("the pool cannot be closed")


def engine(store: Store, **options: Any) -> Engine:
    return Engine(store, queues=["closing.mail"], **options)


def queue_worker(store: Store, **options: Any) -> QueueWorker:
    return QueueWorker(store, queues=["closing.mail"], **options)


async def left(store: Watched, worker: Engine | QueueWorker) -> list[str]:
    """What is left of it once it could not be entered, or left, without an error."""
    before = asyncio.all_tasks()
    with pytest.raises((RuntimeError, StoreError)):
        async with worker:
            assert store.opened
    tasks = [task.get_name() for task in asyncio.all_tasks() - before]
    return tasks + ["the store"] * store.opened


@pytest.mark.parametrize("kind", [engine, queue_worker])
def test_a_resource_that_cannot_be_closed_leaves_no_store_open(
    kind: Callable[..., Engine | QueueWorker],
) -> None:
    store = Watched()
    assert asyncio.run(left(store, kind(store, resources=[pool()]))) == []


@pytest.mark.parametrize("refuses", ["register", "retire"])
def test_a_store_that_refuses_leaves_nothing_running(refuses: str) -> None:
    store = Watched(refuses)
    assert asyncio.run(left(store, engine(store))) == []
