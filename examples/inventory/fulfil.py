"""An order of several lines: each line is reserved where it can be had, and what is missing is ordered later.

Three times only a part of it is undone:

- a warehouse that does not answer is left with nothing reserved, and the next one is asked;
- a line that must come from one lot (`whole`) is reserved completely or not at all;
- a customer who does not want to wait gets what there is, and the back-orders are cancelled.

And once all of it: the customer wants none of it any more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Self

from amends import Engine, Rejected, Resource, Signal, StepFailed, injected, pivot, saga, savepoint, step
from amends.participants.http import HttpClient

WAREHOUSES = ("north", "south")  # in this order


@dataclass
class Line:
    sku: str
    quantity: int
    whole: bool = False


@dataclass
class Order:
    number: str
    lines: list[Line]


@dataclass
class Part:
    """What a warehouse does about a line, or a part of it."""

    sku: str
    quantity: int
    warehouse: str


class Answer(StrEnum):
    """Of a customer who cannot have everything at once."""

    WAIT = "wait"
    WITHOUT = "without"
    CANCEL = "cancel"


answered = Signal[Answer]("inventory.answered")


class Incomplete(Exception):
    """There is not enough for a line that must be whole."""


class Unwanted(Exception):
    """The customer does not want to wait for the rest."""


class Warehouses:
    """A client for each warehouse; the engine opens and closes them."""

    def __init__(self, urls: Mapping[str, str], timeout: float = 10) -> None:
        self._clients = {name: HttpClient(url, timeout=timeout) for name, url in urls.items()}
        self._stack = AsyncExitStack()

    def __getitem__(self, name: str) -> HttpClient:
        return self._clients[name]

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


# ---------------------------------------------------------------- steps


@step(name="inventory.reserve", timeout=10, remembers_rejections=True)
async def reserve(order: str, part: Part, warehouses: Resource[Warehouses] = injected) -> Part:
    """As many as the warehouse has, up to what is wanted; none at all is a rejection."""
    wanted = {"order": order, "sku": part.sku, "quantity": part.quantity}
    reply = await warehouses[part.warehouse].post("/reservations", json=wanted)
    return Part(part.sku, reply.read(int), part.warehouse)


@reserve.compensation
async def put_back(
    done: Part | None, order: str, part: Part, warehouses: Resource[Warehouses] = injected
) -> None:
    """The warehouse knows by the key what was reserved, if anything: `done` may well be None."""
    await warehouses[part.warehouse].post("/undo")


@step(name="inventory.back_order", timeout=10, remembers_rejections=True)
async def back_order(order: str, part: Part, warehouses: Resource[Warehouses] = injected) -> Part:
    wanted = {"order": order, "sku": part.sku, "quantity": part.quantity}
    await warehouses[part.warehouse].post("/back-orders", json=wanted)
    return part


@back_order.compensation
async def cancel_back_order(
    done: Part | None, order: str, part: Part, warehouses: Resource[Warehouses] = injected
) -> None:
    await warehouses[part.warehouse].post("/undo")


@step(name="inventory.ship", timeout=10)
async def ship(order: str, part: Part, warehouses: Resource[Warehouses] = injected) -> None:
    wanted = {"order": order, "sku": part.sku, "quantity": part.quantity}
    await warehouses[part.warehouse].post("/shipments", json=wanted)


# ---------------------------------------------------------------- the saga


@saga(name="inventory.fulfil")
async def fulfil(order: Order) -> list[Part]:
    reserved = await asyncio.gather(*(reserve_line(order.number, line) for line in order.lines))
    here = [part for parts in reserved for part in parts]
    missing = [
        Part(line.sku, quantity, WAREHOUSES[0])
        for line, parts in zip(order.lines, reserved, strict=True)
        if (quantity := line.quantity - sum(part.quantity for part in parts))
    ]
    later = await order_later(order.number, missing) if missing else []
    if not here + later:
        raise Rejected("nothing is left of the order")
    await pivot()  # what is on the road does not come back
    for part in here:
        await ship(order.number, part)
    return here + later


async def reserve_line(order: str, line: Line) -> list[Part]:
    """As much as the warehouses have, one after the other; for a line that must be whole, all or nothing."""
    parts: list[Part] = []
    missing = line.quantity
    try:
        async with savepoint():
            for warehouse in WAREHOUSES:
                try:
                    parts.append(await reserve(order, Part(line.sku, missing, warehouse)))
                except StepFailed:
                    continue  # it has none, or does not answer: nothing is reserved there
                missing -= parts[-1].quantity
                if not missing:
                    break
            if missing and line.whole:
                raise Incomplete  # on the way out of the savepoint, what was reserved is put back
    except Incomplete:
        return []
    return parts


async def order_later(order: str, missing: list[Part]) -> list[Part]:
    """Back-orders what is missing, and asks the customer. Silence for three days undoes the whole order."""
    try:
        async with savepoint():
            parts = [await back_order(order, part) for part in missing]
            answer = await answered.receive(timeout=timedelta(days=3))
            if answer is Answer.CANCEL:
                raise Rejected("the customer wants none of it any more")
            if answer is Answer.WITHOUT:
                raise Unwanted
    except Unwanted:
        return []
    return parts


engine = Engine(
    "sqlite:///orders.db",
    sagas=[fulfil],
    resources=[
        Warehouses(
            {
                "north": os.environ.get("NORTH_URL", "http://127.0.0.1:8111"),
                "south": os.environ.get("SOUTH_URL", "http://127.0.0.1:8112"),
            }
        )
    ],
)
