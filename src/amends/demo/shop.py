"""The shop's saga, as a user writes it: an order is paid and sent, or leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import amends
from amends import Resource, Retry, injected, saga, step

from .calls import Services
from .processes import TIMEOUT

TRY = Retry(attempts=4, delay=0.2)
UNDO = Retry(attempts=None, delay=0.1, cap=1.0)


@dataclass(frozen=True)
class Order:
    """What a customer ordered: one piece, for so many cents."""

    number: str
    cents: int


@step(name="demo.charge", timeout=TIMEOUT, retry=TRY, remembers_rejections=True)
async def charge(order: Order, services: Resource[Services] = injected) -> str:
    """Take the money. Timeouts, lost replies and the like mean: unknown, try again or undo."""
    return await services.do("money", order.number, order.cents)


@charge.compensation(timeout=TIMEOUT, retry=UNDO)
async def refund(payment: str | None, order: Order, services: Resource[Services] = injected) -> None:
    """Give it back. Without a `payment` nobody knows whether there was one: the service's barrier does."""
    await services.undo("money", order.number, order.cents)


@step(name="demo.reserve", timeout=TIMEOUT, retry=TRY, remembers_rejections=True)
async def reserve(order: Order, services: Resource[Services] = injected) -> str:
    """Take a piece from the shelf."""
    return await services.do("stock", order.number, 1)


@reserve.compensation(timeout=TIMEOUT, retry=UNDO)
async def put_back(piece: str | None, order: Order, services: Resource[Services] = injected) -> None:
    """Put it back."""
    await services.undo("stock", order.number, 1)


@step(name="demo.print_label", timeout=TIMEOUT, retry=TRY, remembers_rejections=True)
async def print_label(order: Order, services: Resource[Services] = injected) -> str:
    """Have a label printed."""
    return await services.do("label", order.number, 1)


@print_label.compensation(timeout=TIMEOUT, retry=UNDO)
async def void_label(label: str | None, order: Order, services: Resource[Services] = injected) -> None:
    """Make the label void."""
    await services.undo("label", order.number, 1)


@step(name="demo.ship", timeout=TIMEOUT, retry=UNDO)
async def ship(order: Order, services: Resource[Services] = injected) -> str:
    """Hand the parcel over. What is on the road does not come back, hence the pivot before it."""
    return await services.do("parcel", order.number, 1)


@saga(name="demo.place_order")
async def place_order(order: Order) -> str:
    """Every step completes, or every effect is undone."""
    async with asyncio.TaskGroup() as group:
        group.create_task(charge(order))
        group.create_task(reserve(order))
        group.create_task(print_label(order))
    await amends.pivot()
    return await ship(order)
