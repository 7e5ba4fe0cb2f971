"""A saga that is started in the caller's own transaction exists exactly when that commits, through every driver."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from amends import Client, Engine, Handle, saga, step
from amends.errors import IdInUse, Refused, StoreError, UnknownName
from amends.participants.barrier import NoTransaction
from amends.store import open_store
from tests.postgres import new_database
from tests.unit.participants.links import POSTGRES, SQLITE, Link, done

KNOWN = [name for name in (*SQLITE, *POSTGRES) if not name.startswith("plain")]
OWN_COPY = [name for name in SQLITE if name in KNOWN and name != "apsw"]


@step(name="joining.ship")
async def ship(order: str) -> str:
    return f"shipped {order}"


@saga(name="joining.order")
async def order(number: str) -> str:
    return await ship(number)


@saga(name="joining.other")
async def other(number: str) -> str:
    return number


@pytest.fixture(scope="module")
def shared(postgres: str) -> Iterator[str]:
    with new_database(postgres) as url:
        asyncio.run(_prepared(f"{url}{'&' if '?' in url else '?'}unsafe=true"))
        yield url


async def _prepared(url: str) -> None:
    async with Client(url):
        pass


Place = tuple[str, str, Callable[[str], contextlib.AbstractAsyncContextManager[Link]], bool]


@pytest.fixture(params=KNOWN)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Of a database that a worker has prepared: the store's URL, where its driver finds it, how, and whether the store
    may be open in this process meanwhile."""
    if request.param in POSTGRES:
        database = request.getfixturevalue("shared")
        url = f"{database}{'&' if '?' in database else '?'}unsafe=true"
        return url, database, POSTGRES[request.param], True
    path = tmp_path / "orders.db"
    asyncio.run(_prepared(f"sqlite:///{path}"))
    return f"sqlite:///{path}", str(path), SQLITE[request.param], request.param == "apsw"


@contextlib.asynccontextmanager
async def starting(place: Place) -> AsyncIterator[tuple[Client, Link]]:
    url, where, opener, may_be_open = place
    client = Client(url)
    async with contextlib.AsyncExitStack() as stack:
        if may_be_open:
            await stack.enter_async_context(client)
        yield client, await stack.enter_async_context(opener(where))


async def exists(place: Place, id: str) -> bool:
    store = open_store(place[0])
    await store.open()
    try:
        return await store.find("default", id) is not None
    finally:
        await store.close()


def unique(request: pytest.FixtureRequest) -> str:
    return f"order-{abs(hash(request.node.nodeid))}"


def test_committed_it_exists_and_is_worked_on(place: Place, request: pytest.FixtureRequest) -> None:
    id = unique(request)

    async def main() -> None:
        async with starting(place) as (client, link):
            await done(link.begin())
            await client.start(order("17"), id=id, connection=link.connection)
            if place[3]:
                with pytest.raises(UnknownName):
                    await client.handle(order, id).status()
            await done(link.commit())
        async with Engine(place[0], sagas=[order, other]) as engine, asyncio.timeout(20):
            assert await engine.handle(order, id).result() == "shipped 17"

    asyncio.run(main())


def test_rolled_back_it_does_not_exist(place: Place, request: pytest.FixtureRequest) -> None:
    async def main() -> None:
        async with starting(place) as (client, link):
            await done(link.begin())
            await client.start(order("17"), id=unique(request), connection=link.connection)
            await done(link.rollback())
        assert not await exists(place, unique(request))

    asyncio.run(main())


def test_a_rolled_back_savepoint_takes_it_along(place: Place, request: pytest.FixtureRequest) -> None:
    kept, dropped = f"{unique(request)}-kept", f"{unique(request)}-dropped"

    async def main() -> None:
        async with starting(place) as (client, link):
            await done(link.begin())
            await client.start(order("1"), id=kept, connection=link.connection)
            await done(link.execute("SAVEPOINT here"))
            await client.start(order("2"), id=dropped, connection=link.connection)
            await done(link.execute("ROLLBACK TO SAVEPOINT here"))
            await done(link.commit())
        assert await exists(place, kept)
        assert not await exists(place, dropped)

    asyncio.run(main())


