"""What the graphs of these tests use: a few steps of a shop, by durable names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from amends import Resource, injected, step
from amends.definition.registry import REGISTRY


class Bank:
    """A resource."""


@dataclass
class Order:
    number: str
    cents: int = 100
    note: str | None = None


@pytest.fixture(autouse=True)
def _definitions() -> Iterator[None]:
    """What a test defines goes with it."""
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    REGISTRY.steps.clear()
    REGISTRY.sagas.clear()
    _define()
    yield
    REGISTRY.steps.clear()
    REGISTRY.steps.update(steps)
    REGISTRY.sagas.clear()
    REGISTRY.sagas.update(sagas)


def _define() -> None:
    @step(name="shop.charge")
    async def charge(order: Order, cents: int = 0, bank: Resource[Bank] = injected) -> str:
        return f"p-{order.number}"

    @charge.compensation
    async def refund(payment: str | None, order: Order, cents: int = 0) -> None:
        return None

    @step(name="shop.reserve")
    async def reserve(sku: str, count: int) -> dict[str, int]:
        return {sku: count}

    @step(name="shop.unreserve")
    async def unreserve(stock: dict[str, int] | None, sku: str) -> None:
        return None
