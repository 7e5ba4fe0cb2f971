"""Pauses of sagas and namespaces on every store, set by another process's handle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Client, Engine, Settings, Signal, UnknownName, saga, step
from amends.store import MemoryStore
from amends.store.pausing import audit_key

from .waiting import until

CALLED: list[str] = []
GO: list[asyncio.Event] = []
waited: Signal[str] = Signal("pauses.waited")


@step(name="pauses.first")
async def first(tag: str) -> str:
    CALLED.append(f"first {tag}")
    await GO[-1].wait()
    return tag


@step(name="pauses.second")
async def second(tag: str) -> str:
    CALLED.append(f"second {tag}")
    return tag


@saga(name="pauses.two")
async def two(tag: str) -> str:
    await first(tag)
    return await second(tag)


@saga(name="pauses.mail")
async def mail(tag: str) -> str:
    return await second(tag)


@pytest.fixture(autouse=True)
def _afresh() -> None:
    CALLED.clear()
    GO.clear()


def settings(poll: float = 0.05) -> Settings:
    return Settings(poll=poll, grace=1.0)


def knows(*engines: Engine) -> bool:
    return all(each._worker is not None and bool(each._worker.holds.known) for each in engines)


def test_a_client_pauses_what_an_engine_serves(store: Any) -> None:
    """By another handle on the same database: the worker hears of it by itself."""

    async def main() -> None:
        GO.append(asyncio.Event())
        async with Engine(store, sagas=[two, mail], settings=settings()) as engine, Client(store) as client:
            handle = await engine.start(two("a"), id="a")
            await until(lambda: CALLED == ["first a"])
            held = await client.pauses.pause("pauses.two", reason="not now", by="ann")
            await until(lambda: knows(engine))
            GO[-1].set()
            await until(lambda: engine.stats()["resident"] == 0)
            later = await client.start(two("b"), id="b")
            assert await client.run(mail("m"), id="m") == "m"
            assert {s.id: s.saga_paused for s in await client.list()} == {"a": held, "b": held, "m": None}
            assert CALLED == ["first a", "second m"]
            assert await client.pauses.resume(two, by="bob")
            assert [await handle.result(), await later.result()] == ["a", "b"]
            assert sorted(CALLED) == ["first a", "first b", "second a", "second b", "second m"]
            records = await client.pauses.audit("pauses.two")
            assert [(r.action, r.by, r.uid) for r in records] == [
                ("pause", "ann", audit_key("default", "pauses.two")),
                ("resume", "bob", audit_key("default", "pauses.two")),
            ]

    asyncio.run(main())


def test_two_workers_of_one_database_stand_still_alike(store: Any) -> None:
    if isinstance(store, MemoryStore) or not store.startswith("postgresql"):
        pytest.skip("one worker at a time serves such a store")

    async def main() -> None:
        GO.append(asyncio.Event())
        async with (
            Engine(store, sagas=[two], settings=settings(10.0)) as one,
            Engine(store, sagas=[two], settings=settings(10.0)) as other,
        ):
            await one.start(two("a"), id="a")
            await other.start(two("b"), id="b")
            await until(lambda: sorted(CALLED) == ["first a", "first b"])
            await one.pauses.pause_all(reason="not now")
            await until(lambda: knows(one, other), "the notification")
            GO[-1].set()
            await until(lambda: not one.stats()["resident"] + other.stats()["resident"])
            await asyncio.sleep(0.3)
            assert sorted(CALLED) == ["first a", "first b"]
            await other.pauses.resume_all()
            results = [await one.handle(two, id).result() for id in ("a", "b")]
            assert results == ["a", "b"]

    asyncio.run(main())


def test_a_restart_stands_still_from_its_first_moment(store: Any) -> None:
    async def main() -> None:
        GO.append(asyncio.Event())
        async with Client(store) as client:
            await client.pauses.pause(two, reason="not now")
            async with Engine(store, sagas=[two], settings=settings()) as engine:
                handle = await engine.start(two("a"), id="a")  # before its worker has read anything
                await asyncio.sleep(0.3)
                assert (CALLED, engine.stats()["resident"]) == ([], 0)
            async with Engine(store, sagas=[two], settings=settings()) as engine:
                GO[-1].set()
                assert await engine.pauses.resume(two)
                assert await engine.handle(two, handle.id).result() == "a"

    asyncio.run(main())


def test_namespaces_are_apart(store: Any) -> None:
    async def main() -> None:
        async with (
            Engine(store, sagas=[mail], settings=settings()) as engine,
            Client(store, namespace="other") as other,
        ):
            await other.pauses.pause_all(reason="not now")
            await until(lambda: knows(engine))
            assert await engine.run(mail("here"), id="m") == "here"
            handle = await other.start(mail("there"), id="m")
            await asyncio.sleep(0.3)
            assert CALLED == ["second here"]
            assert await engine.pauses.list() == []
            with pytest.raises(UnknownName):
                await other.pauses.pause("pauses.nothing", reason="not now")
            assert await engine.pauses.resume_all() is False
            assert await other.pauses.resume_all() is True
            assert await handle.result() == "there"

    asyncio.run(main())


def test_a_blocking_program_pauses_too(store: Any) -> None:
    with Engine(store, sagas=[mail], settings=settings()).sync as engine:
        pauses = engine.engine.pauses
        assert engine.wait(pauses.pause(mail, reason="not now")).saga == "pauses.mail"
        handle = engine.start(mail("a"), id="a")
        assert engine.wait(handle.status()).saga_paused is not None
        assert engine.wait(pauses.resume(mail)) is True
        assert engine.wait(handle.result(), 20) == "a"