def test_the_same_id_is_the_same_execution(place: Place, request: pytest.FixtureRequest) -> None:
    """Also of one that is not committed yet; with other arguments or another saga it is refused, and the transaction
    goes on."""
    id = unique(request)

    async def main() -> None:
        async with starting(place) as (client, link):
            await done(link.begin())
            first = await client.start(order("17"), id=id, connection=link.connection)
            again = await client.start(order("17"), id=id, connection=link.connection)
            assert isinstance(again, Handle)
            assert again._uid == first._uid
            with pytest.raises(IdInUse, match="other arguments"):
                await client.start(order("18"), id=id, connection=link.connection)
            with pytest.raises(IdInUse, match=r"joining\.other"):
                await client.start(other("17"), id=id, connection=link.connection)
            await done(link.commit())
            await done(link.begin())
            third = await client.start(order("17"), id=id, connection=link.connection)
            assert third._uid == first._uid
            await done(link.commit())

    asyncio.run(main())


def test_a_connection_that_commits_by_itself_is_refused(place: Place, request: pytest.FixtureRequest) -> None:
    async def main() -> None:
        async with starting(place) as (client, link):
            if link.by_itself is None:
                pytest.skip("this driver cannot be made to commit by itself")
            with pytest.raises(NoTransaction, match=re.escape(unique(request))):
                await client.start(order("17"), id=unique(request), connection=link.by_itself)
        assert not await exists(place, unique(request))

    asyncio.run(main())


