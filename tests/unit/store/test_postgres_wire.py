"""What passes between the store and the server: one round trip a commit; and what happens when the line fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest

from amends.errors import CommitUnknown, Fenced, StoreBusy, StoreError
from amends.kernel.entries import Row
from amends.store.kit.support import asleep, codes, done, header, row, start, to
from amends.store.port import COMMITTED, AuditRecord, Write
from amends.store.postgres import PostgresStore
from amends.store.postgres.reading import HEADER
from amends.store.postgres.statement import statements
from tests.proxy import Proxy, Trace
from tests.stores import PromptPostgres, execute, new_schema


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


KIND: list[type[PostgresStore]] = [PostgresStore]


@pytest.fixture(autouse=True, params=[PostgresStore, PromptPostgres], ids=["asked", "sent"])
def kind(request: pytest.FixtureRequest) -> type[PostgresStore]:
    """Commits by both ways: by a task of their own, and without."""
    KIND[0] = request.param
    return KIND[0]


def behind(
    postgres: str, schema: str, main: Callable[[Proxy, PostgresStore, int], Awaitable[None]], **options: float
) -> None:
    """Run a test with a store that reaches the server through a proxy."""

    async def run() -> None:
        async with Proxy(postgres) as proxy:
            store = KIND[0](proxy.url, schema=schema, unsafe=True, **options)  # type: ignore[arg-type]
            await store.open()
            try:
                me = await store.register(0.0, wait=False)
                assert me is not None
                await main(proxy, store, me)
            finally:
                proxy.before_answer = None
                proxy.answers.set()
                await store.close()

    asyncio.run(run())


def a_full_batch(at: int, me: int) -> list[Write]:
    """A commit that touches every table."""
    child = header(f"c{at}", parent="a", owner=me)
    return [
        Write("a", row=row(at), children=[child], messages=[to("b"), to(f"c{at}")]),
        Write("b", row=row(at), audit=[AuditRecord(1.0, "b", "ann", "retry")]),
        start(f"n{at}"),
        done(f"d{at}", 1),
    ]


def test_a_commit_is_one_round_trip(postgres: str, schema: str) -> None:
    """From the second commit of a kind on (the first prepares it): bind, execute, sync, and the answer."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        starts = [start(uid) for uid in ("a", "b", "d1", "d2", "d3")]
        assert codes(await store.commit(me, starts)) == ["committed"] * 5
        assert codes(await store.commit(me, a_full_batch(1, me))) == ["committed"] * 4
        (writer,) = [trace for trace in proxy.traces if _wrote(trace)]
        for at in (2, 3):
            mark = len(writer.messages)
            assert codes(await store.commit(me, a_full_batch(at, me))) == ["committed"] * 4
            assert writer.since(mark) == ">BDES<2TDCZ"
            assert writer.messages[-1][2] == b"I", "idle: the transaction is over"
        traffic = [len(trace.messages) for trace in proxy.traces]
        await store.commit(me, [Write("a", row=row(4)), Write("b", row=row(4))])
        await store.commit(me, [Write("a", row=row(5)), Write("b", row=row(5))])
        moved = [len(trace.messages) - seen for trace, seen in zip(proxy.traces, traffic, strict=True)]
        assert len([count for count in moved if count]) == 1, "no other connection takes part"

    behind(postgres, schema, main, lease=100.0)


