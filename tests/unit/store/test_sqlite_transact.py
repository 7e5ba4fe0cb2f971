"""A step's own SQL: what the guard lets through, what it refuses, and its limit of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from amends.errors import Refused, StoreError, StoreFull
from amends.store import SqliteStore
from amends.store.kit.support import all_committed, positions, row, start
from amends.store.port import COMMITTED, Transaction, Write
from amends.store.sqlite import commit

TABLE = "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, amends_id TEXT, left_over INTEGER)"


def run(path: Path, body: Callable[[Transaction], Any], **options: Any) -> list[tuple[Any, ...]]:
    """Run a body in a fresh store; afterwards, what is in the table."""

    async def main() -> list[tuple[Any, ...]]:
        store = SqliteStore(path, **options)
        await store.open()
        me = await store.register(0.0, wait=False)
        assert me is not None
        uid = f"a{me}"
        all_committed(await store.commit(me, [start(uid)]))

        def whole(tx: Transaction) -> Any:
            body(tx)
            return row(1)

        try:
            assert await store.transact(me, uid, whole) == COMMITTED
            assert await positions(store, uid) == [0, 1]
        except BaseException:
            assert await positions(store, uid) == [0]
            all_committed(await store.commit(me, [Write(uid, row=row(1))]))  # nothing is stuck
            raise
        finally:
            await store.retire(me)
            await store.close()
        connection = apsw.Connection(str(path))
        there = connection.table_exists("main", "stock")
        found = connection.execute("SELECT * FROM stock").fetchall() if there else []
        connection.close()
        return found

    return asyncio.run(main())


def test_everything_a_step_needs(tmp_path: Path) -> None:
    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("CREATE INDEX by_left ON stock (left_over)")
        tx.execute("INSERT INTO stock VALUES (?, ?, ?), (?, ?, ?)", ["pen", "x", 7, "ink", None, 3])
        tx.execute("UPDATE stock SET amends_id = 'y', left_over = left_over - 1 WHERE item = :item", ["pen"])
        tx.execute("DELETE FROM stock WHERE item = 'ink'")
        assert tx.execute("SELECT count(*), max(left_over) FROM stock") == [(1, 6)]
        assert tx.execute("PRAGMA table_info(stock)")[0][1] == "item"
        assert tx.execute("SELECT status FROM amends_executions") != []
        tx.execute("CREATE TEMP TABLE scratch (x)")
        tx.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) SELECT sum(i) FROM n"
        )
        tx.execute("CREATE TRIGGER t AFTER INSERT ON stock BEGIN UPDATE stock SET left_over = 0; END")

    assert run(tmp_path / "x.db", body) == [("pen", "y", 6)]


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "END",
        "ROLLBACK",
        "BEGIN",
        "SAVEPOINT s",
        "RELEASE amends_part",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "VACUUM",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA synchronous=OFF",
        "PRAGMA writable_schema=ON",
        "PRAGMA wal_checkpoint",
        "PRAGMA query_only=ON",
        "SELECT 1; COMMIT",
        "/* a */ commit",
        "DELETE FROM amends_journal",
        "UPDATE amends_executions SET status = 'completed'",
        "INSERT INTO amends_fences (started_at) VALUES (1)",
        "DROP TABLE amends_audit",
        "ALTER TABLE amends_journal ADD COLUMN x",
        "CREATE TABLE amends_mine (x)",
        "CREATE INDEX mine ON amends_journal (now)",
        "CREATE TRIGGER mine AFTER INSERT ON amends_journal BEGIN SELECT 1; END",
        "CREATE TRIGGER t AFTER DELETE ON stock BEGIN DELETE FROM amends_journal; END; DELETE FROM stock",
        "REPLACE INTO AMENDS_FENCES (incarnation, started_at) VALUES (1, 1)",
        commit.SQL["taken"]
        .replace("SELECT EXISTS", "DELETE FROM amends_journal WHERE EXISTS")
        .replace("?", "1"),
    ],
)
def test_what_a_step_may_not_do(tmp_path: Path, statement: str) -> None:
    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES ('pen', 'x', 7)")
        tx.execute(statement)

    with pytest.raises((Refused, apsw.SQLError)) as caught:
        run(tmp_path / "x.db", body)
    if "VACUUM" not in statement:
        assert isinstance(caught.value, Refused)
        assert caught.value.hint
    connection = apsw.Connection(str(tmp_path / "x.db"))
    assert not connection.table_exists("main", "stock")
    assert connection.execute("SELECT count(*) FROM amends_journal").fetchall() == [(2,)]
    connection.close()


def test_statement_that_the_store_has_compiled_is_guarded_too(tmp_path: Path) -> None:
    """The driver's cache of statements is no way around the guard."""
    text = "UPDATE amends_fences SET retired = 1 WHERE retired = 0"  # run by every registration

    with pytest.raises(Refused):
        run(tmp_path / "x.db", lambda tx: tx.execute(text))