def test_another_database_is_refused_and_the_transaction_goes_on(
    place: Place, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async def main(url: str, where: str) -> None:
        async with starting((place[0], where, place[2], place[3])) as (client, link):
            await done(link.begin())
            with pytest.raises(StoreError, match=r"not to the store's|another database than the store's"):
                await client.start(order("17"), id=unique(request), connection=link.connection)
            assert await link.rows("SELECT 1") == [(1,)]
            await done(link.commit())

    if place[0].startswith("sqlite"):
        asyncio.run(main("", str(tmp_path / "elsewhere.db")))
        return
    with new_database(request.getfixturevalue("postgres")) as elsewhere:
        asyncio.run(main("", elsewhere))


def test_a_database_of_another_kind_is_refused(shared: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Client(f"sqlite:///{tmp_path / 'orders.db'}") as client:
            with psycopg.connect(shared) as connection:
                await _refused_with("one to postgresql", client, connection)
                assert connection.execute("SELECT 1").fetchone() == (1,)
        async with Client(f"{shared}{'&' if '?' in shared else '?'}unsafe=true") as client:
            with contextlib.closing(sqlite3.connect(":memory:")) as connection2:
                await _refused_with("one to sqlite", client, connection2)

    asyncio.run(main())


async def _refused_with(words: str, client: Client, connection: Any) -> None:
    with pytest.raises(StoreError, match=words):
        await client.start(order("17"), connection=connection)


def test_the_memory_store_has_nothing_to_share() -> None:
    async def main() -> None:
        async with Engine(sagas=[order]) as engine:
            with pytest.raises(Refused, match="has none"):
                await engine.start(order("17"), connection=object())

    asyncio.run(main())


@pytest.mark.parametrize("driver", OWN_COPY)
def test_a_second_copy_of_sqlite_is_kept_away_from_an_open_store(driver: str, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "orders.db"
        async with Engine(f"sqlite:///{path}", sagas=[order]) as engine, SQLITE[driver](str(path)) as link:
            with pytest.raises(StoreError, match="second copy of SQLite"):
                await engine.start(order("17"), id="a", connection=link.connection)

    asyncio.run(main())


def test_two_copies_of_sqlite_do_not_see_each_others_locks(tmp_path: Path) -> None:
    """Why they are kept apart. Once this fails, they need not be any more."""
    path = str(tmp_path / "orders.db")
    with contextlib.closing(apsw.Connection(path)) as one:
        one.execute("PRAGMA journal_mode = wal")
        one.execute("CREATE TABLE t (x)")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0.1)) as two:
            one.execute("BEGIN IMMEDIATE")
            two.execute("BEGIN IMMEDIATE")  # both are the one writer
            two.execute("ROLLBACK")
            one.execute("ROLLBACK")


def test_a_file_without_tables_says_so(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    path.touch()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        asyncio.run(_refused_with("no tables of amends", Client(f"sqlite:///{path}"), connection))


def test_the_engine_notices_soon_after_the_commit(shared: str, tmp_path: Path) -> None:
    """On PostgreSQL without waiting for the next look."""

    async def on_postgres() -> None:
        url = f"{shared}{'&' if '?' in shared else '?'}unsafe=true&look=60"
        async with Engine(url, sagas=[order]) as engine:
            await asyncio.sleep(0.5)
            async with await psycopg.AsyncConnection.connect(shared) as connection:
                handle = await engine.start(order("17"), id="soon", connection=connection)
                await connection.commit()
                async with asyncio.timeout(10):
                    assert await handle.result() == "shipped 17"

    async def on_sqlite() -> None:
        path = str(tmp_path / "orders.db")
        async with Engine(f"sqlite:///{path}", sagas=[order]) as engine:
            with contextlib.closing(apsw.Connection(path)) as connection:
                connection.set_busy_timeout(5000)
                connection.execute("BEGIN IMMEDIATE")
                handle = await engine.start(order("17"), id="soon", connection=connection)
                connection.execute("COMMIT")
                async with asyncio.timeout(10):
                    assert await handle.result() == "shipped 17"

    asyncio.run(on_postgres())
    asyncio.run(on_sqlite())


def test_the_blocking_facade_uses_the_connection_in_the_callers_thread(shared: str, tmp_path: Path) -> None:
    url = f"{shared}{'&' if '?' in shared else '?'}unsafe=true"
    with Engine(url, sagas=[order]).sync as engine:
        with psycopg.connect(shared) as connection:
            handle = engine.start(order("17"), id="blocking", connection=connection)
            with pytest.raises(UnknownName):
                engine.wait(handle.status())
        assert engine.wait(handle.result(), timeout=20) == "shipped 17"
        with pytest.raises(Refused, match="must be awaited"):
            asyncio.run(_refused(engine, shared))
    path = str(tmp_path / "orders.db")
    with (
        Engine(f"sqlite:///{path}", sagas=[order]).sync as engine,
        contextlib.closing(apsw.Connection(path)) as connection2,
    ):
        connection2.set_busy_timeout(5000)
        connection2.execute("BEGIN IMMEDIATE")
        handle = engine.start(order("17"), id="blocking", connection=connection2)
        connection2.execute("COMMIT")
        assert engine.wait(handle.result(), timeout=20) == "shipped 17"


async def _refused(engine: Any, url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        engine.start(order("17"), id="never", connection=connection)


def test_in_a_pipeline_of_psycopgs(shared: str) -> None:
    """What was sent there has no answer yet, and whether a transaction is open shows when it has."""
    url = f"{shared}{'&' if '?' in shared else '?'}unsafe=true"

    async def asynchronous() -> None:
        async with Engine(url, sagas=[order]) as engine:
            async with await psycopg.AsyncConnection.connect(shared) as connection:
                async with connection.pipeline(), connection.transaction():
                    await connection.execute("CREATE TABLE beside (x int)")
                    handle = await engine.start(order("17"), id="piped", connection=connection)
                    await connection.execute("INSERT INTO beside VALUES (1)")
                assert await handle.result() == "shipped 17"
                async with connection.pipeline(), connection.transaction():
                    await engine.start(order("18"), id="never piped", connection=connection)
                    raise psycopg.Rollback
                with pytest.raises(UnknownName):
                    await engine.handle(order, "never piped").status()
            async with (
                await psycopg.AsyncConnection.connect(shared, autocommit=True) as connection,
                connection.pipeline(),
            ):
                await connection.execute("INSERT INTO beside VALUES (2)")
                with pytest.raises(NoTransaction):
                    await engine.start(order("19"), id="never piped", connection=connection)

    asyncio.run(asynchronous())
    with Engine(url, sagas=[order]).sync as engine:
        with psycopg.connect(shared) as blocking, blocking.pipeline():
            blocking.execute("INSERT INTO beside VALUES (3)")
            handle = engine.start(order("20"), id="piped, blocking", connection=blocking)
        assert engine.wait(handle.result(), timeout=20) == "shipped 20"
        with psycopg.connect(shared, autocommit=True) as blocking, blocking.pipeline():
            blocking.execute("DROP TABLE beside")
            with pytest.raises(NoTransaction):
                engine.start(order("21"), id="never piped", connection=blocking)


def test_a_role_without_rights_on_the_server_can_be_told_apart(shared: str) -> None:
    """What says which database it is needs no privilege."""
    from amends.store.postgres.enlisting import IDENTIFY

    with psycopg.connect(shared) as connection:
        mine = connection.execute(IDENTIFY).fetchone()
        connection.execute("CREATE ROLE amends_nobody; SET LOCAL ROLE amends_nobody")
        assert connection.execute(IDENTIFY).fetchone() == mine
        connection.rollback()
