"""Types of steps, as a user sees them. Read by mypy and pyright, never run.

An expected error is marked for each checker by itself. A mark that is not needed is an error, so a check that
is lost is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from amends import (
    BatchCall,
    Kind,
    Rejected,
    Resource,
    Retry,
    Step,
    StepCall,
    Transaction,
    current,
    injected,
    step,
)


@dataclass
class Order:
    id: str


@dataclass
class Payment:
    id: str


class Pool:
    async def insert(self, text: str) -> int:
        return len(text)


@step
async def charge(order: Order) -> Payment:
    return Payment(order.id)


@step(timeout=timedelta(seconds=10), retry=Retry(attempts=5), rejects=ValueError, name="shop.reserve")
async def reserve(order: Order, pieces: int = 1, *, shelf: str = "") -> list[str]:
    return [shelf] * pieces


@step
def print_label(order: Order) -> bytes:
    return order.id.encode()


@step(limit=2, heartbeat=1.5)
def weigh(order: Order) -> float:
    return 1.0


def customer(order: Order) -> str:
    return order.id


@step(queue="mails", priority=2, delay=timedelta(seconds=1), key=customer, pool="relay")
async def mail(order: Order) -> str:
    return order.id


@step
async def notify(order: Order) -> None:
    return None


@step
async def insert(order: Order, db: Resource[Pool] = injected) -> int:
    assert_type(db, Pool)
    return await db.insert(order.id)


@step(transaction=True)
def note(order: Order, tx: Resource[Transaction] = injected) -> int:
    rows = tx.execute("SELECT ?", (order.id,))
    assert_type(rows, list[tuple[Any, ...]])
    return len(rows)


async def resources_are_left_out(order: Order) -> None:
    assert_type(await insert(order), int)
    assert_type(await insert(order, db=Pool()), int)
    assert_type(await note(order), int)
    await insert(order, db="pool")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def calls(order: Order) -> None:
    _ = assert_type(mail(order).options(priority=1, delay=2), StepCall[str])
    call = charge(order)
    _ = assert_type(call, StepCall[Payment])
    assert_type(await call, Payment)
    assert_type(await charge(order=order), Payment)
    assert_type(await reserve(order, 2, shelf="a"), list[str])
    assert_type(await notify(order), None)


async def plain_functions_are_awaited_too(order: Order) -> None:
    call = print_label(order)
    _ = assert_type(call, StepCall[bytes])
    assert_type(await call, bytes)
    assert_type(await weigh(order), float)


async def options_keep_the_type(order: Order) -> None:
    call = charge(order).options(timeout=3, retry=Retry(attempts=1), schedule_to_close=timedelta(minutes=1))
    _ = assert_type(call, StepCall[Payment])
    assert_type(await call, Payment)
    assert_type(await print_label(order).options(heartbeat=1), bytes)


async def asyncio_keeps_the_type(order: Order) -> None:
    async with asyncio.TaskGroup() as group:
        stock = group.create_task(reserve(order))
        label = group.create_task(print_label(order))
    _ = assert_type(stock, asyncio.Task[list[str]])
    _ = assert_type(label, asyncio.Task[bytes])
    assert_type(label.result(), bytes)
    payment, printed = await asyncio.gather(charge(order), print_label(order))
    assert_type(payment, Payment)
    assert_type(printed, bytes)
    many = await asyncio.gather(*[charge(order) for _ in range(3)])
    assert_type(many, list[Payment])
    assert_type(await asyncio.wait_for(charge(order), 1), Payment)
    task = asyncio.create_task(charge(order))
    _ = assert_type(task, asyncio.Task[Payment])
    assert_type(await asyncio.shield(charge(order)), Payment)


async def wrong_calls(order: Order) -> None:
    await charge("order-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await charge()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await charge(order, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await reserve(order, pieces="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await reserve(order, shelves="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await charge(order).options(timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await charge(order).options(color=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def forgotten_await(order: Order) -> None:
    charge(order)  # type: ignore[unused-awaitable]


async def what_there_is_besides(order: Order) -> None:
    assert_type(charge.name, str)
    assert_type(current().attempt, int)
    assert_type(current().idempotency_key, str)
    steps: Sequence[Step[..., Any]] = [charge, print_label]
    assert steps


# ---------------------------------------------------------------- compensations


@charge.compensation
async def refund(payment: Payment | None, order: Order) -> None: ...


@reserve.compensation(critical=False, kind=Kind.PERFECT, retry=Retry(attempts=3), timeout=5)
async def put_back(stock: list[str] | None, order: Order, pieces: int = 1, *, shelf: str = "") -> None: ...


@print_label.compensation
def void(label: bytes | None, order: Order) -> None: ...


@step
async def book(order: Order) -> Payment:
    raise Rejected("full", details={"order": order.id})


async def write_to(payment: Payment | None, order: Order) -> None: ...


@book.compensation(alternates=[write_to])
async def cancel_booking(payment: Payment | None, order: Order, db: Resource[Pool] = injected) -> None:
    assert_type(db, Pool)


async def too_few(payment: Payment | None) -> None: ...


async def too_many(payment: Payment | None, order: Order, reason: str) -> None: ...


async def no_result(order: Order) -> None: ...


async def result_always_there(payment: Payment, order: Order) -> None: ...


async def other_result(payment: str | None, order: Order) -> None: ...


async def other_argument(payment: Payment | None, order: str) -> None: ...


async def other_name(payment: Payment | None, request: Order) -> None: ...


def wrong_compensations() -> None:
    """Each lacks something that `charge` has, or has something that it lacks."""
    charge.compensation(too_few)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(too_many)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(no_result)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(result_always_there)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(other_result)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(other_argument)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(other_name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    options = charge.compensation(critical=False)
    options(refund.fn)
    options(too_few)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    options(other_result)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(critical="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    charge.compensation(colour=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def wrong_options() -> None:
    step(timeout="10")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    step(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    step(timeouts=10)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    step(rejects=ValueError("x"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    step(fallback=[print])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------- batches


@mail.batch(size=50, within=timedelta(milliseconds=20))
async def mail_all(calls: Sequence[BatchCall[Order]]) -> list[str | Exception]:
    _ = assert_type(calls[0].argument, Order)
    assert_type(calls[0].idempotency_key, str)
    assert_type(calls[0].attempt, int)
    return [call.argument.id or Rejected("no id") for call in calls]


@step(queue="mails")
async def post(order: Order, *, copies: int = 1) -> str:
    return order.id


@post.batch()
def post_all(calls: Sequence[BatchCall[Order]], db: Resource[Pool] = injected) -> list[str]:
    assert_type(db, Pool)
    return [call.argument.id * call.args.copies for call in calls]


async def batches(order: Order) -> None:
    assert_type(await mail(order), str)
    assert_type(await post(order, copies=2), str)
    call: BatchCall[Order] = BatchCall(mail(order).args, idempotency_key="k")
    assert_type(await mail_all([call]), Sequence[str | Exception])


async def other_argument_of_a_batch(calls: Sequence[BatchCall[int]]) -> list[str]: ...  # type: ignore[empty-body]


async def other_result_of_a_batch(calls: Sequence[BatchCall[Order]]) -> list[int]: ...  # type: ignore[empty-body]


async def one_result_of_a_batch(calls: Sequence[BatchCall[Order]]) -> int: ...  # type: ignore[empty-body]


def wrong_batches() -> None:
    """mypy takes the argument's type from the function, and does not compare it with the step's."""
    mail.batch()(other_argument_of_a_batch)  # pyright: ignore[reportArgumentType, reportCallIssue]
    mail.batch()(other_result_of_a_batch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    mail.batch()(one_result_of_a_batch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    mail.batch(size="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------- methods


class Shop:
    """Methods are steps, bound to their object; `self` comes first in a compensation, too."""

    @step
    async def charge(self, order: Order) -> Payment:
        return Payment(order.id)

    @charge.compensation
    async def refund(self, payment: Payment | None, order: Order) -> None: ...

    @step(timeout=5)
    def print_label(self, order: Order, copies: int = 1) -> bytes:
        return b"" * copies

    @print_label.compensation(critical=False)
    def void(self, label: bytes | None, order: Order, copies: int = 1) -> None: ...

    @staticmethod
    @step
    async def weigh(order: Order) -> float:
        return 1.0

    @step(queue="mails")
    async def mail(self, order: Order) -> str:
        return order.id

    @mail.batch(size=2)
    async def mail_all(self, calls: Sequence[BatchCall[Order]]) -> list[str]:
        return [call.argument.id for call in calls]


async def methods(shop: Shop, order: Order) -> None:
    call = shop.charge(order)
    _ = assert_type(call, StepCall[Payment])
    assert_type(await call, Payment)
    assert_type(await shop.print_label(order, copies=2), bytes)
    assert_type(await Shop.weigh(order), float)
    assert_type(await Shop.charge(shop, order), Payment)
    await shop.charge()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await shop.charge("order-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class WrongShop:
    @step
    async def charge(self, order: Order) -> Payment:
        return Payment(order.id)

    async def no_result(self, order: Order) -> None: ...

    async def other_argument(self, payment: Payment | None, order: str) -> None: ...

    charge.compensation(no_result)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    charge.compensation(other_argument)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
