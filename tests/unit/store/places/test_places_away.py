"""One of two servers is away: what is on the other goes on, what is on it says so, and goes on when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from amends import Client, Engine, QueueWorker, Settings, Signal, UnknownName, saga, step
from amends.errors import Misplaced, StoreBusy, StoreError
from tests.cluster import Server, server
from tests.places import ids_at
from tests.stores import execute, url_of

pytestmark = pytest.mark.slow
HERE, THERE = ids_at(0, 2, 40), ids_at(1, 2, 40)


@step(name="away.add")
async def add(number: int) -> int:
    return number + 1


@step(name="away.mail", queue="away.mails")
async def mail(number: int) -> int:
    return number


@saga(name="away.adding")
async def adding(number: int) -> int:
    return await add(await add(number))


@saga(name="away.mailing")
async def mailing(number: int) -> int:
    return await mail(number)


going = Signal[int]("away.going")


@saga(name="away.waiting")
async def waiting() -> int:
    return await add(await going.receive())


SAGAS = [adding, mailing, waiting]


@pytest.fixture(scope="module")
def clusters() -> Iterator[tuple[Server, Server]]:
    with server() as one, server() as two:
        yield one, two


Pair = tuple[str, Server, Server]


@pytest.fixture
def pair(clusters: tuple[Server, Server], request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The store's URL, and its servers, both of them running."""
    schema = f"s{abs(hash(request.node.name))}"
    for each in clusters:
        if not each.running:
            each.start()
    yield " ".join(url_of(each.url, schema, "&look=0.1&lease=2&answer=5") for each in clusters), *clusters
    for each in clusters:
        if not each.running:
            each.start()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(90):
            await main()

    asyncio.run(guarded())


async def persistently(ask: Callable[[], Awaitable[Any]]) -> Any:
    while True:
        try:
            return await ask()
        except StoreError:
            await asyncio.sleep(0.05)


def test_what_is_on_the_other_goes_on(pair: Pair) -> None:
    url, _, two = pair

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine, Client(url) as client:
            for id in (*HERE[:5], *THERE[:5]):
                await engine.start(waiting(), id=id)
            at_work = engine._posts[0].worker
            await asyncio.to_thread(two.crash)
            for starter in (engine, client):
                for n, id in enumerate(HERE[10:15]):
                    assert await (await starter.start(adding(n), id=id)).result() == n + 2
            for id in HERE[:5]:
                await client.handle(waiting, id).send(going, 4)
                assert await engine.handle(waiting, id).result() == 5
            assert engine.state == "working"
            assert engine._posts[0].worker is at_work, "it has lost nothing"
            for ask in (
                lambda: client.handle(waiting, THERE[0]).status(),
                lambda: client.handle(waiting, THERE[0]).send(going, 1),
                lambda: client.start(adding(1), id=THERE[20]),
                client.list,
                client.queues.list,
            ):
                with pytest.raises(StoreBusy, match=str(two.folder)):
                    await ask()
            with pytest.raises(UnknownName, match="no execution has the id"):
                await client.handle(waiting, HERE[30]).status()
            await asyncio.to_thread(two.start)
            for id in THERE[:5]:
                await persistently(lambda id=id: client.handle(waiting, id).send(going, 7))
                assert await persistently(client.handle(waiting, id).result) == 8
            assert len(await client.list(limit=100)) == 5 + 5 + 5
            assert engine._posts[0].worker is at_work

    run(main)


def test_a_commit_under_way_there_is_found_again(pair: Pair) -> None:
    """Its worker there registers again and reads; the start that was under way is there once, or not at all."""
    url, _, two = pair

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine:
            starts = [asyncio.ensure_future(engine.start(adding(n), id=id)) for n, id in enumerate(THERE)]
            await asyncio.sleep(0)
            await asyncio.to_thread(two.crash)
            await asyncio.to_thread(two.start)
            await asyncio.gather(*starts, return_exceptions=True)
            for n, id in enumerate(THERE):
                handle = await persistently(lambda n=n, id=id: engine.start(adding(n), id=id))
                assert await persistently(handle.result) == n + 2

    run(main)


def test_opened_while_one_is_away(pair: Pair) -> None:
    url, _, two = pair

    async def main() -> None:
        async with Client(url) as client:
            await client.start(adding(1), id=THERE[0])
        await asyncio.to_thread(two.crash)
        async with Engine(url, sagas=SAGAS) as engine, Client(url) as client:
            assert engine.state == "working"
            assert await (await client.start(adding(2), id=HERE[0])).result() == 4
            with pytest.raises(StoreBusy):
                await engine.start(adding(3), id=THERE[1])
            await asyncio.to_thread(two.start)
            assert await persistently(engine.handle(adding, THERE[0]).result) == 3
            assert await (await persistently(lambda: client.start(adding(3), id=THERE[1]))).result() == 5

    run(main)


def test_closed_while_one_is_away(pair: Pair) -> None:
    url, _, two = pair

    async def main() -> None:
        async with Engine(url, sagas=SAGAS, settings=Settings(grace=0.5)) as engine:
            await engine.start(waiting(), id=THERE[0])
            await asyncio.to_thread(two.crash)
        await asyncio.to_thread(two.start)
        async with Engine(url, sagas=SAGAS) as engine:
            await engine.handle(waiting, THERE[0]).send(going, 1)
            assert await engine.handle(waiting, THERE[0]).result() == 2

    run(main)


def test_queues_of_the_other_are_served(pair: Pair) -> None:
    url, _, two = pair

    async def main() -> None:
        async with Engine(url, sagas=SAGAS) as engine, QueueWorker(url, queues=["away.mails"]):
            assert await engine.run(mailing(1), id=THERE[0]) == 1
            await asyncio.to_thread(two.crash)
            for n, id in enumerate(HERE[:5]):
                assert await engine.run(mailing(n), id=id) == n
            await asyncio.to_thread(two.start)
            handle = await persistently(lambda: engine.start(mailing(5), id=THERE[1]))
            assert await persistently(handle.result) == 5

    run(main)


def test_a_new_store_needs_all(pair: Pair) -> None:
    url, one, two = pair

    async def main() -> None:
        await asyncio.to_thread(two.crash)
        with pytest.raises(StoreBusy, match="is made when all are there"):
            async with Client(url):
                raise AssertionError
        await asyncio.to_thread(one.crash)
        with pytest.raises(StoreBusy):
            async with Client(url):
                raise AssertionError

    run(main)


def test_who_comes_back_as_another_is_refused(pair: Pair) -> None:
    """Nobody works at it, nothing is made in it, and the other goes on."""
    url, _, two = pair

    async def main() -> None:
        async with Client(url):
            pass
        schema = url.partition("schema=")[2].partition("&")[0]
        execute(two.url, f"DROP SCHEMA {schema} CASCADE")
        await asyncio.to_thread(two.crash)
        async with Engine(url, sagas=SAGAS) as engine:
            await asyncio.to_thread(two.start)
            while True:
                with pytest.raises(StoreError) as error:
                    await engine.start(adding(1), id=THERE[0])
                if isinstance(error.value, Misplaced):
                    break
                await asyncio.sleep(0.05)
            assert await engine.run(adding(1), id=HERE[0]) == 3
            assert engine._posts[1].worker is None
        assert execute(two.url, "SELECT 1 FROM pg_namespace WHERE nspname = %s", schema) == []

    run(main)
