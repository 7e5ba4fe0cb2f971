"""Group commit for clients (see `gathering`): an order is a creation, or messages with their audit.

Orders do not know of each other: each succeeds or fails by itself.  All are first tried as one; if one of
them is bad (an unknown receiver, a text that cannot be stored), they are carried out again one by one, each
under a savepoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ...errors import UnknownName
from ..gathering import Gathering
from ..port import AuditRecord, Header, Message
from . import commit
from .faults import BadWrite, is_data_error, translate
from .sql import load
from .writer import NOT_NOW, Writer

_AUDIT = load("control.sql").bulk("audit")


class Order:
    """What one call asks for. `created`: the row of a header, as the statement wants it."""

    def __init__(
        self,
        future: asyncio.Future[Any],
        *,
        created: tuple[Any, ...] = (),
        messages: Sequence[Message] = (),
        audit: Sequence[AuditRecord] = (),
    ) -> None:
        self.future = future
        self.created = created
        self.messages = [(message.uid, message.key or None, message.event) for message in messages]
        self.audit = [(r.at, r.uid, r.by, r.action, r.reason, r.detail) for r in audit]
        self.result: bool | None = None
        self.failure: BaseException | None = None


class Mail(Gathering[Order]):
    """The orders of one event loop. `written` is called after each transaction that changed something."""

    def __init__(self, writer: Writer, most_at_once: int, written: Callable[[], None]) -> None:
        super().__init__()
        self._writer = writer
        self._most_at_once = most_at_once  # in the caller's thread
        self._written = written

    async def create(self, header: Header) -> bool:
        """Insert an unowned execution that is due; False when its id (or uid) exists."""
        order = Order(self._loop.create_future(), created=commit.header_values(header, None, 0.0))
        return bool(await self._place(order))

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord]) -> None:
        """Put messages into inboxes, all of them or none. Raises `UnknownName`."""
        await self._place(Order(self._loop.create_future(), messages=messages, audit=audit))

    async def _place(self, order: Order) -> Any:
        self._writer.check_open()
        return await super()._place(order)

    def _at_once(self, orders: list[Order]) -> bool:
        if len(orders) > self._most_at_once or self._writer.now(lambda db: carry_out(db, orders)) is NOT_NOW:
            return False
        self._answer(orders)
        return True

    async def _carry_out(self, orders: list[Order]) -> None:
        await self._writer.run(lambda db: carry_out(db, orders))
        self._answer(orders)

    def _answer(self, orders: list[Order]) -> None:
        self._written()
        for order in orders:
            if order.future.done():
                continue
            if order.failure is not None:
                order.future.set_exception(order.failure)
            else:
                order.future.set_result(order.result)


def carry_out(db: apsw.Connection, orders: list[Order]) -> None:
    """All orders, in the caller's transaction. A single one that is bad raises; of several, it alone
    fails."""
    if len(orders) == 1:
        _together(db, orders)
        return
    db.execute("SAVEPOINT amends_mail")
    try:
        _together(db, orders)
    except Exception as error:
        if not (isinstance(error, UnknownName) or is_data_error(error)) or not db.in_transaction:
            raise
        db.execute("ROLLBACK TO amends_mail")
        for order in orders:
            _alone(db, order)
    db.execute("RELEASE amends_mail")


def _alone(db: apsw.Connection, order: Order) -> None:
    db.execute("SAVEPOINT amends_order")
    try:
        _together(db, [order])
    except Exception as error:
        if not (isinstance(error, UnknownName) or is_data_error(error)) or not db.in_transaction:
            raise
        db.execute("ROLLBACK TO amends_order")
        order.failure = translate(error, "")
    db.execute("RELEASE amends_order")


def _together(db: apsw.Connection, orders: list[Order]) -> None:
    created = [value for order in orders for value in order.created]
    if created:
        new = set(commit.insert(db, created))
        uids = [order.created[0] for order in orders if order.created]
        if len(set(uids)) != len(uids):
            raise BadWrite("one uid twice: which of them was inserted only shows one by one")
        for order in orders:
            order.result = bool(order.created) and order.created[0] in new
    messages = [message for order in orders for message in order.messages]
    if messages:
        try:
            commit.post(db, messages, _unknown)
        except commit.UnknownReceiver as error:
            raise UnknownName(f"no execution has the uid {error.uid!r}; nothing was sent") from error
    _AUDIT.run(db.execute, [value for order in orders for record in order.audit for value in record])


def _unknown(_: str) -> None:
    return None
