"""An order is paid and screened; if the screening says no, the money goes back.

What can go wrong with a payment, and what is done about it:

- the card is declined: certainly nothing was charged, and there is nothing to undo;
- a reply is lost: the same key is sent again, and if no reply ever comes, a probe asks what became of it;
- nobody can tell: the outcome is unknown, and the payment is refunded in case it was made;
- a refund is accepted and not yet booked: accepted is not done, so it is verified until it is;
- a refund bounces: no further attempt helps, a person must decide.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from amends import Engine, Rejected, Resource, Retry, injected, saga, step
from amends.participants.http import HttpClient


@dataclass
class Order:
    number: str
    card: str
    cents: int
    address: str = "1 Main Street"


@dataclass
class Payment:
    id: str
    cents: int


class Provider(HttpClient):
    """The payment provider: a class of its own, so that steps can ask for it by type."""


class RefundBounced(Exception):
    """The card's bank does not take the money back."""


@step(
    name="payment.charge",
    timeout=20,
    retry=Retry(attempts=3, delay=0.1),
    remembers_rejections=True,  # the provider has the barrier: what it declined once it declines always
)
async def charge(order: Order, provider: Resource[Provider] = injected) -> Payment:
    wanted = {"order": order.number, "card": order.card, "cents": order.cents}
    return (await provider.post("/payments", json=wanted)).read(Payment)


@charge.probe
async def find_payment(order: Order, provider: Resource[Provider] = injected) -> object:
    """Asked when all attempts ended without a clear answer. 410: not charged, and the key is sealed."""
    return await provider.probe("/payments/by-key", Payment, sealed=[410])


@charge.compensation(retry=Retry(attempts=20, delay=0.1, cap=3600, never=(RefundBounced,)))
async def refund(payment: Payment | None, order: Order, provider: Resource[Provider] = injected) -> None:
    """The provider knows by the key what was charged, if anything: `payment` may well be None."""
    await provider.post("/refunds")


@charge.verify
async def is_refunded(payment: Payment | None, order: Order, provider: Resource[Provider] = injected) -> bool:
    """Accepted is not done: until this is true the refund is tried again, which costs a duplicate."""
    state = (await provider.get("/refunds/by-key")).read(str)
    if state == "bounced":
        raise RefundBounced(f"{order.cents} cents for order {order.number}: pay them back another way")
    return state in ("booked", "nothing")


@step(name="payment.screen")
async def screen(order: Order) -> None:
    """Looks for fraud. It has no effect, so there is nothing to undo; it may say no, so the charge has."""
    if order.address == "nowhere":
        raise Rejected("the address does not exist")


@saga(name="payment.buy")
async def buy(order: Order) -> str:
    payment = await charge(order)
    await screen(order)
    return payment.id


engine = Engine(
    "sqlite:///shop.db",
    sagas=[buy],
    resources=[Provider(os.environ.get("PROVIDER_URL", "http://127.0.0.1:8101"))],
)
