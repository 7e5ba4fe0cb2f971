"""The store is away, locked or cut off while a transactional step is to run: that is no failure of the step's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import apsw
import psycopg
import pytest

from amends import Engine, Resource, Retry, Transaction, injected, saga, step
from amends.store.port import Verdict
from amends.store.postgres import PostgresStore
from amends.worker import transactions

from .waiting import until

CALLS: list[int] = []
MEANWHILE: list[Callable[[], object]] = []


@step(name="away.note", transaction=True, retry=Retry(attempts=1))
def note(n: int, tx: Resource[Transaction] = injected) -> int:
    CALLS.append(n)
    tx.execute("CREATE TABLE IF NOT EXISTS notes (n INTEGER)")
    if MEANWHILE:
        MEANWHILE.pop()()
    tx.execute(f"INSERT INTO notes VALUES ({n})")
    return n


@saga(name="away.saga")
async def one(n: int) -> int:
    return await note(n)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "AGAIN", 0.1, raising=False)
    CALLS.clear()
    MEANWHILE.clear()


def test_a_step_for_which_no_connection_is_free_waits_for_one(database: str) -> None:
    class Crowded(PostgresStore):
        crowded, turned_away = False, 0

        async def transact(self, *given: object) -> Verdict:
            kept = self.conninfo
            if self.crowded:
                self.turned_away += 1
                self.conninfo = f"{kept} user=has_no_place"
            try:
                return await super().transact(*given)  # type: ignore[arg-type]
            finally:
                self.conninfo = kept

    async def main() -> None:
        store = Crowded(database, unsafe=True)
        async with Engine(store, sagas=[one]) as engine:
            store.crowded = True
            handle = await engine.start(one(1), id="one")
            await until(lambda: store.turned_away == 4)
            store.crowded = False
            assert await handle.result() == 1
        assert CALLS == [1]

    asyncio.run(main())


def test_a_step_whose_connection_is_ended_is_run_again(database: str) -> None:
    def end_all() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database() AND state LIKE 'idle in%'"
            )

    async def main() -> None:
        MEANWHILE.append(end_all)
        async with Engine(PostgresStore(database, unsafe=True), sagas=[one]) as engine:
            assert await engine.run(one(2)) == 2
        assert CALLS == [2, 2]

    asyncio.run(main())


def test_a_step_whose_file_is_locked_waits_for_it(tmp_path: object) -> None:
    async def main() -> None:
        file = f"{tmp_path}/locked.db"
        async with Engine(f"sqlite:///{file}?patience=0.05", sagas=[one]) as engine:
            other = apsw.Connection(file)
            store = engine._posts[0].store
            transact = store.transact

            async def locked(*given: object) -> Verdict:
                other.execute("BEGIN IMMEDIATE")
                try:
                    return await transact(*given)  # type: ignore[arg-type]
                finally:
                    other.execute("ROLLBACK")
                    store.transact = transact  # type: ignore[method-assign]

            store.transact = locked  # type: ignore[assignment, method-assign]
            assert await engine.run(one(3)) == 3
        assert CALLS == [3]

    asyncio.run(main())


def test_what_ends_in_a_thread_after_its_worker_is_lost_is_no_traceback(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Engine(PostgresStore(database, unsafe=True), sagas=[one]) as engine:
            post = engine._posts[0]
            loop = asyncio.get_running_loop()

            def lose() -> None:
                def now() -> None:
                    assert post.worker is not None
                    post.worker._on_lost = lambda _: None
                    post.worker.kill()
                    gone.set()

                loop.call_soon_threadsafe(now)
                asyncio.run_coroutine_threadsafe(gone.wait(), loop).result(10)
                raise RuntimeError("nobody is there to hear this")

            gone = asyncio.Event()
            MEANWHILE.append(lose)
            await engine.start(one(4), id="four")
            await gone.wait()
            await asyncio.sleep(0.3)
        gc.collect()

    asyncio.run(main())
    assert "never retrieved" not in caplog.text
