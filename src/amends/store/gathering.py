"""What clients ask for at about the same time shares one transaction.

An order waits until the event loop comes round, or until the transaction in flight has ended; then all that
wait are carried out together.  Ten thousand signals sent at once thus cost a few dozen commits, and a single
one waits for nothing.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

MOST = 1000
"""Orders in one transaction."""


class Awaited(Protocol):
    """What one call asks for; its caller waits for `future`."""

    future: asyncio.Future[Any]


T = TypeVar("T", bound=Awaited)


class Gathering(ABC, Generic[T]):
    """The orders of one event loop. A store says how they are carried out."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[T] = []
        self._flight: asyncio.Task[None] | None = None
        self._called = False

    @abstractmethod
    async def _carry_out(self, orders: list[T]) -> None:
        """Carry them out and answer each. Whatever is raised is the answer to all that have none yet."""

    def _at_once(self, orders: list[T]) -> bool:
        """Carry them out without waiting, if that can be done quickly; raises as `_carry_out` does."""
        return False

    async def _place(self, order: T) -> Any:
        self._waiting.append(order)
        self._call()
        return await order.future

    def _call(self) -> None:
        if not self._called and self._flight is None:
            self._called = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._called = False
        orders = [order for order in self._waiting[:MOST] if not order.future.cancelled()]
        del self._waiting[:MOST]
        if not orders:  # all of these were cancelled; more may stand behind them
            if self._waiting:
                self._call()
            return
        try:
            done = self._at_once(orders)
        except Exception as error:  # noqa: BLE001 - the callers' error
            fail(orders, error)
            done = True
        if not done:
            self._flight = self._loop.create_task(self._fly(orders))
        elif self._waiting:
            self._call()

    async def _fly(self, orders: list[T]) -> None:
        try:
            await self._carry_out(orders)
        except Exception as error:  # noqa: BLE001 - the callers' error
            fail(orders, error)
        finally:
            self._flight = None
            if self._waiting:
                self._call()


def fail(orders: Sequence[Awaited], error: BaseException) -> None:
    """Tell all that have no answer yet."""
    for order in orders:
        if not order.future.done():
            order.future.set_exception(error)
