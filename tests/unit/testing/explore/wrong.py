"""Sagas that are wrong on purpose, each in one way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import uuid

from amends import Rejected, Resource, Retry, StepFailed, injected, pivot, saga, step
from tests.unit.testing.explore.services import Bank, Service, Stock, key

# ---------------------------------------------------------------- two steps that are right, to go around them


@step(name="right.label")
async def label(order: str, service: Resource[Service] = injected) -> str:
    return await service.do(f"label of {order}")


@label.compensation
async def void(paper: str | None, order: str, service: Resource[Service] = injected) -> None:
    await service.undo()


@step(name="right.ship")
async def ship(order: str, service: Resource[Service] = injected) -> str:
    if order == "moon":
        raise Rejected("no such address")
    return await service.do(f"parcel of {order}")


@ship.compensation
async def recall(parcel: str | None, order: str, service: Resource[Service] = injected) -> None:
    await service.undo()


# ---------------------------------------------------------------- 1: the compensation is forgotten


@step(name="wrong.forgotten")
async def forgotten(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@saga(name="wrong.saga_forgotten")
async def saga_forgotten(order: str) -> None:
    await forgotten(order)
    await ship(order)


# ---------------------------------------------------------------- 2: an id is made inside of the step


@step(name="wrong.minted")
async def minted(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(str(uuid.uuid4()), 100)


@minted.compensation
async def unmint(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    id = payment or await bank.find(100)
    while id is not None:
        await bank.refund(id)
        id = await bank.find(100)


@saga(name="wrong.saga_minted")
async def saga_minted(order: str) -> None:
    await minted(order)
    await ship(order)


# ---------------------------------------------------------------- 3: reserves in parts, undoes by the result


@step(name="wrong.partial")
async def partial(items: list[str], stock: Resource[Stock] = injected) -> list[str]:
    for item in items:
        await stock.take(key(), item)
    return items


@partial.compensation
async def put_back(taken: list[str] | None, items: list[str], stock: Resource[Stock] = injected) -> None:
    await stock.close(key())
    if taken is not None or f"{key()} {items[-1]}" in stock.reserved:  # all of it, or nothing
        for item in items:
            await stock.put_back(key(), item)


@saga(name="wrong.saga_partial")
async def saga_partial(items: list[str]) -> None:
    await partial(items)
    await ship("1")


# ---------------------------------------------------------------- 3b: rejected after half of it was done


@step(name="wrong.half")
async def half(items: list[str], stock: Resource[Stock] = injected) -> list[str]:
    for item in items:
        await stock.take(key(), item)
    return items


@half.compensation
async def put_all_back(taken: list[str] | None, items: list[str], stock: Resource[Stock] = injected) -> None:
    await stock.close(key())
    for item in items:
        await stock.put_back(key(), item)


@saga(name="wrong.saga_half")
async def saga_half(items: list[str]) -> None:
    await half(items)


# ---------------------------------------------------------------- 4: the wrong order


class Accounts:
    """Accounts can be closed only when they are empty, and money can leave only an open one."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self._undone: set[str] = set()

    async def create(self, name: str) -> None:
        if key() in self._undone:
            raise Rejected("it was undone already")
        self.open.setdefault(name, 0)

    async def close(self, name: str) -> None:
        self._undone.add(key())
        self.open.pop(name, None)

    async def freeze(self, name: str) -> None:
        if key() in self._undone:
            raise Rejected("it was undone already")
        self.open.setdefault(f"{name} frozen", 1)

    async def thaw(self, name: str) -> None:
        if name not in self.open:
            raise LookupError(f"there is no account {name}")
        self._undone.add(key())
        self.open.pop(f"{name} frozen", None)


@step(name="wrong.freeze")
async def freeze(name: str, accounts: Resource[Accounts] = injected) -> None:
    await accounts.freeze(name)


@freeze.compensation
async def thaw(_: None, name: str, accounts: Resource[Accounts] = injected) -> None:
    await accounts.thaw(name)


@step(name="wrong.create")
async def create(name: str, accounts: Resource[Accounts] = injected) -> None:
    await accounts.create(name)


@create.compensation
async def close(_: None, name: str, accounts: Resource[Accounts] = injected) -> None:
    await accounts.close(name)


@saga(name="wrong.saga_order")
async def saga_order(name: str) -> None:
    await freeze(name)  # should come after create: its compensation needs the account
    await create(name)
    await ship(name)


# ---------------------------------------------------------------- 5: exceptions are swallowed


@step(name="wrong.swallows")
async def swallows(order: str, bank: Resource[Bank] = injected) -> None:
    with contextlib.suppress(ConnectionError):
        await bank.pay(key(), 100)


@swallows.compensation
async def unswallow(_: None, order: str, bank: Resource[Bank] = injected) -> None:
    await bank.refund(key())


@saga(name="wrong.saga_step_swallows")
async def saga_step_swallows(order: str) -> None:
    await swallows(order)
    await ship(order)


