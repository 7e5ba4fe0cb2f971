"""Participants in memory, as they should be: each remembers keys, and refuses those that were undone."""

from __future__ import annotations

from amends import Rejected, current


def key() -> str:
    """The action's key, the same when it is done and when it is undone."""
    return current().idempotency_key.rpartition("/")[0]


class Service:
    """Does things and undoes them, by key."""

    def __init__(self) -> None:
        self.done: dict[str, str] = {}
        self._undone: set[str] = set()

    async def do(self, what: str) -> str:
        if key() in self._undone:
            raise Rejected("it was undone already")
        self.done.setdefault(key(), what)
        return key()

    async def undo(self) -> None:
        self._undone.add(key())
        self.done.pop(key(), None)


class Bank:
    """Payments by an id of the caller's choice, and a balance."""

    def __init__(self) -> None:
        self.payments: dict[str, int] = {}
        self.refunds: dict[str, int] = {}
        self._refused: set[str] = set()

    async def pay(self, id: str, cents: int) -> str:
        if id in self._refused:
            raise Rejected("this payment was cancelled")
        self.payments.setdefault(id, cents)
        return id

    async def refund(self, id: str) -> None:
        self._refused.add(id)
        self.payments.pop(id, None)

    async def give(self, id: str, cents: int) -> None:
        """Money to the customer, whether or not he paid."""
        self.refunds[id] = cents

    async def find(self, cents: int) -> str | None:
        return next((id for id, paid in self.payments.items() if paid == cents), None)


class Stock:
    """Items on the shelf; reservations by (key, item)."""

    def __init__(self) -> None:
        self.reserved: dict[str, str] = {}
        self._closed: set[str] = set()

    async def take(self, id: str, item: str) -> None:
        if id in self._closed:
            raise Rejected("this order was closed")
        if item == "unicorn":
            raise Rejected("we have none")
        self.reserved[f"{id} {item}"] = item

    async def put_back(self, id: str, item: str) -> None:
        self.reserved.pop(f"{id} {item}", None)

    async def close(self, id: str) -> None:
        self._closed.add(id)
