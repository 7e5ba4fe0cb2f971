"""Retention: what has ended long ago goes, as a whole, into an archive if there is one; nothing live ever does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amends import Client, Engine, Refused, RetainBatch, Settings, Signal, saga, step
from amends.engine import retention
from amends.store import MemoryStore, SqliteStore
from tests.stores import all_of

go = Signal[str]("go")


@step(name="retention.work")
async def work(word: str) -> str:
    return word


@saga(name="retention.child")
async def child(word: str) -> str:
    return await work(word)


@saga(name="retention.parent")
async def parent(word: str) -> str:
    return await child(word) + await child(word)


@saga(name="retention.waiting")
async def waiting() -> str:
    await child("x")
    return await go.receive()


def ids(pages: list[RetainBatch]) -> list[str]:
    return sorted(id for page in pages for id in page.ids)


async def fill(engine: Engine, count: int) -> None:
    for number in range(count):
        handle = await engine.start(parent("x"), id=f"order-{number}", attributes={"keep": number % 2 == 0})
        await handle.result()
    live = await engine.start(waiting(), id="live")
    while not any(status.status == "completed" for status in await engine.list(parent="live")):
        await asyncio.sleep(0.01)
    assert (await live.status()).status == "running"


def test_what_has_ended_goes_and_what_lives_stays(store: Any) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[parent, waiting, child]) as engine:
            await fill(engine, 5)
            retain = engine.operations.retain
            assert ids(await all_of(retain(timedelta(hours=1)))) == []
            tried = await all_of(retain(0, dry_run=True))
            assert ids(tried) == [f"order-{n}" for n in range(5)]
            assert len(await engine.list()) == 5 * 3 + 2
            assert ids(await all_of(retain(0, where="attributes.keep = false"))) == ["order-1", "order-3"]
            pages = await all_of(retain(0, batch=2))
            assert [len(page.ids) for page in pages] == [2, 1]
            assert sorted(status.id for status in await engine.list()) == ["live", "live~1"]
            handle = engine.handle(waiting, "live")
            await handle.send(go, "on")
            assert await handle.result() == "on"
            again = await engine.start(parent("y"), id="order-1")  # its id is free: another execution
            assert await again.result() == "yy"

    asyncio.run(main())


def test_a_run_goes_on_where_it_was_interrupted(store: Any) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[parent, waiting, child]) as engine:
            await fill(engine, 4)
            first = await anext(engine.operations.retain(0, batch=1))
            rest = await all_of(engine.operations.retain(0, batch=1, after=first.after, limit=2))
            assert len(ids([first, *rest])) == 3
            assert len(await engine.list(saga=parent)) == 1

    asyncio.run(main())


def test_what_is_deleted_is_in_the_archive(store: Any, tmp_path: Path) -> None:
    async def main() -> None:
        archive = tmp_path / "archive"
        async with Engine(store, sagas=[parent, waiting, child]) as engine:
            await fill(engine, 3)
            kept = {status.id: status for status in await engine.list()}
            history = await engine.handle(parent, "order-1").history()
            await all_of(engine.operations.retain(0, archive=archive, batch=2))
            assert sorted(status.id for status in await engine.list()) == ["live", "live~1"]
            (file,) = archive.iterdir()
            with file.open("rb") as lines:
                items = await all_of(engine.operations.import_(lines))
            assert [(item.outcome, item.executions) for item in items] == [("imported", 3)] * 3
            assert {status.id: status for status in await engine.list()} == kept
            assert await engine.handle(parent, "order-1").history() == history
            assert await engine.handle(parent, "order-1").result() == "xx"
            with file.open("rb") as lines:
                items = await all_of(engine.operations.import_(lines))
            assert [item.outcome for item in items] == ["exists"] * 3

    asyncio.run(main())


def test_nothing_is_deleted_before_it_is_in_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    async def main() -> None:
        async with Engine(MemoryStore(), sagas=[parent, waiting, child]) as engine:
            await fill(engine, 2)
            monkeypatch.setattr(retention.os, "fsync", full)
            with pytest.raises(OSError, match="no space"):
                await all_of(engine.operations.retain(0, archive=tmp_path / "archive"))
            monkeypatch.undo()
            assert len(await engine.list(saga=parent)) == 2

    asyncio.run(main())


def test_a_tree_that_lives_again_when_it_is_pruned_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is only a proposal: the store judges again."""

    async def main() -> None:
        store = MemoryStore()
        async with Engine(store, sagas=[parent, waiting, child]) as engine:
            await fill(engine, 2)
            store._state.executions[
                (await engine.handle(child, "order-0~1").status()).uid
            ].header.status = "running"
            (page,) = await all_of(engine.operations.retain(0))
            assert (list(page.ids), list(page.kept)) == (["order-1"], ["order-0"])
            assert len(await engine.list(id_prefix="order-0")) == 3

    asyncio.run(main())


def test_what_cannot_be_is_refused() -> None:
    async def main() -> None:
        async with Client(MemoryStore()) as client:
            retain: Any = client.operations.retain
            for age in (-1, "30d", None, float("nan")):
                with pytest.raises(Refused, match="older_than"):
                    await all_of(retain(age))
            with pytest.raises(Refused, match="only what has ended is cleared away, not running"):
                await all_of(retain(60, status=["completed", "running"]))

    asyncio.run(main())


def test_a_worker_clears_away_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SHORTEST_REST", 0.01)
    monkeypatch.setattr(retention, "LONGEST_REST", 0.01)

    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        async with Engine(store, sagas=[parent, waiting, child], settings=Settings(retention=0.0)) as engine:
            for number in range(3):
                await engine.start(parent("x"), id=f"order-{number}")
            await engine.start(waiting(), id="live")
            async with asyncio.timeout(30):
                while [s.id for s in await engine.list(where="depth = 0")] != ["live"]:
                    await asyncio.sleep(0.01)

    asyncio.run(main())
