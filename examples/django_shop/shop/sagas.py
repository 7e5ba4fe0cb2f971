"""The order saga. One step asks the warehouse over HTTP, the other uses the ORM; a barrier guards both."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings
from django.db import close_old_connections, connection

from amends import Engine, Rejected, Resource, Retry, current, injected, saga, step
from amends.participants.barrier import Barrier
from amends.participants.http import HttpClient

from .models import Payment

LIMIT = 100_000  # cents that a card is good for
TRY = Retry(attempts=8, delay=0.5, cap=5)
UNDO = Retry(attempts=None, delay=0.5, cap=60)

barrier = Barrier()


@dataclass(frozen=True)
class Order:
    number: str
    item: str
    pieces: int
    cents: int


class Warehouse(HttpClient):
    """A service; here it is the site itself (`views.take`), elsewhere it is somebody else's."""


@step(name="shop.take", timeout=30, retry=TRY, remembers_rejections=True)
async def take(order: Order, warehouse: Resource[Warehouse] = injected) -> None:
    await warehouse.post(f"/warehouse/{order.item}/take", json=order)


@take.compensation(timeout=30, retry=UNDO)
async def put_back(nothing: None, order: Order, warehouse: Resource[Warehouse] = injected) -> None:
    await warehouse.post(f"/warehouse/{order.item}/put_back", json=order)


@step(name="shop.charge", timeout=30, retry=TRY, remembers_rejections=True)
def charge(order: Order) -> None:
    pay(order, order.cents)


@charge.compensation(timeout=30, retry=UNDO)
def refund(nothing: None, order: Order) -> None:
    # Nobody needs to know whether it was charged at all: if it was not, the barrier lets nothing happen.
    pay(order, -order.cents)


def pay(order: Order, cents: int) -> None:
    """A line in the books, in one transaction with the barrier's: once, however often it is tried.

    A `def` step runs in a thread, so it may use the ORM.
    """

    def work() -> None:
        if cents > LIMIT:
            raise Rejected("card declined")
        Payment.objects.create(order=order.number, cents=cents)

    close_old_connections()  # threads live long, connections may not
    barrier.run(connection, current().idempotency_key, work)
    time.sleep(settings.SLOW)


@saga(name="shop.place_order")
async def place_order(order: Order) -> str:
    await take(order)
    await charge(order)
    return f"{order.pieces} x {order.item} for {order.cents} cents"


def engine() -> Engine:
    """For the process that works (``manage.py work``) and for scripts that wait (``manage.py place``)."""
    return Engine(settings.AMENDS_STORE, sagas=[place_order], resources=[Warehouse(settings.WAREHOUSE)])
