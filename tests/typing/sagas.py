"""Types inside sagas: nesting, signals, savepoints, and what replaces clock and chance."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_type

import amends
from amends import Outcome, Saga, SagaCall, Signal, saga, savepoint, step


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
counted = Signal("counted", type=int)


@step
async def charge(order: Order) -> str:
    return order.id


@step
def release(order: Order, reason: str, *, pieces: int = 1) -> None: ...


@saga
async def place_order(order: Order) -> Receipt:
    assert_type(await charge(order), str)
    return Receipt(1)


@saga(name="shop.many", version="2", deadline=timedelta(days=1))
async def place_many(orders: list[Order], *, fast: bool = False) -> list[Receipt]:
    first = await place_order(orders[0])
    assert_type(first, Receipt)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(place_order(orders[1]))
    _ = assert_type(task, asyncio.Task[Receipt])
    receipt, paid = await asyncio.gather(place_order(orders[2]), charge(orders[3]))
    assert_type(receipt, Receipt)
    assert_type(paid, str)
    return [first, task.result(), receipt]


def calls(order: Order) -> None:
    call = place_order(order)
    _ = assert_type(call, SagaCall[Receipt])
    later = place_order(order).options(deadline=60)
    _ = assert_type(later, SagaCall[Receipt])
    many = place_many([order], fast=True)
    _ = assert_type(many, SagaCall[list[Receipt]])
    some: Saga[..., Receipt] = place_order
    assert_type(some.name, str)


async def wrong_calls(order: Order) -> None:
    await place_order()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await place_order("order-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await place_many([order], quick=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await place_order(order).options(timeout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def not_async(order: Order) -> Receipt:
    return Receipt(1)


def wrong_sagas() -> None:
    saga(not_async)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    saga(deadline="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    saga(dead=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


# ---------------------------------------------------------------- signals


async def signals() -> None:
    _ = assert_type(approved, Signal[Approval])
    assert_type(await approved.receive(), Approval)
    assert_type(await approved.receive(timeout=timedelta(days=3)), Approval)
    assert_type(await counted.receive(timeout=1.5), int)
    both = await asyncio.gather(approved.receive(), counted.receive())
    assert_type(both, tuple[Approval, int])
    await approved.receive(timeout="3 days")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------- what else a saga says


async def more(order: Order) -> None:
    async with savepoint():
        await charge(order)
    async with amends.savepoint() as nothing:
        assert_type(nothing, None)
    await amends.pivot()
    assert_type(amends.patched("check-fraud-first"), bool)
    assert_type(amends.now(), datetime)
    assert_type(amends.random(), random.Random)
    assert_type(amends.uuid(), uuid.UUID)
    amends.logger.info("order %s", order.id)


async def never_returns(order: Order) -> Receipt:
    await amends.continue_as_new(order)  # nothing follows, and no checker misses a return


def undo_with_checks_arguments(order: Order) -> None:
    amends.undo_with(release, order, "no longer wanted", pieces=2)
    amends.undo_with(charge, order)
    amends.undo_with(release, order)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    amends.undo_with(release, order, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    amends.undo_with(release, order, "x", piece=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    amends.undo_with(print, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def where_am_i() -> None:
    here = amends.current()
    assert_type(here.id, str)
    assert_type(here.outcome, Outcome | None)
    assert_type(here.deadline, datetime | None)
    assert_type(here.cancelled, bool)
    here.heartbeat({"done": 3})


class Shop:
    @saga
    async def place(self, order: Order) -> Receipt:
        return await place_order(order)


def methods(shop: Shop, order: Order) -> None:
    call = shop.place(order)
    _ = assert_type(call, SagaCall[Receipt])
