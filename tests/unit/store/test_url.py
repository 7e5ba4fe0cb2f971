"""Stores by URL, and errors that teach."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amends.errors import StoreError
from amends.store import MemoryStore, SqliteStore, Store, open_store
from amends.store.url import _SQLITE_OPTIONS


@pytest.mark.parametrize("url", ["memory://", "sqlite://", "SQLite://"])
def test_memory(url: str) -> None:
    store = open_store(url)
    assert isinstance(store, MemoryStore)
    assert isinstance(store, Store)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///orders.db", "orders.db"),
        ("sqlite:///data/orders.db", "data/orders.db"),
        ("sqlite:////var/lib/orders.db", "/var/lib/orders.db"),
        ("sqlite:///with%20space%3F.db", "with space?.db"),
    ],
)
def test_sqlite_paths(url: str, path: str) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert isinstance(store, Store)
    assert store.path == path


def test_options_reach_the_store(tmp_path: Path) -> None:
    async def main() -> None:
        store = open_store(f"sqlite:///{tmp_path}/x.db?synchronous=normal&max_pages=500&patience=0.5")
        assert isinstance(store, SqliteStore)
        assert store.max_pages == 500
        await store.open()
        assert store._writer.connection().pragma("synchronous") == 1
        assert store._writer.connection().pragma("max_page_count") == 500
        await store.close()

    asyncio.run(main())


def test_every_option_is_one_of_the_store() -> None:
    for name, kind in _SQLITE_OPTIONS.items():
        SqliteStore("x.db", **{name: {str: "FULL", int: 7, float: 0.5}[kind]})


def test_postgres_by_a_socket() -> None:
    """No host in the URL: libpq's own, or the folder of a socket."""
    for url in ("postgresql:///shop", "postgresql:///shop?host=/run/pg&schema=orders"):
        store = open_store(url)
        assert "dbname=shop" in store.conninfo  # type: ignore[attr-defined]


def test_postgres_options() -> None:
    from amends.store.postgres import PostgresStore

    store = open_store("postgres://ann@host:5433/db?schema=shop&pooled=true&sslmode=require&lease=3")
    assert isinstance(store, PostgresStore)
    assert isinstance(store, Store)
    assert (store.schema, store.pooled, store.where) == ("shop", True, "postgresql://host/db")
    assert "sslmode=require" in store.conninfo
    assert "schema" not in store.conninfo


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqllite:///x.db", "did you mean 'sqlite'?"),
        ("orders.db", "sqlite:///orders.db"),
        ("", "sqlite:///sagas.db"),
        ("sqlite:/orders.db", "write sqlite:////orders.db"),
        ("sqlite:orders.db", "write sqlite:///orders.db"),
        ("file:orders.db", "write sqlite:///orders.db"),
        (":memory:", "write memory://"),
        ("memory", "write memory://"),
        ("postgresql+psycopg://host/db", "did you mean 'postgresql'?"),
        ("sqlite+aiosqlite:///x.db", "did you mean 'sqlite'?"),
        ("sqlite:///", "names no file"),
        ("sqlite:////", "names no file"),
        ("sqlite:///?synchronous=FULL", "names no file"),
        ("postgresql://host/db?lease=long", "is no float"),
        ("postgresql://host/db?pooled=perhaps", "is no truth"),
        ("postgresql://host/db?schema=Amends", "cannot be the schema"),
        ("postgresql://host/db?sslmood=require", "sslmood"),
        ("sqlite://orders.db", "three slashes"),
        ("sqlite://host/x.db", "three slashes"),
        ("memory://x", "more than a store in memory"),
        ("sqlite:///x.db?synchronus=FULL", "did you mean 'synchronous'?"),
        ("sqlite:///x.db?patience=long", "is no float"),
        ("sqlite:///x.db?synchronous=maybe", "FULL"),
        ("sqlite:///a#b.db", "%23"),
    ],
)
def test_errors_teach(url: str, said: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert said in str(caught.value)
