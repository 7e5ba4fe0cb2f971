"""Who orders: customers drawn from the seed, or those of a process log at a compressed pace.

They only use a `Client`: what they start, cancel and send is durable whether a worker lives or not.
The log's customers read their letters, the invoice and the reminders, in the payment service's books,
and answer the one that they answered in the log.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from amends import Client, Handle, Refused

from .company import REMIND_AFTER, customer, fulfil
from .history import History
from .services.books import book_path, look
from .shop import Order, place_order

ARRIVALS = 6.0  # seconds in which the orders of a run come in, when there are few
RATE = 100.0  # orders a second, when there are many
IMPATIENT = 0.06  # share of those who cancel
DAY = REMIND_AFTER / 7  # what a day of the log lasts: the company reminds after a week
SOON = 0.25 * REMIND_AFTER
"""Whoever was spared a reminder in the log answers within this, so that no restart brings them one."""
LOOK = 0.05  # seconds between looks into the letter box


class Customers(Protocol):
    """What the run needs of them."""

    handles: dict[str, Handle[str]]
    total: int

    async def order(self, client: Client) -> None:
        """Start all orders, and say all that there is to say about them."""
        ...


class Shoppers:
    """Customers from the seed. Some change their minds."""

    def __init__(self, total: int, seed: int) -> None:
        chance = random.Random(seed)
        self.total = total
        self.handles: dict[str, Handle[str]] = {}
        self._orders = [Order(f"order-{n:04}", chance.randrange(500, 20_000)) for n in range(1, total + 1)]
        self._regrets = {
            o.number: chance.uniform(0, 0.5) for o in self._orders if chance.random() < IMPATIENT
        }

    async def order(self, client: Client) -> None:
        """Order, one after the other; some cancel soon after."""
        pause = min(0.05, max(ARRIVALS, self.total / RATE) / self.total)
        async with asyncio.TaskGroup() as group:
            for order in self._orders:
                handle = await client.start(place_order(order), id=order.number)
                self.handles[order.number] = handle
                if order.number in self._regrets:
                    group.create_task(self._cancel(handle, self._regrets[order.number]))
                await asyncio.sleep(pause)

    async def _cancel(self, handle: Handle[str], after: float) -> None:
        await asyncio.sleep(after)
        with suppress(Refused):  # it has ended meanwhile
            await handle.cancel("the customer changed their mind")


class Clients:
    """The customers of a process log."""

    def __init__(self, histories: Sequence[History], seed: int, folder: Path) -> None:
        self.total = len(histories)
        self.handles: dict[str, Handle[str]] = {}
        self._histories = {history.order: history for history in histories}
        self._chance = random.Random(seed)
        self._letters = book_path(folder, "payment")
        self._waiting = {history.order for history in histories}

    async def order(self, client: Client) -> None:
        """Order as in the log, read letters, and answer as in the log."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_letters(group))
            await self._place(client, group)

    async def _place(self, client: Client, group: asyncio.TaskGroup) -> None:
        last = max(history.placed for history in self._histories.values()) or 1.0
        pace = max(ARRIVALS, self.total / RATE) / last
        began = asyncio.get_running_loop().time()
        for history in self._histories.values():
            await asyncio.sleep(began + history.placed * pace - asyncio.get_running_loop().time())
            order = Order(history.order, self._chance.randrange(500, 20_000))
            self.handles[history.order] = await client.start(fulfil(order), id=history.order)
            if not history.letters:  # paid before there was an invoice
                self._waiting.discard(history.order)
                group.create_task(self._answer(history))

    async def _read_letters(self, group: asyncio.TaskGroup) -> None:
        """Look for new letters until everybody has got the one that they answer."""
        got: dict[str, int] = {}
        seen = 0
        while self._waiting:
            sql = f"SELECT id, order_id, account FROM ledger WHERE id > {seen} AND amount > 0 ORDER BY id"  # noqa: S608
            for number, order, account in look(self._letters, sql):
                seen = number
                if account not in ("invoice", "reminder"):
                    continue
                got[order] = got.get(order, 0) + 1
                if got[order] == self._histories[order].letters:
                    self._waiting.discard(order)
                    group.create_task(self._answer(self._histories[order]))
            await asyncio.sleep(LOOK)

    async def _answer(self, history: History) -> None:
        await asyncio.sleep(min(max(0.0, history.days) * DAY, SOON))
        await self.handles[history.order].send(customer, history.answer)
