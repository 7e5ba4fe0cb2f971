"""What may lie at the path: nothing, an old file, somebody else's file, or something that is no database at
all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw
import msgspec
import pytest

from amends.engine.retention import old_enough
from amends.engine.schedules.schedules import open_schedules
from amends.errors import SchemaMismatch, StoreBusy, StoreError, StoreFull
from amends.store import SqliteStore
from amends.store.kit.support import all_committed, header, start
from amends.store.port import Query
from amends.store.port import beyond as next_after
from amends.store.sqlite import schema
from amends.store.sqlite.client_side import _select
from amends.store.sqlite.faults import explain
from amends.store.sqlite.reading import SQL
from amends.store.sqlite.sql import Statements, read
from amends.store.sqlite.worker_side import CONTROL
from amends.store.where.parsing import parse
from amends.testing.seams import LoopExecutor


def opening(path: str | Path) -> StoreError:
    """The error of opening a store there."""

    async def main() -> None:
        store = SqliteStore(path)
        try:
            await store.open()
        finally:
            await store.close()

    with pytest.raises(StoreError) as caught:
        asyncio.run(main())
    return caught.value


async def use(path: Path) -> None:
    """Open, write, close."""
    store = SqliteStore(path)
    await store.open()
    me = await store.register(0.0, wait=False)
    assert me is not None
    all_committed(await store.commit(me, [start(f"a{me}")]))
    await store.retire(me)
    await store.close()


def test_missing_directory(tmp_path: Path) -> None:
    error = opening(tmp_path / "no" / "x.db")
    assert "does not exist" in error.message
    assert "mkdir" in error.hint


def test_directory(tmp_path: Path) -> None:
    error = opening(tmp_path)
    assert "is a directory" in error.message
    assert "sagas.db" in error.hint


@pytest.mark.parametrize("path", ["", ":memory:", "file:x.db"])
def test_no_path(path: str) -> None:
    assert "MemoryStore" in opening(path).hint


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    error = opening(path)
    assert "is not a SQLite database" in error.message
    assert path.read_text().startswith("Dear Sir")


def test_damaged_header(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    asyncio.run(use(path))
    damaged = bytearray(path.read_bytes())
    damaged[:100] = b"\xff" * 100
    path.write_bytes(damaged)
    assert "is not a SQLite database" in opening(path).message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_read_only(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    asyncio.run(use(path))
    path.chmod(0o444)
    assert "chmod" in opening(path).hint


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (apsw.ReadOnlyError("x"), StoreError, "cannot be written"),
        (apsw.CorruptError("x"), StoreError, "is damaged"),
        (apsw.CantOpenError("x"), StoreError, "cannot be opened"),
        (apsw.PermissionsError("x"), StoreError, "may not be accessed"),
        (apsw.FullError("x"), StoreFull, "no room left"),
        (apsw.BusyError("x"), StoreBusy, "locked"),
        (apsw.IOError("disk I/O"), StoreError, "disk I/O"),
    ],
)
def test_errors_of_the_driver_are_explained(error: apsw.Error, kind: type[StoreError], said: str) -> None:
    explained = explain(error, "x.db")
    assert type(explained) is kind
    assert said in str(explained)


def test_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    asyncio.run(use(path))
    asyncio.run(use(path))


def test_file_of_a_rollback_journal_is_switched_to_wal(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with apsw.Connection(str(path)) as connection:
        connection.execute("PRAGMA journal_mode=delete")
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    asyncio.run(use(path))
    connection = apsw.Connection(str(path))
    assert connection.pragma("journal_mode") == "wal"
    assert connection.execute("SELECT count(*) FROM mine").fetchall() == [(0,)]
    connection.close()


def test_wal_cannot_be_switched_on_under_another_program(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE mine (x); BEGIN; SELECT * FROM mine")

    async def main() -> None:
        store = SqliteStore(path, patience=0.01)
        with pytest.raises(StoreBusy) as caught:
            await store.open()
        assert "WAL" in caught.value.message

    asyncio.run(main())
    other.close()


def test_settings_of_the_connections(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        writer = store._writer.connection()
        assert writer.pragma("synchronous") == 2
        assert writer.pragma("wal_autocheckpoint") in {0, None}
        assert store._reader is not None
        with pytest.raises(apsw.ReadOnlyError):
            store._reader.execute("DELETE FROM amends_audit")
        await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- schema


def master(connection: apsw.Connection) -> list[tuple[str, ...]]:
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
    return [tuple(" ".join(str(value).split()) for value in row) for row in found]


def test_migrations_make_the_schema() -> None:
    migrated, direct = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for _, name in schema.migrations():
        migrated.execute(read(f"migrations/{name}"))
    direct.execute(read("schema.sql"))
    assert master(migrated) == master(direct)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in schema.migrations()] == list(range(1, len(schema.migrations()) + 1))


def test_tables_are_told_from_the_users_by_a_prefix(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path / "x.db"))
    connection = apsw.Connection(str(tmp_path / "x.db"))
    names = [name for _, name, _, _ in master(connection)]
    assert all(name.startswith(("amends_", "sqlite_")) for name in names)
    connection.close()


def test_migration_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    asyncio.run(use(path))
    real = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*real, (len(real) + 1, "next.sql")])
    monkeypatch.setattr(
        schema,
        "read",
        lambda name: "CREATE TABLE amends_later (x)" if name.endswith("next.sql") else read(name),
    )
    asyncio.run(use(path))
    connection = apsw.Connection(str(path))
    assert connection.table_exists("main", "amends_later")
    assert schema.version(connection) == len(real) + 1
    connection.close()
    monkeypatch.undo()
    error = opening(path)
    assert isinstance(error, SchemaMismatch)
    assert "upgrade amends" in error.hint


def test_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    monkeypatch.setattr(schema, "read", lambda name: read(name) + "; CREATE TABLE amends_fences (x)")
    assert "already exists" in opening(path).message
    connection = apsw.Connection(str(path))
    assert master(connection) == []
    connection.close()


# ---------------------------------------------------------------- statements


def test_polled_queries_use_their_indexes(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path / "x.db"))
    connection = apsw.Connection(str(tmp_path / "x.db"))

    def plan(statement: str, *parameters: object) -> str:
        return " | ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    assert "amends_executions_due" in plan(SQL["due"], 1.0, 1, b"default", b"x")
    assert "amends_executions_due" in plan(SQL["count_due"], 1.0, 1, b"default", b"x")
    for walk in (plan(SQL["next_wake"]), plan(SQL["groups"])):
        assert "SEARCH e USING INDEX amends_executions_due (namespace>?)" in walk, walk
        assert "SEARCH e USING INDEX amends_executions_due (namespace=? AND saga>?)" in walk, walk
        assert "SCAN amends_executions USING INDEX amends_executions_due" in walk, "its first entry"
        assert "SEARCH p USING" in walk, walk
    assert "(namespace=? AND saga=?" in plan(SQL["next_wake"])
    assert "(namespace=? AND saga=? AND wake_at>? AND wake_at<?)" in plan(
        SQL["due"], 1.0, 1, b"default", b"x"
    )
    assert "SCAN" not in plan(SQL["by_id"], "default", "x")
    assert "SCAN" not in plan(SQL["num"], "x")
    assert "SCAN" not in plan(SQL["news"], 0, 1)
    assert "SEARCH j USING INDEX" in plan(SQL["rows"], "[1]")
    assert "SEARCH i USING INDEX" in plan(SQL["inbox"], "[1]")
    assert "SEARCH amends_executions USING INTEGER PRIMARY KEY" in plan(SQL["by_num"], "[1]")
    assert "amends_executions_owner" in plan(CONTROL["hand_back"], 1, "[]")
    assert "amends_executions_owner" in plan(CONTROL["bury"], 1.0)
    trees = plan(CONTROL["trees"], '["x"]', "[]", 1.0)
    assert "amends_executions_root" in trees
    assert "SCAN amends" not in trees
    for what in ("journal", "inbox", "attributes", "audit", "executions"):
        assert "SCAN amends" not in plan(CONTROL[f"prune_{what}"], "[1]")
    connection.close()


def test_filtered_headers_use_their_indexes(tmp_path: Path) -> None:
    asyncio.run(use(tmp_path / "x.db"))
    connection = apsw.Connection(str(tmp_path / "x.db"))

    def plan(**query: object) -> str:
        sql, values = _select(Query(**query), "uid")  # type: ignore[arg-type]
        return " | ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))

    assert "amends_executions_parent" in plan(parent="p")
    assert "amends_executions_root" in plan(root="r")
    assert "amends_executions_attention" in plan(statuses=["attention"])
    assert "TEMP B-TREE" not in plan(after="x")
    assert "(namespace=? AND id>? AND id<?)" in plan(id_prefix="order-")
    schedules = msgspec.structs.asdict(open_schedules("default"))
    assert "(namespace=? AND id>? AND id<?)" in plan(**schedules)
    assert "(uid<?)" in plan(**msgspec.structs.asdict(old_enough(Query(namespace="default"), 1e9)))

    def asked(text: str, **query: object) -> str:
        return plan(where=parse(text, 0.0), **query)

    one = asked('attributes.customer = "42" and status = "running"', after="x")
    assert "amends_attributes_word (name=? AND word=? AND execution_uid<?)" in one
    assert "TEMP B-TREE" not in one  # a page reads no more than what it shows
    assert "amends_attributes_number (name=? AND number>?" in asked("attributes.total > 3 and started > -2h")
    assert "amends_attributes_number" in asked("attributes.total = 3")
    for text in (
        'attributes.a in ("x", 3)',
        'attributes.a = "x" or attributes.b = 3',
        'not attributes.a != "x"',
    ):
        assert ("SCAN amends_executions" in asked(text)) == text.startswith("not"), text
        assert "SCAN amends_attributes" not in asked(text)
    connection.close()


@pytest.mark.parametrize(
    ("prefix", "beyond"),
    [("a", "b"), ("order-", "order."), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None)],
)
def test_end_of_a_prefix(prefix: str, beyond: str | None) -> None:
    assert next_after(prefix) == beyond


def test_statements_by_name() -> None:
    statements = Statements(
        "-- a comment\n-- name: one\nSELECT 1 -- why\nFROM x;\n\n"
        "-- name: many [2]\nINSERT INTO x VALUES {rows};\n"
    )
    assert statements.names() == ["one", "many"]
    assert statements["one"] == "SELECT 1 FROM x"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 100, 127, 128, 129, 255, 256, 300, 1000])
def test_bulk_statements_take_any_number_of_rows(count: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE x (a INTEGER, b TEXT)")
    bulk = Statements(
        "-- name: run [2]\nINSERT INTO x VALUES {rows}\n"
        "-- name: get [2]\nINSERT INTO x VALUES {rows} RETURNING a"
    )
    values = [value for number in range(count) for value in (number, f"t{number}")]
    bulk.bulk("run").run(connection.execute, values)
    assert connection.execute("SELECT * FROM x ORDER BY a").fetchall() == [(n, f"t{n}") for n in range(count)]
    assert bulk.bulk("get").fetch(connection.execute, values) == [(n,) for n in range(count)]


def test_header_survives_a_round_trip_without_a_worker(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        await store.create(header("a", input='["ü"]'))
        await store.close()
        await store.open()
        found = await store.find("default", "a")
        assert found is not None
        assert found.input == '["ü"]'
        await store.close()

    asyncio.run(main())


def test_a_store_that_is_closed_while_it_opens_keeps_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def main() -> None:
        store = SqliteStore(path, executor=LoopExecutor(asyncio.get_running_loop()))
        opening = asyncio.create_task(store.open())
        await asyncio.sleep(0)
        store.abandon()
        with pytest.raises(StoreError, match="not open"):
            await opening

    asyncio.run(main())
    assert not [each for each in apsw.connections() if each.filename == str(path)]