def test_behind_a_pooler_too(postgres: str, schema: str) -> None:
    """Without prepared statements the text travels along, still in one round trip."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        assert codes(await store.commit(me, [start("a"), start("b"), start("d1")])) == ["committed"] * 3
        (writer,) = [trace for trace in proxy.traces if _wrote(trace)]
        mark = len(writer.messages)
        assert codes(await store.commit(me, a_full_batch(1, me))) == ["committed"] * 4
        assert writer.since(mark) == ">PBDES<12TDCZ"
        assert not any(b"LISTEN" in body for trace in proxy.traces for _, _, body in trace.messages)
        assert all(b"statement_timeout" not in trace.messages[0][2] for trace in proxy.traces)

    behind(postgres, schema, main, lease=100.0, pooled=True)


def test_lost_acknowledgement(postgres: str, schema: str) -> None:
    """The line is cut when the answer is on its way: durable, and nobody knows. Then the fence is retired on
    a new connection, what is stored is read again, and nothing is appended blindly."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        proxy.before_answer = lambda trace, kind: _wrote(trace) and kind == b"2"
        with pytest.raises(CommitUnknown):
            await store.commit(me, [Write("a", row=row(1))])
        proxy.before_answer = None
        await store.retire(me)
        again = await store.register(5.0, wait=True)
        assert again is not None
        (claim,) = await store.claim(again, 1e9, 10)
        assert [each.position for each in claim.rows] == [0, 1]
        assert claim.lost
        with pytest.raises(Fenced):
            await store.commit(me, [Write("a", row=row(2))])
        assert codes(await store.commit(again, [Write("a", row=row(2))])) == ["committed"]

    behind(postgres, schema, main)


def test_a_line_that_swallows_answers(postgres: str, schema: str) -> None:
    """No answer within `answer` seconds is a lost acknowledgement, not a wait for ever."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        proxy.answers.clear()
        with pytest.raises(CommitUnknown):
            await store.commit(me, [Write("a", row=row(1))])
        proxy.answers.set()
        await store.retire(me)

    behind(postgres, schema, main, answer=0.5)


def test_a_commit_larger_than_the_socket_takes(postgres: str, schema: str) -> None:
    """The rest is sent when the server has read; an answer that comes meanwhile is heard."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        assert codes(await store.commit(me, [start("a")])) == ["committed"]
        for at in (1, 2):
            large = row(at, events="x" * 30_000_000)
            assert codes(await store.commit(me, [Write("a", row=large)])) == ["committed"]
        assert codes(await store.commit(me, [Write("a", row=row(3))])) == ["committed"]

    behind(postgres, schema, main)


def test_the_driver_lets_the_server_forget(postgres: str, schema: str) -> None:
    """After a transaction that was rolled back the driver deallocates what is prepared, ours with its own."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        assert codes(await store.commit(me, [start("a")])) == ["committed"]
        for at in (1, 2, 3):
            assert codes(await store.commit(me, [Write("a", row=row(at))])) == ["committed"]
            taken = [Write("a", row=row(at)), start(f"b{at}")]
            assert codes(await store.commit(me, taken)) == ["conflict", "committed"]

    behind(postgres, schema, main)


def test_from_the_second_commit_on_none_needs_a_task(postgres: str, schema: str) -> None:
    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        told: list[object] = []
        assert not store.commit_soon(me, [start("a")], told.append), "nothing is connected yet"
        await store.commit(me, [start("a")])
        assert store.commit_soon(me, [start("b")], told.append)
        assert not store.commit_soon(me, [start("c")], told.append), "one is under way"
        assert told == []
        await store.commit(me, [start("c")])
        assert told == [[COMMITTED]]
        assert not store.commit_soon(me, [Write("b", row=row(1))], told.append), "it is not prepared"

    behind(postgres, schema, main)


def test_who_no_longer_waits_stops_nothing(postgres: str, schema: str) -> None:
    """A commit is carried through, and the next one waits for it."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a"), start("b")])
        await store.commit(me, [Write("b", row=row(1))])
        with locked(postgres, f"SELECT 1 FROM {schema}.executions WHERE uid = 'a' FOR UPDATE"):
            commit = asyncio.ensure_future(store.commit(me, [asleep("a", 1)]))
            await waiting(postgres, schema)
            commit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await commit
            after = asyncio.ensure_future(store.commit(me, [Write("b", row=row(2))]))
            await asyncio.sleep(0.1)
            assert not after.done()
        assert codes(await after) == ["committed"]
        found = await store.read("a")
        assert found is not None
        assert [each.position for each in found[1]] == [0, 1]

    behind(postgres, schema, main, patience=5.0)


