"""Every store passes the conformance kit; and the kit finds a store without its fence."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from amends.store import MemoryStore, SqliteStore, Store, kit
from amends.store.memory.core import Core as MemoryCore
from amends.store.sqlite import worker_side
from tests.stores import must_belong


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
    with closing(apsw.Connection(str(tmp_path / "sagas.db"))) as connection:
        must_belong(lambda sql: connection.execute(sql).fetchall(), "amends_")


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


PRUNING = [
    ("trees", "owner IS NULL AND", "", "prune_never_touches_what_lives"),
    ("trees", "coalesce(finished_at, ?3) < ?3", "?3 = ?3", "prune_never_touches_what_lives"),
    (
        "trees",
        "status IN (SELECT value FROM json_each(?2))",
        "true OR status = ?2",
        "prune_never_touches_what_lives",
    ),
    (
        "trees",
        "OR (parent <> '' AND root IN (SELECT value FROM json_each(?1)))",
        "",
        "prune_takes_all_that_is_kept",
    ),
    ("prune_attributes", "IN (", "NOT IN (", "prune_takes_all_that_is_kept"),
    ("lose", "lost = 1", "lost = 0", "restored_goes_on"),
]


@pytest.mark.parametrize(("name", "piece", "instead", "case"), PRUNING)
def test_kit_finds_a_missing_safeguard_of_archiving(
    name: str, piece: str, instead: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = worker_side.CONTROL[name]
    assert piece in text
    monkeypatch.setitem(worker_side.CONTROL._plain, name, text.replace(piece, instead))
    with pytest.raises(AssertionError, match=case):
        asyncio.run(kit.run(case, sqlite(tmp_path / "sagas.db")))


@pytest.mark.parametrize("case", ["conditions_hold_alike", "conditions_page", "restored_is_as_it_was"])
def test_kit_finds_a_missing_index_of_attributes(case: str, tmp_path: Path) -> None:
    subject = sqlite(tmp_path / "sagas.db")
    connect = subject.connect

    async def without() -> Store:
        store = await connect()
        assert isinstance(store, SqliteStore)
        await store._writer.run(lambda db: db.execute("DROP TRIGGER IF EXISTS amends_executions_attributes"))
        return store

    subject.connect = without
    with pytest.raises(AssertionError, match=case):
        asyncio.run(kit.run(case, subject))
