"""A store on several servers is made once, and each server refuses to be another part of it, or of another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from amends.errors import Misplaced, StoreBusy, StoreError
from amends.store import Store, open_store
from amends.store.kit.support import header
from amends.store.places import Places, stores_of
from amends.store.port import Query
from amends.store.postgres import PostgresStore
from tests.places import new_schemas, opened, url_of_all
from tests.stores import execute


@pytest.fixture
def schemas(postgres: str) -> Iterator[list[str]]:
    with new_schemas(postgres, 3) as names:
        yield names


async def visit(store: Places | Store) -> None:
    """Open and close."""
    await store.open()
    await store.close()


def make(postgres: str, schemas: list[str]) -> None:
    asyncio.run(visit(opened(postgres, schemas)))


def placements(postgres: str, schemas: list[str]) -> list[tuple[object, ...]]:
    sql = "SELECT number, count, first, past, complete FROM {}.placement"
    return [row for schema in schemas for row in execute(postgres, sql.format(schema))]


def test_made_and_opened_again(postgres: str, schemas: list[str]) -> None:
    make(postgres, schemas)
    rows = [(0, 3, 0, 1365, True), (1, 3, 1365, 2730, True), (2, 3, 2730, 4096, True)]
    assert placements(postgres, schemas) == rows
    make(postgres, schemas)
    assert placements(postgres, schemas) == rows
    families = {execute(postgres, f"SELECT family FROM {schema}.placement")[0] for schema in schemas}
    assert len(families) == 1


def test_made_by_several_at_once(postgres: str, schemas: list[str]) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(visit(opened(postgres, schemas)))

    asyncio.run(main())
    assert [row[:2] for row in placements(postgres, schemas)] == [(0, 3), (1, 3), (2, 3)]


def test_interrupted_while_it_was_made(
    postgres: str, schemas: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made to its end by whoever opens it next."""
    begin = PostgresStore.begin_placement

    async def dies(self: PostgresStore, wanted: object) -> None:
        if self.schema == schemas[2]:
            raise StoreError("killed")
        await begin(self, wanted)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PostgresStore, "begin_placement", dies)
        with pytest.raises(StoreError, match="killed"):
            make(postgres, schemas)
    assert [row[4] for row in placements(postgres, schemas)] == [False, False]
    make(postgres, schemas)
    assert [row[4] for row in placements(postgres, schemas)] == [True, True, True]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([1, 0, 2], r"is server 2 of 3 .* names it as server 1 of 3"),
        ([0, 2, 1], r"is server 3 of 3 .* names it as server 2 of 3"),
        ([0, 1], r"is server 1 of 3 .* names it as server 1 of 2"),
    ],
)
def test_another_order_or_number_is_refused(
    postgres: str, schemas: list[str], order: list[int], said: str
) -> None:
    make(postgres, schemas)
    with pytest.raises(Misplaced, match=said) as error:
        make(postgres, [schemas[number] for number in order])
    assert "in the order in which it was made" in str(error.value)
    assert [row[0] for row in placements(postgres, schemas)] == [0, 1, 2]


def test_one_more_server_is_refused(postgres: str, schemas: list[str]) -> None:
    make(postgres, schemas[:2])
    with pytest.raises(Misplaced, match="is server 1 of 2"):
        make(postgres, schemas)
    assert execute(postgres, "SELECT to_regclass(%s)", f"{schemas[2]}.placement") == [(None,)]


def test_one_of_several_is_refused_alone(postgres: str, schemas: list[str]) -> None:
    make(postgres, schemas)
    alone = PostgresStore(postgres, schema=schemas[1], unsafe=True)
    with pytest.raises(Misplaced, match=r"server 2 of 3 \(partitions 1365 to 2729\): opened alone"):
        asyncio.run(visit(alone))


def test_one_that_was_used_alone_is_refused(postgres: str, schemas: list[str]) -> None:
    async def use() -> None:
        store = PostgresStore(postgres, schema=schemas[1], unsafe=True)
        await store.open()
        await store.create(header("a"))
        await store.close()

    asyncio.run(use())
    with pytest.raises(Misplaced, match="was used by itself before") as error:
        make(postgres, schemas)
    assert "amends export" in str(error.value)


def test_one_that_was_lost_is_refused(postgres: str, schemas: list[str]) -> None:
    """An empty database in its place is not taken for a new server, and nothing is made in it."""
    make(postgres, schemas)
    execute(postgres, f"DROP SCHEMA {schemas[1]} CASCADE")
    with pytest.raises(Misplaced, match="it holds nothing of this store") as error:
        make(postgres, schemas)
    assert "restore its backup" in str(error.value)
    assert execute(postgres, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", schemas[1]) == [(0,)]


def test_one_of_another_store_is_refused(postgres: str, schemas: list[str]) -> None:
    with new_schemas(postgres, 3) as others:
        make(postgres, schemas)
        make(postgres, others)
        with pytest.raises(Misplaced, match="of another store"):
            make(postgres, [*schemas[:2], others[2]])


def test_a_changed_table_is_refused(postgres: str, schemas: list[str]) -> None:
    make(postgres, schemas)
    execute(postgres, f"UPDATE {schemas[0]}.placement SET past = 4096")
    with pytest.raises(Misplaced, match="holds partitions 0 to 4095; it would be 0 to 1364"):
        make(postgres, schemas)


# ---------------------------------------------------------------- urls


def test_urls(postgres: str, schemas: list[str]) -> None:
    store = open_store(f"  {url_of_all(postgres, schemas)}\n")
    assert isinstance(store, Places)
    assert isinstance(store, Store)
    assert len(stores_of(store)) == 3
    one = open_store("postgresql://a/shop")
    assert stores_of(one) == [one]


def test_urls_that_cannot_be() -> None:
    with pytest.raises(StoreError, match="is on PostgreSQL, and one of its URLs begins with sqlite"):
        open_store("postgresql://a/shop sqlite:///b.db")
    with pytest.raises(StoreError, match="names one of them twice"):
        open_store("postgresql://a/shop postgresql://a/shop")
    assert open_store("sqlite:///my orders.db").path == "my orders.db"  # type: ignore[attr-defined]


def test_a_workers_call_is_refused(postgres: str, schemas: list[str]) -> None:
    with pytest.raises(StoreError, match=r"register\(\) is asked of one server"):
        opened(postgres, schemas).register(0.0, wait=False)  # type: ignore[attr-defined]


def test_one_that_goes_while_it_is_opened_is_away(
    postgres: str, schemas: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said what it is, and is gone before it is opened: it is sought as one that was never there."""
    make(postgres, schemas)
    store = opened(postgres, schemas)
    third = store.members[2]
    whole, times = third.store.open, iter(range(3))

    async def gone() -> None:
        if next(times, 3) < 3:
            raise StoreBusy("the database system is shutting down")
        await whole()

    monkeypatch.setattr(third.store, "open", gone)

    async def main() -> None:
        await store.open()
        assert [member.refusal is None for member in store.members] == [True, True, False]
        with pytest.raises(StoreBusy, match="shutting down"):
            await store.headers(Query())
        while third.refusal is not None:
            await asyncio.sleep(0.01)
        assert await store.headers(Query()) == []
        await store.close()

    asyncio.run(main())
