"""Engines and clients on a store on several servers: each execution is on one, and who looks sees all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

import amends
from amends import Client, Engine, IdInUse, QueueLimits, QueueWorker, Refused, Settings, Signal, saga, step
from amends.encryption import Codec, KeyRing, MasterKey
from amends.store.places import stores_of
from amends.store.places.queueing import shared_out, together
from amends.store.queueing import QueueStatus
from tests.places import ids_at, ids_in, new_schemas, opened, url_of_all
from tests.stores import all_of, execute

COUNT = 3
going = Signal[str]("places.going")


@step(name="places.add")
async def add(number: int) -> int:
    return number + 1


@add.compensation
async def subtract(added: int | None, number: int) -> None: ...


@step(name="places.mail", queue="places.mails")
async def mail(number: int) -> int:
    return 10 * number


@saga(name="places.child")
async def child(number: int) -> int:
    return await add(number)


@saga(name="places.parent")
async def parent(number: int) -> int:
    """Two nested sagas, one of which needs its parent for its pivot."""
    first, second = await asyncio.gather(child(number), child(number + 1))
    return first + second


@saga(name="places.waiting")
async def waiting() -> str:
    async with asyncio.timeout(60):
        return await going.receive()


@saga(name="places.mailing")
async def mailing(number: int) -> int:
    return await mail(number)


@step(name="places.ask")
async def ask(number: int) -> int:
    return number + 1


@saga(name="places.asking")
async def asking(number: int) -> str:
    number = await ask(await ask(number))
    return f"{await going.receive()} {number}"


SAGAS = [parent, child, waiting, mailing]


@pytest.fixture
def schemas(postgres: str) -> Iterator[list[str]]:
    with new_schemas(postgres, COUNT) as names:
        yield names


@pytest.fixture
def url(postgres: str, schemas: list[str]) -> str:
    return url_of_all(postgres, schemas, "&look=0.1")


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(guarded())


IDS = [id for number in range(COUNT) for id in ids_at(number, COUNT, 4)]


def test_each_is_where_its_id_says(postgres: str, schemas: list[str], url: str) -> None:
    """Started by an engine and by a client; all that is nested is on the server of its root."""

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            async with Client(url) as client:
                handles = [await engine.start(parent(n), id=id) for n, id in enumerate(IDS[::2])]
                handles += [await client.start(parent(n), id=id) for n, id in enumerate(IDS[1::2])]
                assert [await each.result() for each in handles] == [2 * n + 3 for n in range(6)] * 2
            assert engine.stats()["rows"] > len(IDS)
            assert engine.state == "working"

    run(main)
    for number, schema in enumerate(schemas):
        assert ids_in(postgres, schema) == set(ids_at(number, COUNT, 4))
        assert execute(postgres, f"SELECT count(*) FROM {schema}.executions") == [(4 * 3,)]
        stored = f"SELECT count(*) FROM {schema}.executions AS e, {schema}.placement AS p"
        where = ' WHERE e."partition" >= p.first AND e."partition" < p.past'
        assert execute(postgres, stored + where) == [(4 * 3,)], "as the table of the server says"


def test_an_id_is_started_once(url: str) -> None:
    """Wherever and however often: by engines, by clients, at the same time."""

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as one, Engine(url, sagas=SAGAS) as two, Client(url) as client:
            for n, id in enumerate(IDS):
                starts = (each.start(parent(n), id=id) for each in (one, two, client, client, one))
                handles = await asyncio.gather(*starts)
                assert len({(await handle.status()).uid for handle in handles}) == 1
                with pytest.raises(IdInUse):
                    await client.start(parent(n + 100), id=id)

    run(main)


def test_signals_lists_and_operators(url: str) -> None:
    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine, Client(url) as client:
            for id in IDS:
                await client.start(waiting(), id=id, attributes={"of": id[-1]})
            listed = await client.list()
            uids = [status.uid for status in listed]
            assert uids == sorted(uids, reverse=True), "newest first (to the millisecond), from all servers"
            newest = [status.id for status in listed]
            assert sorted(newest) == sorted(IDS)
            paged, after = [], ""
            while page := await client.list(limit=5, after=after):
                paged += [status.id for status in page]
                after = page[-1].uid
            assert paged == newest
            assert [s.id for s in await client.list(where=f'attributes.of = "{IDS[3][-1]}"')] == [
                id for id in newest if id[-1] == IDS[3][-1]
            ]
            for id in IDS[:6]:
                await client.handle(waiting, id).send(going, f"now {id}")
            assert [await engine.handle(waiting, id).result() for id in IDS[:6]] == [
                f"now {id}" for id in IDS[:6]
            ]
            batches = await all_of(client.operations.bulk("cancel", reason="enough"))
            assert sorted(item.id for batch in batches for item in batch.items) == sorted(IDS[6:])
            for id in IDS[6:]:
                assert (await engine.handle(waiting, id).outcome()).status == "compensated"
                assert [record.action for record in await client.handle(waiting, id).audit()] == ["cancel"]

    run(main)


def test_found_by_uid_without_having_been_seen(postgres: str, schemas: list[str], url: str) -> None:
    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            for n, id in enumerate(IDS):
                await engine.run(parent(n), id=id)
            uids = {status.id: status.uid for status in await engine.list(limit=1000)}
        fresh = opened(postgres, schemas)
        await fresh.open()
        for id, uid in uids.items():
            found = await fresh.read(uid)
            assert found is not None
            assert found[0].id == id
        assert await fresh.read("0" * 32) is None
        assert await fresh.prune([uids[id] for id in IDS], 1e12) == sorted(uids[id] for id in IDS)
        assert await fresh.read(uids[IDS[0]]) is None
        await fresh.close()

    run(main)


def test_steps_in_queues(postgres: str, schemas: list[str], url: str) -> None:
    """Who serves a queue serves it on all servers; what is set holds for all together."""

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            await engine.queues.limit("places.mails", QueueLimits(concurrency=4, depth=100, rate=300.0))
            await engine.queues.pause("places.mails")
            handles = [await engine.start(mailing(n), id=id) for n, id in enumerate(IDS)]
            while (status := await engine.queues.status("places.mails")).waiting < len(IDS):
                await asyncio.sleep(0.01)
            assert status.paused
            assert status.limits == QueueLimits(concurrency=4, depth=100, rate=300.0)
            async with QueueWorker(url, queues=["places.mails"], settings=Settings(poll=0.02)):
                await engine.queues.resume("places.mails")
                assert [await handle.result() for handle in handles] == [10 * n for n in range(len(IDS))]
            with pytest.raises(Refused, match="per_key cannot be kept on 3 servers"):
                await engine.queues.limit("places.mails", QueueLimits(per_key=1))
            with pytest.raises(Refused, match="concurrency is shared out among 3 servers"):
                await engine.queues.limit("places.mails", QueueLimits(concurrency=2))

    run(main)
    kept = [
        execute(postgres, f"SELECT limits::json ->> 'concurrency' FROM {schema}.queues") for schema in schemas
    ]
    assert sorted(kept) == [[("1",)], [("1",)], [("2",)]]


def test_limits_shared_out_are_the_limits_together() -> None:
    limits = QueueLimits(concurrency=10, rate=1.0, burst=7, depth=100)
    for count in range(2, 8):
        parts = shared_out(limits, count)
        assert all(part.concurrency and part.burst for part in parts)
        (joined,) = together(QueueStatus(name="q", limits=part) for part in parts)
        assert joined.limits == limits


def test_a_queue_in_the_engine_itself(url: str) -> None:
    async def main() -> None:
        async with Engine(url, sagas=SAGAS, queues=["places.mails"]) as engine:
            assert [await engine.run(mailing(n), id=id) for n, id in enumerate(IDS)] == [
                10 * n for n in range(len(IDS))
            ]

    run(main)


def test_schedules(url: str) -> None:
    """A schedule is on one server, what it starts is on all."""

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            await engine.schedules.add("often", parent(1), every=1.0, overlap="allow")
            while len(await engine.list(saga=parent, status="completed")) < 3:
                await asyncio.sleep(0.05)
            await engine.schedules.remove("often")

    run(main)


def test_retention_clears_all(postgres: str, schemas: list[str], url: str) -> None:
    async def main() -> None:
        settings = Settings(retention=0.001)
        async with Engine(url, sagas=SAGAS) as engine:
            for n, id in enumerate(IDS):
                await engine.run(parent(n), id=id)
        async with Engine(url, sagas=SAGAS, settings=settings) as engine:
            while await engine.list():
                await asyncio.sleep(0.05)

    run(main)


def test_journals_move_from_one_server_to_several(postgres: str, schemas: list[str], url: str) -> None:
    """How a store comes to more servers: export, import. Each arrives where its id belongs."""

    async def main() -> None:
        with new_schemas(postgres, 1) as alone:
            one = url_of_all(postgres, alone)
            async with Engine(one, sagas=SAGAS) as engine:
                for n, id in enumerate(IDS):
                    await engine.run(parent(n), id=id)
                for id in ("open-1", "open-2", "open-3"):
                    await engine.start(waiting(), id=id)
            async with Client(one) as client:
                lines = await all_of(client.operations.export())
        async with Engine(url, sagas=SAGAS) as engine:
            items = await all_of(engine.operations.import_(lines, live=True))
            assert {item.outcome for item in items} == {"imported"}
            again = await all_of(engine.operations.import_(lines, live=True))
            assert {item.outcome for item in again} == {"exists"}
            for id in ("open-1", "open-2", "open-3"):
                await engine.handle(waiting, id).send(going, "on")
                assert await engine.handle(waiting, id).result() == "on"

    run(main)
    for number, schema in enumerate(schemas):
        assert set(ids_at(number, COUNT, 4)) <= ids_in(postgres, schema)
        out = f'SELECT count(*) FROM {schema}.executions AS e, {schema}.placement AS p WHERE e."partition" < p.first'
        assert execute(postgres, f'{out} OR e."partition" >= p.past') == [(0,)]


def test_encrypted(postgres: str, schemas: list[str], url: str) -> None:
    """Each subject has one key, on one server, whatever servers its executions are on."""
    codec = Codec(keys=KeyRing(MasterKey(MasterKey.generate())))

    async def main() -> None:
        async with Engine(url, sagas=SAGAS, codec=codec) as engine, Client(url, codec=codec) as client:
            for n, id in enumerate(IDS):
                starter = engine if n % 2 else client
                handle = await starter.start(parent(n), id=id, subject=f"customer-{n % 4}")
                assert await handle.result() == 2 * n + 3
            assert sorted(key.subject for key in await engine.keys.list()) == [
                f"customer-{n}" for n in range(4)
            ]
            await engine.keys.forget("customer-1", "asked")
            gone = [n for n in range(len(IDS)) if n % 4 == 1]
            for n in range(len(IDS)):
                if n in gone:
                    with pytest.raises(amends.AmendsError):
                        await engine.handle(parent, IDS[n]).result()
                else:
                    assert await engine.handle(parent, IDS[n]).result() == 2 * n + 3

    run(main)
    assert sum(execute(postgres, f"SELECT count(*) FROM {schema}.keys")[0][0] for schema in schemas) == 4


def test_a_connection_of_the_callers_is_refused(url: str) -> None:
    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine, Client(url) as client:
            for each in (engine, client):
                with pytest.raises(Refused, match="this one is on 3 servers"):
                    await each.start(parent(1), id="a", connection=object())

    run(main)


def test_one_worker_is_fenced_the_others_go_on(url: str) -> None:
    """What retires a worker on one server ends nothing on another."""

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            before = [post.worker for post in engine._posts]
            assert all(before)
            await stores_of(engine.store)[1].retire(before[1].incarnation)  # type: ignore[union-attr]
            for n, id in enumerate(IDS):
                assert await (await engine.start(parent(n), id=id)).result() == 2 * n + 3
            after = [post.worker for post in engine._posts]
            assert [a is b for a, b in zip(after, before, strict=True)] == [True, False, True]

    run(main)


def test_pauses_hold_on_all(postgres: str, schemas: list[str], url: str) -> None:
    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine, Client(url) as client:
            await client.pauses.pause(child, reason="why", by="ann")
            again = await engine.pauses.pause("places.child", reason="again", by="bob")
            assert again.by == "ann", "paused twice is paused once"
            handles = [await engine.start(child(n), id=id) for n, id in enumerate(IDS)]
            for schema in schemas:
                assert execute(postgres, f"SELECT saga, reason FROM {schema}.pauses") == [
                    ("places.child", "why")
                ]
            assert [(pause.saga, pause.by) for pause in await client.pauses.list()] == [
                ("places.child", "ann")
            ]
            assert {(await handle.status()).status for handle in handles} == {"running"}
            assert await client.pauses.resume(child, by="cal")
            assert [await handle.result() for handle in handles] == [n + 1 for n in range(len(IDS))]
            audit = await client.pauses.audit(child)
            assert [(record.action, record.by) for record in audit] == [("pause", "ann"), ("resume", "cal")]

    run(main)


def test_a_fork_is_beside_its_original(postgres: str, schemas: list[str], url: str) -> None:
    """With the original's audit record, in one transaction: its id is one of that server."""

    async def main() -> None:
        async with Engine(url, sagas=[*SAGAS, asking]) as engine, Client(url) as client:
            for number, id in enumerate(IDS):
                handle = await engine.start(asking(number), id=id)
                await handle.cancel("no")
                assert (await handle.outcome()).status == "compensated"
                elsewhere = IDS[(number + 4) % len(IDS)]
                asked_for = client.handle(asking, id)
                with pytest.raises(Refused, match="belongs on another server"):
                    await asked_for.fork("ask#2", id=f"{elsewhere}")
                fork = await asked_for.fork("ask#2")
                await fork.send(going, "on")
                assert await fork.result() == f"on {number + 2}"
                assert (await asked_for.fork("ask#2")).id == fork.id
                assert [record.detail for record in await asked_for.audit()][-1] == fork.id
                assert fork.id in ids_in(postgres, schemas[number // 4])

    run(main)