def test_closing_waits_for_a_commit(postgres: str, schema: str) -> None:
    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        await store.commit(me, [Write("a", row=row(1))])
        proxy.answers.clear()
        commit = asyncio.ensure_future(store.commit(me, [Write("a", row=row(2))]))
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        proxy.answers.set()
        assert codes(await commit) == ["committed"]
        await closing

    behind(postgres, schema, main)


def test_terminated_while_idle(postgres: str, schema: str) -> None:
    """A connection that ended while nothing was under way is replaced, and nobody need know."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        execute(
            postgres,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'amends' AND query LIKE %s",
            f"%{schema}%",
        )
        proxy.cut()
        await asyncio.sleep(0.05)
        assert codes(await store.commit(me, [Write("a", row=row(1))])) == ["committed"]
        assert (await store.find("default", "a")) is not None

    behind(postgres, schema, main)


def test_terminated_while_it_waits(postgres: str, schema: str) -> None:
    """`pg_terminate_backend` in the middle of a commit: unknown to the store, and undone by the server."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a"), start("b")])
        with locked(postgres, f"SELECT 1 FROM {schema}.executions WHERE uid = 'a' FOR UPDATE"):
            commit = asyncio.ensure_future(store.commit(me, [asleep("a", 1)]))
            pid = await waiting(postgres, schema)
            execute(postgres, "SELECT pg_terminate_backend(%s, 5000)", pid)
            with pytest.raises(CommitUnknown):
                await commit
        found = await store.read("a")
        assert found is not None
        assert [each.position for each in found[1]] == [0]

    behind(postgres, schema, main)


def test_locked_for_long_is_busy(postgres: str, schema: str) -> None:
    """Somebody else's lock is waited for `patience` seconds; then nothing has changed, and it may be tried again."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        lock = locked(postgres, f"SELECT 1 FROM {schema}.executions WHERE uid = 'a' FOR UPDATE")
        with lock, pytest.raises(StoreBusy):
            await store.commit(me, [asleep("a", 1)])
        assert codes(await store.commit(me, [asleep("a", 1)])) == ["committed"]

    behind(postgres, schema, main, patience=0.2)


def test_what_was_claimed_and_cannot_be_read_is_not_told_as_busy(postgres: str, schema: str) -> None:
    """Busy is tried again by a worker that goes on, so it must mean that nothing was taken."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.create(header("a"))
        owner = f"SELECT owner FROM {schema}.executions"
        with (
            locked(postgres, f"LOCK TABLE {schema}.executions"),
            pytest.raises(StoreBusy, match="lock timeout"),
        ):
            await store.claim(me, 1e9, 10)
        assert execute(postgres, owner) == [(None,)]
        with (
            locked(postgres, f"LOCK TABLE {schema}.journal"),
            pytest.raises(CommitUnknown, match=r"could not be read.* lock timeout"),
        ):
            await store.claim(me, 1e9, 10)
        assert execute(postgres, owner) == [(me,)]

        async def no_room(*_: object) -> None:
            raise psycopg.errors.DiskFull("no room to sort")

        await store.create(header("b"))
        store._control.read = no_room  # type: ignore[assignment, method-assign]
        with pytest.raises(CommitUnknown, match=r"could not be read.*no room to sort"):
            await store.claim(me, 1e9, 10)

    behind(postgres, schema, main, patience=0.2)


