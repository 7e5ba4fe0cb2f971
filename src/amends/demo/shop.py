"""The program of the demo: an order is charged, reserved, labelled and shipped, or leaves nothing behind.

This is what a user writes. The troubles stand in the order, so that a run can be repeated from its
seed.
"""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass
from typing import Literal

import amends
from amends import Rejected, Resource, Retry, injected, saga, step

from .books import Books

Trouble = Literal[
    "none",
    "card declined",
    "out of stock",
    "answer lost once",
    "no answer, charged",
    "no answer, not charged",
    "cancelled",
]
TROUBLES: dict[Trouble, int] = {  # how often each is met, in percent
    "none": 52,
    "card declined": 9,
    "out of stock": 9,
    "answer lost once": 9,
    "no answer, charged": 6,
    "no answer, not charged": 6,
    "cancelled": 9,
}


@dataclass(frozen=True)
class Order:
    """What a customer ordered, and which trouble waits for it."""

    number: str
    cents: int
    trouble: Trouble = "none"


@dataclass(frozen=True)
class Payment:
    """What the bank gave us."""

    id: str
    cents: int


def orders(count: int, seed: int) -> list[Order]:
    """The orders of a run: the same for the same seed. Each trouble occurs when there are orders enough."""
    chance = random.Random(seed)
    kinds: list[Trouble] = list(TROUBLES)
    if count < len(kinds):
        kinds = []
    kinds += chance.choices(list(TROUBLES), list(TROUBLES.values()), k=count - len(kinds))
    chance.shuffle(kinds)
    return [
        Order(f"order-{number:04}", chance.randrange(500, 20_000), kind)
        for number, kind in enumerate(kinds, 1)
    ]


def _latency(order: Order, what: str) -> float:
    """How long a participant takes, in seconds."""
    return random.Random(f"{order.number} {what}").uniform(0.02, 0.12)


TWICE = Retry(attempts=2, delay=0.1)
SILENCE = 30.0  # seconds; far longer than any timeout here


@step(name="demo.charge", timeout=0.4, retry=TWICE)
async def charge(order: Order, books: Resource[Books] = injected) -> Payment:
    """Charge the card. The bank may charge and its answer get lost, or do nothing and be silent."""
    await asyncio.sleep(_latency(order, "charge"))
    if order.trouble == "card declined":
        raise Rejected("card declined")
    if order.trouble == "no answer, not charged":
        await asyncio.sleep(SILENCE)
    books.bank.do(order.number, order.cents)
    first = amends.current().attempt == 1
    if order.trouble == "no answer, charged" or (order.trouble == "answer lost once" and first):
        await asyncio.sleep(SILENCE)
    return Payment(f"payment-of-{order.number}", order.cents)


@charge.compensation
async def refund(payment: Payment | None, order: Order, books: Resource[Books] = injected) -> None:
    """Give the money back. Without a `payment` nobody knows whether there was one: the bank looks."""
    await asyncio.sleep(_latency(order, "refund"))
    books.bank.undo(order.number)


@step(name="demo.reserve", timeout=0.5, retry=TWICE)
async def reserve(order: Order, books: Resource[Books] = injected) -> str:
    """Take a piece from the shelf."""
    await asyncio.sleep(_latency(order, "reserve"))
    if order.trouble == "out of stock":
        raise Rejected("out of stock")
    books.warehouse.do(order.number, 1)
    return f"shelf-of-{order.number}"


@reserve.compensation
async def put_back(shelf: str | None, order: Order, books: Resource[Books] = injected) -> None:
    """Put it back."""
    await asyncio.sleep(_latency(order, "put back"))
    books.warehouse.undo(order.number)


@step(name="demo.print_label", timeout=1, retry=TWICE)
def print_label(order: Order, books: Resource[Books] = injected) -> str:
    """A plain `def`: it blocks, so it runs in a thread."""
    threading.Event().wait(_latency(order, "label"))
    books.labels.do(order.number, 1)
    return f"label-of-{order.number}"


@print_label.compensation
def void_label(label: str | None, order: Order, books: Resource[Books] = injected) -> None:
    """Make the label void."""
    books.labels.undo(order.number)


@step(name="demo.ship", timeout=0.5, retry=TWICE)
async def ship(order: Order, shelf: str, label: str, books: Resource[Books] = injected) -> str:
    """Hand the parcel over. What is on the road does not come back, hence the pivot before it."""
    await asyncio.sleep(_latency(order, "ship"))
    books.courier.do(order.number, 1)
    return f"parcel-of-{order.number}"


@saga(name="demo.place_order")
async def place_order(order: Order) -> str:
    """Every step completes, or every effect is undone."""
    await charge(order)
    async with asyncio.TaskGroup() as group:
        shelf = group.create_task(reserve(order))
        label = group.create_task(print_label(order))
    await amends.pivot()
    return await ship(order, shelf.result(), label.result())
