"""A visit is booked, the customer is reminded the day before, and on the day it is carried out.

Until then it can be called off: by the customer, with a signal, or by anybody, with a cancel. What was done
is then undone, but not as if it had never been: the salon keeps a fee, and who was reminded is told that
it is off. Such compensations are called semantic.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from amends import Engine, Resource, Signal, injected, now, pivot, saga, step
from amends.participants.http import HttpClient

REMIND = timedelta(days=1)  # before the visit


@dataclass
class Booking:
    customer: str
    at: datetime
    cents: int = 40_00


@dataclass
class Ticket:
    number: str


called_off = Signal[str]("booking.called_off")
"""The customer's reason."""


class CalledOff(Exception):
    """The customer does not come."""


class Salon(HttpClient):
    """The salon's own system: a class of its own, so that steps can ask for it by type."""


def visit_of(booking: Booking) -> dict[str, object]:
    return {"customer": booking.customer, "at": booking.at.isoformat(), "cents": booking.cents}


@step(name="booking.book", timeout=10, remembers_rejections=True)
async def book(booking: Booking, salon: Resource[Salon] = injected) -> Ticket:
    return (await salon.post("/visits", json=visit_of(booking))).read(Ticket)


@book.compensation(kind="semantic")
async def call_off(ticket: Ticket | None, booking: Booking, salon: Resource[Salon] = injected) -> None:
    """The salon keeps a fee, by its own clock, and answers every attempt with the first one's fee.

    Without a ticket nobody knows whether there is a booking. If there is, it was never confirmed to the
    customer, so it is given up for nothing.
    """
    await salon.post("/visits/call-off", json={"confirmed": ticket is not None})


@step(name="booking.remind", timeout=10)
async def remind(booking: Booking, salon: Resource[Salon] = injected) -> None:
    await salon.post("/mails", json={"customer": booking.customer, "text": "see you tomorrow"})


@remind.compensation(kind="semantic", critical=False)  # nobody is woken for a mail
async def tell_that_it_is_off(sent: None, booking: Booking, salon: Resource[Salon] = injected) -> None:
    await salon.post("/mails", json={"customer": booking.customer, "text": "your visit is called off"})


@step(name="booking.carry_out", timeout=10)
async def carry_out(booking: Booking, salon: Resource[Salon] = injected) -> None:
    await salon.post("/visits/carry-out", json=visit_of(booking))


async def wait_until(moment: datetime) -> None:
    """Wait, durably, unless the customer calls off. What came before this began counts as well."""
    try:
        reason = await called_off.receive(timeout=max(moment - now(), timedelta(milliseconds=1)))
    except TimeoutError:
        return
    raise CalledOff(reason)


@saga(name="booking.visit")
async def visit(booking: Booking) -> Ticket:
    ticket = await book(booking)
    await wait_until(booking.at - REMIND)
    await remind(booking)
    await wait_until(booking.at)
    await pivot()  # the customer is in the chair
    await carry_out(booking)
    return ticket


engine = Engine(
    "sqlite:///visits.db",
    sagas=[visit],
    resources=[Salon(os.environ.get("SALON_URL", "http://127.0.0.1:8121"))],
)
