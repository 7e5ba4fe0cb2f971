"""Every store passes the conformance kit; and the kit finds a store without its fence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amends.store import MemoryStore, SqliteStore, Store, kit
from amends.store.memory import _Core as MemoryCore
from amends.store.sqlite import worker_side


def memory() -> kit.Subject:
    shared = MemoryStore()

    async def connect() -> Store:
        await shared.open()
        return shared

    async def crash(store: Store) -> None:
        shared.abandon()

    async def fill(store: Store) -> None:
        shared.capacity = 0

    async def relieve(store: Store) -> None:
        shared.capacity = None

    return kit.Subject(connect, crash, fill, relieve, sql=False)


def sqlite(path: Path, **options: object) -> kit.Subject:
    async def connect() -> Store:
        store = SqliteStore(path, standby_poll=0.001, **options)  # type: ignore[arg-type]
        await store.open()
        return store

    async def crash(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.abandon()

    async def fill(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.limit_pages(1)  # SQLite takes it as "no more than now"

    async def relieve(store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.limit_pages(1_000_000)

    return kit.Subject(connect, crash, fill, relieve)


@pytest.mark.parametrize("name", kit.names(sql=False, fill=True))
def test_memory(name: str) -> None:
    asyncio.run(kit.run(name, memory()))


@pytest.mark.parametrize("name", kit.names(sql=True, fill=True))
def test_sqlite(name: str, tmp_path: Path) -> None:
    asyncio.run(kit.run(name, sqlite(tmp_path / "sagas.db")))


@pytest.mark.parametrize("name", kit.names(sql=True, fill=True))
def test_sqlite_in_its_thread(name: str, tmp_path: Path) -> None:
    """Nothing in the caller's thread: every transaction through the writer's."""
    asyncio.run(kit.run(name, sqlite(tmp_path / "sagas.db", inline_rows=0, inline_seconds=-1.0)))


def test_kit_is_large_enough() -> None:
    assert len(kit.names(sql=True, fill=True)) >= 80
    assert all(function.__doc__ for function, _ in kit.CASES.values())


FENCED = [
    "commit_by_the_retired_is_fenced",
    "commit_now_by_the_retired_is_fenced",
    "zombie_of_a_takeover_is_fenced",
    "unknown_incarnation_is_fenced",
]


@pytest.mark.parametrize("name", FENCED)
def test_kit_finds_a_missing_fence_in_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryCore, "_check_fence", lambda self, incarnation: None)
    with pytest.raises(AssertionError, match=name):
        asyncio.run(kit.run(name, memory()))


@pytest.mark.parametrize("name", FENCED)
def test_kit_finds_a_missing_fence_in_sqlite(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amends.store.sqlite.commit.check_fence", lambda db, incarnation: None)
    monkeypatch.setattr(worker_side, "check_fence", lambda db, incarnation: None)
    with pytest.raises(AssertionError, match=name):
        asyncio.run(kit.run(name, sqlite(tmp_path / "sagas.db", inline_seconds=1e9)))
