"""Bulk actions: what a query finds is done, in batches, with audit; what cannot be done is told and stops nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Client, Engine, Refused, Retry, Signal, UnknownName, saga, step
from amends.engine import bulk
from amends.errors import StoreBusy
from amends.store import MemoryStore
from tests.stores import all_of

go = Signal[str]("go")
down = {"bank"}


@step(name="bulk.charge")
async def charge() -> str:
    return "p"


@charge.compensation(retry=Retry(attempts=1))
async def refund(payment: str | None) -> None:
    if "bank" in down:
        raise ConnectionError("the bank is down")


@saga(name="bulk.order")
async def place_order() -> str:
    await charge()
    return await go.receive()


async def started(engine: Engine, count: int) -> list[Any]:
    handles = [
        await engine.start(place_order(), id=f"order-{n}", attributes={"even": n % 2 == 0})
        for n in range(count)
    ]
    for handle in handles:
        while len(await handle.history()) < 2:
            await asyncio.sleep(0.01)
    return handles


async def becomes(handle: Any, status: str) -> None:
    while (await handle.status()).status != status:
        await asyncio.sleep(0.01)


def test_what_a_query_finds_is_done_in_batches_and_audited(store: Any) -> None:
    down.clear()

    async def main() -> None:
        async with Engine(store, sagas=[place_order]) as engine:
            handles = await started(engine, 9)
            do = engine.operations.bulk
            where = "attributes.even = true"
            tried = await all_of(do("cancel", reason="closed", where=where, dry_run=True))
            found = [item.id for page in tried for item in page.items]
            assert sorted(found) == [f"order-{n}" for n in (0, 2, 4, 6, 8)]
            assert {status.status for status in await engine.list()} == {"running"}
            assert await handles[0].audit() == []

            pages = await all_of(do("cancel", reason="closed", by="ann", where=where, batch=2))
            assert [len(page.items) for page in pages] == [2, 2, 1]
            assert all(item.done for page in pages for item in page.items)
            ended = [(await handle.outcome()).status for handle in handles[::2]]
            assert ended == ["compensated"] * 5
            (record,) = await handles[0].audit()
            assert (record.by, record.action, record.reason) == ("ann", "cancel", "closed")
            assert await handles[1].audit() == []
            assert await all_of(do("cancel", reason="closed", where=where)) == []  # they have ended

    asyncio.run(main())


def test_an_interrupted_run_goes_on(store: Any) -> None:
    down.clear()

    async def main() -> None:
        async with Engine(store, sagas=[place_order]) as engine:
            await started(engine, 5)
            newest_first = [status.id for status in await engine.list()]
            handles = [engine.handle(place_order, id) for id in newest_first]
            do = engine.operations.bulk
            first = None
            async for page in do("terminate", reason="test data", batch=2):
                first = page
                break
            assert first is not None
            assert first.after == first.items[-1].uid
            rest = await all_of(do("terminate", reason="test data", batch=2, after=first.after, limit=2))
            assert [item.id for page in rest for item in page.items] == newest_first[2:4]
            for handle in handles[:4]:
                assert (await handle.outcome()).status == "terminated"
            assert (await handles[4].status()).status == "running"

    asyncio.run(main())


def test_refusals_are_told_and_stop_nothing(store: Any) -> None:
    down.add("bank")

    async def main() -> None:
        async with Engine(store, sagas=[place_order]) as engine:
            handles = await started(engine, 3)
            await handles[0].send(go, "gone")
            await handles[0].outcome()
            do = engine.operations.bulk
            await all_of(do("cancel", reason="closed"))
            for handle in handles[1:]:
                assert (await handle.outcome()).status == "attention"
            (page,) = await all_of(do("skip", reason="written off", where='id = "order-1"'))
            assert [item.id for item in page.items] == ["order-1"]
            await becomes(handles[1], "partially_compensated")
            down.clear()
            (page,) = await all_of(do("retry", status=["completed", "attention"]))
            told = {item.id: (item.done, item.code) for item in page.items}
            assert told == {"order-0": (False, "refused"), "order-2": (True, "")}
            await becomes(handles[2], "compensated")

    asyncio.run(main())


def test_what_cannot_be_is_refused_before_anything_is_done() -> None:
    async def main() -> None:
        async with Client(MemoryStore()) as client:
            do: Any = client.operations.bulk
            with pytest.raises(UnknownName, match="did you mean 'cancel'"):
                await all_of(do("cancle", reason="x"))
            with pytest.raises(Refused, match="needs a reason"):
                await all_of(do("terminate"))
            with pytest.raises(Refused, match="batch"):
                await all_of(do("retry", batch=bulk.LARGEST_BATCH + 1))

    asyncio.run(main())


def test_a_store_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = MemoryStore()
        async with Engine(store, sagas=[place_order]) as engine:
            await started(engine, 3)
            pages = engine.operations.bulk("cancel", reason="closed", batch=1)
            await anext(pages)

            async def busy(*_: object) -> None:
                raise StoreBusy("not now")

            monkeypatch.setattr(store, "send", busy)
            with pytest.raises(StoreBusy):
                await anext(pages)
            monkeypatch.undo()

    asyncio.run(main())


def test_to_be_resumed_is_only_what_is_paused(store: Any) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[place_order]) as engine:
            handles = await started(engine, 4)
            do = engine.operations.bulk
            await all_of(do("pause", reason="closed", where="attributes.even = true"))
            for handle in handles[::2]:
                while (await handle.status()).cause != "paused":
                    await asyncio.sleep(0.01)
            assert {s.id for s in await engine.list(where='cause = "paused"')} == {"order-0", "order-2"}
            for handle in handles:
                await handle.send(go, "now")
            assert [await handle.result() for handle in handles[1::2]] == ["now", "now"]
            resumed = await all_of(do("resume"))
            assert sorted(item.id for page in resumed for item in page.items) == ["order-0", "order-2"]
            assert [await handle.result() for handle in handles[::2]] == ["now", "now"]

    asyncio.run(main())
