"""Processes that come and go as deploys make them: drains, standbys, clients elsewhere, threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from amends import Client, Compensated, Engine, IdInUse, Refused
from amends.engine.sync import Sync

from .audit import Audit
from .book import BEGUN, DONE, KILLED, Book
from .processes import Shop, all_end, journaled, reaches, shop_in, start_all, until, until_so
from .shop import SAGAS, approved, forgiving, parent, patient, sleeper, straight, threads
from .worker import settings


def audited(shop: Shop) -> Audit:
    """The book against every execution that the store knows, once no worker is left."""
    audit = Audit(shop.book.lines())
    audit.judge({id: status.status for id, status in shop.all_statuses().items()})
    assert not audit.findings, "\n".join(audit.findings)
    return audit


# ---------------------------------------------------------------- SIGTERM


@pytest.mark.slow
def test_sigterm_drains(tmp_path: Path) -> None:
    """What runs (coroutines and threads, actions and compensations) ends and is journaled."""
    with shop_in(tmp_path) as shop:
        wanted = {f"s-{i}": straight(3, "refuse", seconds=0.3) for i in range(20)}
        wanted |= {f"t-{i}": threads(3, seconds=0.3) for i in range(20)}
        wanted |= {f"sleeping-{i}": sleeper(0.5) for i in range(10)}

        async def main() -> None:
            async with Client(shop.url) as client:
                handles = await start_all(client, wanted)
                worker = shop.start_worker(grace=60.0)
                await until_so(lambda: shop.book.count(direction="undo", outcome=BEGUN) >= 3, "undoing")
                assert shop.stop(worker) == 0
                lines = shop.book.lines()
                begun = [line.key for line in lines if line.outcome == BEGUN]
                ended = [line.key for line in lines if line.outcome != BEGUN]
                assert sorted(begun) == sorted(ended), "all that began came to its end"
                assert len(set(begun)) == len(begun)
                ends = {line.key: line.outcome for line in lines if line.outcome != BEGUN}
                assert await journaled(handles) == ends, "all that ended is journaled"
                worker = shop.start_worker()
                found = await all_end(handles)
                assert shop.stop(worker) == 0
                assert {id for id, s in found.items() if s.status == "compensated"} == {
                    id for id in wanted if id.startswith("s-")
                }

        asyncio.run(main())
        audit = audited(shop)
        assert not audit.twice()
        assert not shop.complaints()


# ---------------------------------------------------------------- standby


@pytest.mark.slow
def test_a_standby_takes_over(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        wanted = {f"s-{i}": straight(5, seconds=0.1) for i in range(30)}
        wanted |= {f"u-{i}": parent("refuse") for i in range(15)}
        wanted |= {f"w-{i}": patient() for i in range(5)}

        async def main() -> None:
            async with Client(shop.url) as client:
                holder = shop.start_worker(steps=20)
                standby = shop.start_worker(wait="open", steps=20)
                handles = await start_all(client, wanted)
                await until_so(lambda: shop.book.size() >= 100, "work")
                assert not standby.said("working"), "two workers at a time"
                shop.kill(holder)
                await until_so(lambda: standby.said("working"), "the standby to take over")
                for handle in handles[-5:]:
                    await handle.send(approved, "ann")
                found = await all_end(handles)
                assert {id for id, s in found.items() if s.status == "compensated"} == {
                    id for id in wanted if id.startswith("u-")
                }
                third = shop.start_worker(wait="open")
                assert shop.stop(standby) == 0
                await until_so(lambda: third.said("working"), "the third to take over")
                assert await client.run(straight(1), id="after") == 1
                assert shop.stop(third) == 0

        asyncio.run(main())
        audit = audited(shop)
        assert audit.twice() <= audit.in_flight(0)
        assert not shop.complaints()


@pytest.mark.slow
def test_a_standby_that_is_told_to_stop_leaves_the_holder_alone(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:

        async def main() -> None:
            async with Client(shop.url) as client:
                holder = shop.start_worker()
                standby = shop.start_worker(wait="open")
                assert shop.stop(standby) == 0
                assert await client.run(straight(2), id="one") == 2
                assert shop.stop(holder) == 0

        asyncio.run(main())
        assert not audited(shop).twice()
        assert not shop.complaints()


# ---------------------------------------------------------------- clients elsewhere


@pytest.mark.slow
def test_a_client_in_another_process(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:

        async def main() -> None:
            async with Client(shop.url) as client:
                early = await client.start(straight(2), id="early")  # no worker lives yet
                assert (await early.status()).status == "running"
                worker = shop.start_worker()
                assert await early.result() == 2
                await check_ids(client)
                await check_signals(client, shop)
                await check_cancels(client, shop)
                refused = await client.start(forgiving("refuse"), id="refused")
                with pytest.raises(Compensated) as caught:
                    await refused.result()
                assert caught.value.cause == "failed"
                assert list(caught.value.residue) == []
                assert (await refused.outcome()).status == "compensated"
                assert shop.stop(worker) == 0

        asyncio.run(main())
        assert not audited(shop).twice()
        assert not shop.complaints()


async def check_ids(client: Client) -> None:
    """An id stands for one request."""
    same = await client.start(straight(2), id="early")
    assert await same.result() == 2
    with pytest.raises(IdInUse, match="other arguments"):
        await client.start(straight(3), id="early")
    with pytest.raises(IdInUse, match="not of"):
        await client.start(threads(2), id="early")
    assert await client.handle(straight, "early").result() == 2
    racing = await asyncio.gather(*(client.run(straight(1), id="racing") for _ in range(10)))
    assert racing == [1] * 10


async def check_signals(client: Client, shop: Shop) -> None:
    """A signal wakes one that waits out of memory; one sent before it waits is kept; a key counts once."""
    waiting = await client.start(patient(), id="waiting")
    await until_so(lambda: shop.book.count(id="waiting", outcome=DONE) == 1, "its first step")
    await waiting.send(approved, "ann", key="a")
    await waiting.send(approved, "bob", key="a")
    assert await waiting.result() == "ann"
    early = await client.start(patient(), id="signalled-early")
    await early.send(approved, "eve")
    assert await early.result() == "eve"
    with pytest.raises(Refused, match="has ended"):
        await early.send(approved, "late")


async def check_cancels(client: Client, shop: Shop) -> None:
    waiting = await client.start(patient(), id="cancelled")
    await until_so(lambda: shop.book.count(id="cancelled", outcome=DONE) == 1, "its first step")
    await waiting.cancel("changed my mind", by="ann")
    with pytest.raises(Compensated) as caught:
        await waiting.result()
    assert caught.value.cause == "cancelled"
    assert shop.book.count(id="cancelled", direction="undo", outcome=DONE) == 1
    assert [(record.action, record.by) for record in await waiting.audit()] == [("cancel", "ann")]
    with pytest.raises(Refused):
        await waiting.cancel("again")


@pytest.mark.slow
def test_clients_wait_while_workers_die(tmp_path: Path) -> None:
    """Somebody who waits for a result gets it, whatever becomes of the workers meanwhile."""
    with shop_in(tmp_path) as shop:

        async def main() -> None:
            async with Client(shop.url) as client:
                waiting = [
                    asyncio.create_task(client.run(straight(6, seconds=0.1), id=f"s-{i}")) for i in range(20)
                ]
                for lines in (30, 90):
                    worker = shop.start_worker()
                    await until_so(lambda lines=lines: shop.book.size() >= lines, "work")
                    shop.kill(worker)
                worker = shop.start_worker()
                assert await asyncio.gather(*waiting) == [6] * 20
                assert shop.stop(worker) == 0

        asyncio.run(main())
        audited(shop)
        assert not shop.complaints()


# ---------------------------------------------------------------- synchronous programs


def synchronous(shop: Shop) -> Sync:
    """An engine in this process, for programs without asyncio."""
    chosen = settings({})
    return Engine(shop.url, sagas=SAGAS, resources=[Book(shop.folder)], settings=chosen).sync


@pytest.mark.slow
def test_threads_share_one_engine(tmp_path: Path) -> None:
    """A synchronous program (as Flask runs one: a request, a thread) with the engine inside."""
    with shop_in(tmp_path) as shop, synchronous(shop) as engine:

        def request(number: int) -> str:
            id = f"request-{number}"
            if number % 5 == 1:
                with pytest.raises(Compensated):
                    engine.run(straight(1, "refuse"), id=id, timeout=60)
            elif number % 5 == 2:
                handle = engine.start(patient(), id=id)
                engine.wait(handle.send(approved, id))
                assert engine.wait(handle.result(), 60) == id
            elif number % 5 == 3:
                handle = engine.start(patient(), id=id)
                engine.wait(handle.cancel("no"))
                assert engine.wait(handle.outcome(), 60).status == "compensated"
            elif number % 5 == 4:
                assert engine.run(straight(1), id="shared", timeout=60) == 1
            else:
                assert engine.run(threads(2), id=id, timeout=60) == 2
            return id

        with ThreadPoolExecutor(12) as pool:
            assert len(list(pool.map(request, range(60)))) == 60
        known = {s.id: s.status for s in engine.wait(engine.engine.list(limit=1000))}
        audit = Audit(shop.book.lines())
        audit.judge(known)
        assert len(known) == 60 - 12 + 1
        assert not audit.findings, "\n".join(audit.findings)
        assert not audit.twice()


@pytest.mark.slow
def test_a_synchronous_program_beside_a_worker(tmp_path: Path) -> None:
    """Its engine stands by while a worker lives, starts and waits meanwhile, takes over when that dies."""
    with shop_in(tmp_path) as shop:
        worker = shop.start_worker()
        with synchronous(shop) as engine:
            assert not engine.engine.working
            assert engine.run(straight(2), id="served-elsewhere", timeout=60) == 2
            handle = engine.start(straight(8, seconds=0.1), id="moved")
            until(lambda: shop.book.count(id="moved", outcome=DONE) >= 2, "two steps")
            shop.kill(worker)
            assert engine.wait(handle.result(), 60) == 8
            assert engine.engine.working
        audited(shop)
        assert not shop.complaints()
        lines = shop.book.lines()
        assert [line.outcome for line in lines].count(KILLED) == 1


@pytest.mark.slow
def test_one_id_in_many_processes_is_one_execution(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        worker = shop.start_worker()

        def somebody(number: int) -> int:
            async def main() -> int:
                async with Client(shop.url) as client:
                    handle = await client.start(straight(2), id=f"shared-{number % 3}")
                    await reaches(handle, "completed")
                    return await handle.result()

            return asyncio.run(main())

        with ThreadPoolExecutor(6) as pool:
            assert set(pool.map(somebody, range(18))) == {2}
        assert shop.stop(worker) == 0
        audit = audited(shop)
        assert len([deed for deed in audit.deeds.values() if deed.dispatches]) == 6
        assert not audit.twice()