def test_a_taker_waits_for_the_commit_under_way(postgres: str, schema: str) -> None:
    """While a commit holds its fence nobody is buried; who retires it waits until the commit is durable."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        other = PostgresStore(postgres, schema=schema, unsafe=True)
        await other.open()
        try:
            with locked(postgres, f"SELECT 1 FROM {schema}.executions WHERE uid = 'a' FOR UPDATE"):
                commit = asyncio.ensure_future(store.commit(me, [asleep("a", 1)]))
                await waiting(postgres, schema)
                execute(postgres, f"UPDATE {schema}.leases SET expires_at = '-infinity'")
                heir = await other.register(7.0, wait=False)
                assert heir is not None
                assert await other.claim(heir, 1e9, 10) == [], "passed over: its commit is under way"
                retired = f"SELECT retired FROM {schema}.fences WHERE incarnation = {me}"
                assert execute(postgres, retired) == [(False,)]
                retiring = asyncio.ensure_future(other.retire(me))
                await asyncio.sleep(0.1)
                assert not retiring.done()
            assert codes(await commit) == ["committed"]
            await retiring
            found = await other.read("a")
            assert found is not None
            assert [each.position for each in found[1]] == [0, 1]
            with pytest.raises(Fenced):
                await store.commit(me, [start("b")])
        finally:
            await other.close()

    behind(postgres, schema, main, patience=3.0)  # seconds; what is found wrong below waits so long


def test_without_the_lock_on_the_fence_a_taker_does_not_wait(postgres: str, schema: str) -> None:
    """The test above would miss FOR SHARE."""
    sql = statements(schema, HEADER)
    for texts in (sql.parts, sql._plain):
        texts |= {name: text.replace("FOR SHARE", "") for name, text in texts.items()}
    with pytest.raises((AssertionError, StoreBusy)):
        test_a_taker_waits_for_the_commit_under_way(postgres, schema)


def test_a_promoted_server_fences_everybody(postgres: str, schema: str) -> None:
    """Another timeline than at registration: what is in memory may be ahead of what the new primary has."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])
        execute(postgres, f"UPDATE {schema}.fences SET epoch = '00000000'")  # as if promoted since
        with pytest.raises(Fenced):
            await store.commit(me, [Write("a", row=row(1))])
        with pytest.raises(Fenced):
            await store.claim(me, 1e9, 10)
        assert not await store._keeper.renew(me)
        await store.retire(me)
        again = await store.register(5.0, wait=True)
        assert again is not None
        assert [claim.header.uid for claim in await store.claim(again, 1e9, 10)] == ["a"]

    behind(postgres, schema, main)


def test_a_step_holds_the_fence(postgres: str, schema: str) -> None:
    """A transactional step that is too slow is ended by the server, and nothing of it is kept."""

    async def main(proxy: Proxy, store: PostgresStore, me: int) -> None:
        await store.commit(me, [start("a")])

        def slow(tx: object) -> Row:
            tx.execute("SELECT pg_sleep(30)")  # type: ignore[attr-defined]
            return row(1)

        with pytest.raises(StoreError, match="longer than"):
            await store.transact(me, "a", slow)

    behind(postgres, schema, main, step_seconds=0.2)


def test_unsafe_settings_are_refused(postgres: str, schema: str) -> None:
    """The tests' server does not wait for the disk, so it will do as an example."""
    if not any(execute(postgres, f"SHOW {name}") == [("off",)] for name in ("fsync", "synchronous_commit")):
        pytest.skip("the server named by the environment is safe")

    async def main() -> None:
        store = PostgresStore(postgres, schema=schema)
        with pytest.raises(StoreError, match="=off"):
            await store.open()

    asyncio.run(main())


# ---------------------------------------------------------------- helpers


class locked:  # noqa: N801  # reads as a context
    """A transaction of somebody else that holds what this statement locks."""

    def __init__(self, url: str, sql: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url)
        self._sql = sql

    def __enter__(self) -> None:
        self._connection.execute(self._sql)

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


async def waiting(url: str, schema: str) -> int:
    """The process of a statement of this schema that waits for a lock."""
    for _ in range(1000):
        found = execute(
            url,
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
            f"%{schema}%",
        )
        if found:
            return int(found[0][0])
        await asyncio.sleep(0.01)
    raise AssertionError("a statement waits for a lock")


def _wrote(trace: Trace) -> bool:
    """Is it the connection that commits?"""
    return any(
        kind == "P" and b"INSERT INTO" in body and b"journal" in body for _, kind, body in trace.messages
    )
