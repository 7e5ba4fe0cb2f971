"""Types of engines, clients and handles, and of the blocking façade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

import amends
from amends import Client, Engine, Handle, Result, Settings, Signal, Status, saga, step
from amends.encryption import Codec, KeyRing, MasterKey
from amends.engine.sync import Sync
from amends.store.port import AuditRecord


@dataclass
class Order:
    id: str


@dataclass
class Receipt:
    number: int


@dataclass
class Approval:
    by: str


approved = Signal[Approval]("approved")


@step
async def charge(order: Order) -> str:
    return order.id


@saga
async def place_order(order: Order) -> Receipt:
    return Receipt(len(await charge(order)))


@saga
async def forget(order: Order) -> None: ...


class Pool: ...


async def engines(order: Order) -> None:
    settings = Settings(steps=10, limits=amends.Limits(payload=10_000))
    async with Engine(
        "sqlite:///orders.db", sagas=[place_order, forget], resources=[Pool()], settings=settings
    ) as engine:
        _ = assert_type(engine, Engine)
        assert_type(await engine.run(place_order(order), id="order-1"), Receipt)
        assert_type(await engine.run(forget(order)), None)
        handle = await engine.start(place_order(order), id="order-1", attributes={"region": "eu"})
        _ = assert_type(handle, Handle[Receipt])
        known = engine.handle(place_order, "order-1")
        _ = assert_type(known, Handle[Receipt])
        assert_type(await engine.list(status="attention"), list[Status])
        assert_type(engine.working, bool)
        await engine.run(charge(order))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await engine.run(place_order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await engine.run(place_order(order), "order-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Engine(sagas=[charge])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Engine(sagas=place_order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def keys(order: Order) -> None:
    codec = Codec(keys=KeyRing(MasterKey.from_environment(), lifetime=timedelta(seconds=10)))
    async with Engine(codec=codec) as engine, Client("sqlite:///orders.db", codec=codec) as client:
        assert_type(await engine.start(place_order(order), subject="c-1"), Handle[Receipt])
        assert_type(await client.run(place_order(order), subject="c-1"), Receipt)
        assert_type(await engine.keys.list(subject="c-1"), list[amends.KeyStatus])
        assert_type(await client.keys.forget("c-1", "asked for"), str)
        async for batch in client.keys.rotate():
            assert_type(batch, amends.RotateBatch)


async def clients(order: Order) -> None:
    async with Client("sqlite:///orders.db") as client:
        _ = assert_type(client, Client)
        assert_type(await client.run(place_order(order)), Receipt)
        handle = await client.start(place_order(order), id="order-1")
        assert_type(await client.start(place_order(order), connection=object()), Handle[Receipt])
        _ = assert_type(handle, Handle[Receipt])
        known = client.handle(place_order, "order-1")
        _ = assert_type(known, Handle[Receipt])
        assert_type(await client.list(status=["running"], saga=place_order, limit=5), list[Status])
        await client.list(stauts="running")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def handles(handle: Handle[Receipt]) -> None:
    assert_type(handle.id, str)
    assert_type(await handle.result(), Receipt)
    outcome = await handle.outcome()
    assert_type(outcome, Result[Receipt])
    assert_type(outcome.value, Receipt | None)
    assert_type(outcome.unwrap(), Receipt)
    assert_type(outcome.residue, Sequence[Mapping[str, Any]])
    assert_type(await handle.status(), Status)
    assert_type(await handle.history(), list[dict[str, Any]])
    assert_type(await handle.audit(), list[AuditRecord])
    await handle.send(approved, Approval("me"))
    await handle.send(approved, Approval("me"), key="request-7")
    await handle.cancel("the customer changed their mind", by="support")
    await handle.retry()
    await handle.skip("refunded by phone", action="2")
    await handle.resolve(None, "refunded by phone")
    await handle.terminate("a test order")
    await handle.send(approved, "yes")  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    await handle.send("approved", Approval("me"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await handle.cancel()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def blocking(order: Order) -> None:
    with Engine("sqlite:///orders.db", sagas=[place_order]).sync as engine:
        assert_type(engine, Sync)
        assert_type(engine.run(place_order(order), id="order-1", timeout=5), Receipt)
        handle = engine.start(place_order(order))
        _ = assert_type(handle, Handle[Receipt])
        assert_type(engine.wait(handle.result()), Receipt)
        assert_type(engine.wait(handle.status(), timeout=1), Status)
        assert_type(engine.wait(handle.cancel("no")), None)
        assert_type(engine.call(len, "abc"), int)
        engine.run(charge(order))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors(error: amends.Compensated) -> None:
    assert_type(error.cause, str)
    assert_type(error.residue, list[Mapping[str, Any]])
    assert_type(error.code, str)
    assert_type(error.hint, str)