@step(name="wrong.pay")
async def pay(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@pay.compensation
async def refund(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    await bank.refund(key())


@saga(name="wrong.saga_body_swallows")
async def saga_body_swallows(order: str) -> str:
    with contextlib.suppress(StepFailed):
        await pay(order)
    await ship(order)
    return order


@step(name="wrong.pay_quietly")
async def pay_quietly(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@pay_quietly.compensation
async def refund_quietly(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    with contextlib.suppress(ConnectionError):
        await bank.refund(key())


@saga(name="wrong.saga_undo_swallows")
async def saga_undo_swallows(order: str) -> None:
    await pay_quietly(order)
    await ship(order)


# ---------------------------------------------------------------- 6: the body is not deterministic


@saga(name="wrong.saga_random")
async def saga_random(order: str) -> None:
    await label(order)
    if random.random() < 0.5:
        await ship(order)


@saga(name="wrong.saga_uuid")
async def saga_uuid(order: str) -> None:
    await label(str(uuid.uuid4()))
    await ship(order)


_numbers = itertools.count()


@saga(name="wrong.saga_counter")
async def saga_counter(order: str) -> None:
    await label(f"{order} {next(_numbers)}")
    await ship(order)


# ---------------------------------------------------------------- 7: the compensation needs the result


@step(name="wrong.needs")
async def needs(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@needs.compensation
async def refund_by_result(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    await bank.refund(payment.lower())  # type: ignore[union-attr]


@saga(name="wrong.saga_needs")
async def saga_needs(order: str) -> None:
    await needs(order)
    await ship(order)


@step(name="wrong.ignores")
async def ignores(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@ignores.compensation
async def refund_if_known(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    if payment is not None:
        await bank.refund(payment)


@saga(name="wrong.saga_ignores")
async def saga_ignores(order: str) -> None:
    await ignores(order)
    await ship(order)


# ---------------------------------------------------------------- 8: the compensation is not idempotent


@step(name="wrong.once")
async def once(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@once.compensation
async def refund_once(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    if key() in bank.refunds:
        raise LookupError("refunded already")
    if payment is None and key() not in bank.payments:
        await bank.refund(key())
        return
    bank.refunds[key()] = 100


class Netting(Bank):
    """Payments and refunds cancel out."""

    def snapshot(self) -> int:
        return sum(self.payments.values()) - sum(self.refunds.values())


@saga(name="wrong.saga_once")
async def saga_once(order: str) -> None:
    await once(order)
    await ship(order)


# ---------------------------------------------------------------- 9: a step that can fail after the pivot


@saga(name="wrong.saga_pivot")
async def saga_pivot(order: str) -> None:
    await pay(order)
    await pivot()
    await ship(order)


@saga(name="wrong.saga_body_after_pivot")
async def saga_body_after_pivot(order: str) -> None:
    await pay(order)
    await pivot()
    raise ValueError("too late")


# ---------------------------------------------------------------- 10: retries that outlive the deadline


@step(name="wrong.patient", timeout=30, retry=Retry(attempts=5, delay=10, factor=2, jitter=0))
async def patient(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@patient.compensation
async def unpay(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    await bank.refund(key())


@saga(name="wrong.saga_deadline", deadline=60)
async def saga_deadline(order: str) -> None:
    await patient(order)
    await ship(order)


# ---------------------------------------------------------------- 11: harm when there is nothing to undo


@step(name="wrong.generous")
async def generous(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@generous.compensation
async def give_back(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    await bank.give(key(), 100)  # also if nothing was paid


@saga(name="wrong.saga_generous")
async def saga_generous(order: str) -> None:
    await generous(order)
    await ship(order)


# ---------------------------------------------------------------- 12: a late request is let in


class Forgetful(Bank):
    """Does not remember which payments were cancelled."""

    async def pay(self, id: str, cents: int) -> str:
        self.payments.setdefault(id, cents)
        return id


@saga(name="wrong.saga_late")
async def saga_late(order: str) -> None:
    await pay(order)
    await ship(order)


# ---------------------------------------------------------------- 13: compensations that do too little, or fail


@step(name="wrong.two_effects")
async def two_effects(order: str, bank: Resource[Bank] = injected, stock: Resource[Stock] = injected) -> str:
    await bank.pay(key(), 100)
    await stock.take(key(), order)
    return order


@two_effects.compensation
async def undo_one(
    done: str | None, order: str, bank: Resource[Bank] = injected, stock: Resource[Stock] = injected
) -> None:
    await bank.refund(key())
    await stock.close(key())


@saga(name="wrong.saga_incomplete")
async def saga_incomplete(order: str) -> None:
    await two_effects(order)
    await ship(order)


@step(name="wrong.unlucky")
async def unlucky(order: str, bank: Resource[Bank] = injected) -> str:
    return await bank.pay(key(), 100)


@unlucky.compensation(retry=Retry(attempts=2))
async def always_fails(payment: str | None, order: str, bank: Resource[Bank] = injected) -> None:
    raise NotImplementedError


@saga(name="wrong.saga_unlucky")
async def saga_unlucky(order: str) -> None:
    await unlucky(order)
    await ship(order)


# ---------------------------------------------------------------- 14: waits for what nothing delivers


@saga(name="wrong.saga_stuck")
async def saga_stuck(order: str) -> None:
    arrived = asyncio.Event()
    try:
        await pay(order)
    except StepFailed:
        await arrived.wait()
    await ship(order)


# ---------------------------------------------------------------- 15: overlapping steps whose undoing has an order


@saga(name="wrong.saga_overlap")
async def saga_overlap(name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(create(name))
        group.create_task(freeze(name))
    await ship(name)