def test_errors_of_the_steps_own_sql_pass(tmp_path: Path) -> None:
    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES ('pen', 'x', 7)")
        tx.execute("INSERT INTO stock VALUES ('pen', 'x', 8)")

    with pytest.raises(apsw.ConstraintError):
        run(tmp_path / "x.db", body)


def test_statement_that_rolls_back_ends_the_step(tmp_path: Path) -> None:
    """Should the step swallow the error, it finds no transaction any more; nothing runs outside of one."""

    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES ('pen', 'x', 7)")
        with pytest.raises(apsw.ConstraintError):
            tx.execute("INSERT OR ROLLBACK INTO stock VALUES ('pen', 'x', 8)")
        tx.execute("INSERT INTO stock VALUES ('ink', 'x', 9)")

    with pytest.raises(StoreError, match="rolled back"):
        run(tmp_path / "x.db", body)

    def silent(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES ('pen', 'x', 7)")
        with pytest.raises(apsw.ConstraintError):
            tx.execute("INSERT OR ROLLBACK INTO stock VALUES ('pen', 'x', 8)")

    with pytest.raises(StoreError, match="rolled back"):  # also when it does nothing more
        run(tmp_path / "y.db", silent)


class Ticking:
    """A clock that advances a tenth of a second at each look."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        self.time += 0.1
        return self.time


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_endless_statement_is_interrupted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="longer than 3 s"):
        run(tmp_path / "x.db", lambda tx: tx.execute(ENDLESS), clock=Ticking(), step_seconds=3.0)


def test_endless_body_is_stopped_at_its_next_statement(tmp_path: Path) -> None:
    def body(tx: Transaction) -> None:
        while True:
            tx.execute("SELECT 1")

    with pytest.raises(StoreError, match="longer than 3 s"):
        run(tmp_path / "x.db", body, clock=Ticking(), step_seconds=3.0)


def test_slow_body_is_not_committed(tmp_path: Path) -> None:
    """Even without a further statement: what came too late is rolled back."""
    clock = Ticking()

    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        clock.time += 100

    with pytest.raises(StoreError, match="longer than 3 s"):
        run(tmp_path / "x.db", body, clock=clock, step_seconds=3.0)


def test_full_file_in_a_step(tmp_path: Path) -> None:
    def body(tx: Transaction) -> None:
        tx.execute(TABLE)
        tx.execute("INSERT INTO stock VALUES (?, 'x', 7)", ["x" * 10_000_000])

    with pytest.raises(StoreFull):
        run(tmp_path / "x.db", body, max_pages=100)


def test_exceptions_of_every_kind_come_back(tmp_path: Path) -> None:
    for kind in (KeyError, StopIteration, asyncio.CancelledError):

        def body(tx: Transaction, kind: type[BaseException] = kind) -> None:
            raise kind

        with pytest.raises(RuntimeError if kind is StopIteration else kind):
            run(tmp_path / f"{kind.__name__}.db", body)
