"""The order process of a company whose process log the demo plays again.

Payment and cancellation come as a signal from the customer, the reminder is a durable timer,
delivery and invoicing are steps.  How each order ended stands in the log, so no step is given up.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import amends
from amends import Resource, Retry, Signal, injected, saga, step

from .calls import Services
from .processes import TIMEOUT
from .shop import UNDO, Order, charge, print_label, reserve, ship

REMIND_AFTER = 6.0  # seconds without a payment
PERSIST = Retry(attempts=None, delay=0.1, cap=1.0)

customer = Signal[Literal["paid", "cancelled"]]("customer")


class OrderCancelled(Exception):
    """The customer does not want it any more."""


@step(name="demo.send_invoice", timeout=TIMEOUT, retry=PERSIST)
async def send_invoice(order: Order, services: Resource[Services] = injected) -> str:
    """Write to the customer what is to be paid."""
    return await services.do("invoice", order.number, 1)


@send_invoice.compensation(timeout=TIMEOUT, retry=UNDO)
async def void_invoice(invoice: str | None, order: Order, services: Resource[Services] = injected) -> None:
    """A cancelled invoice is one that nobody has to pay."""
    await services.undo("invoice", order.number, 1)


@step(name="demo.send_reminder", timeout=TIMEOUT, retry=PERSIST)
async def send_reminder(order: Order, count: int, services: Resource[Services] = injected) -> str:
    """Remind the customer, and note that it was necessary."""
    return await services.do("reminder", order.number, 1)


@send_reminder.compensation(timeout=TIMEOUT, retry=UNDO)
async def strike_reminder(
    reminder: str | None, order: Order, count: int, services: Resource[Services] = injected
) -> None:
    """The letter is out; that the customer was late is struck from the books."""
    await services.undo("reminder", order.number, 1)


@step(name="demo.confirm_payment", timeout=TIMEOUT, retry=PERSIST)
async def confirm_payment(order: Order, services: Resource[Services] = injected) -> str:
    """Thank for the money."""
    return await services.do("receipt", order.number, 1)


async def paid(order: Order) -> None:
    """Wait for the payment, with a reminder now and then. Raises `OrderCancelled`."""
    reminders = 0
    while True:
        try:
            answer = await customer.receive(timeout=REMIND_AFTER)
        except TimeoutError:
            reminders += 1
            await send_reminder(order, reminders)
            continue
        if answer == "cancelled":
            raise OrderCancelled(order.number)
        return


@saga(name="demo.fulfil")
async def fulfil(order: Order) -> str:
    """One order of the log, from its placing to its delivery or its cancellation."""
    await reserve(order).options(retry=PERSIST)
    await send_invoice(order)
    await paid(order)
    await charge(order).options(retry=PERSIST)
    await print_label(order).options(retry=PERSIST)
    await amends.pivot()
    async with asyncio.TaskGroup() as group:
        parcel = group.create_task(ship(order))
        group.create_task(confirm_payment(order))
    return parcel.result()
