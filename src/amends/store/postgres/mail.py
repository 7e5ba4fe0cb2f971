"""Group commit for clients (see `gathering`): an order is a creation, or messages with their audit.  All that
wait are carried out as one statement.

Orders do not know of each other: each succeeds or fails by itself.  All are first tried as one; if that fails
on a data error (an unknown receiver, a text that cannot be stored), they are carried out one by one.

A connection that is lost meanwhile leaves it open whether they were carried out.  A creation is then done
again: where its uid, which was minted for it alone, exists already, it is the one that was created.  Messages
are not sent again: `CommitUnknown` tells the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import CommitUnknown, UnknownName
from ..gathering import Gathering
from ..port import AuditRecord, Header, Message
from . import columns
from .faults import BadWrite, Lost, is_data_error, translate
from .link import Link
from .literals import get, is_text, put
from .statement import Statements


class Order:
    """What one call asks for."""

    def __init__(
        self,
        future: asyncio.Future[Any],
        *,
        header: Header | None = None,
        messages: Sequence[Message] = (),
        audit: Sequence[AuditRecord] = (),
    ) -> None:
        self.future = future
        self.header = None if header is None else columns.header_values(header, None, 0, 0.0)
        self.messages = [(message.uid, message.key or None, message.event, None) for message in messages]
        self.audit = [columns.audit_values(record) for record in audit]


class Mail(Gathering[Order]):
    """The orders of one event loop. `written` is called after each transaction."""

    def __init__(self, link: Link, sql: Statements, channel: str, written: Callable[[], None]) -> None:
        super().__init__()
        self._link = link
        self._sql = sql
        self._channel = channel
        self._written = written

    async def create(self, header: Header) -> bool:
        """Insert an unowned execution that is due; False when its id (or uid) exists."""
        return bool(await self._place(Order(self._loop.create_future(), header=header)))

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord]) -> None:
        """Put messages into inboxes, all of them or none. Raises `UnknownName`."""
        await self._place(Order(self._loop.create_future(), messages=messages, audit=audit))

    async def _place(self, order: Order) -> Any:
        self._link.check_open()
        return await super()._place(order)

    async def _carry_out(self, orders: list[Order]) -> None:
        try:
            results = await self._together(orders)
        except Exception as error:
            if not is_data_error(error):
                raise translate(error, self._link.where) from error
            if len(orders) > 1:
                for order in orders:
                    await self._alone(order)
                return
            raise await self._explain(orders[0], error) from error
        self._written()
        for order, result in zip(orders, results, strict=True):
            if not order.future.done():
                order.future.set_result(result)

    async def _alone(self, order: Order) -> None:
        try:
            await self._carry_out([order])
        except Exception as error:  # noqa: BLE001  # this caller's error
            if not order.future.done():
                order.future.set_exception(error)

    async def _together(self, orders: list[Order]) -> list[bool]:
        started = [order.header for order in orders if order.header is not None]
        posted = [message for order in orders for message in order.messages]
        audited = [record for order in orders for record in order.audit]
        if len({header[0] for header in started}) != len(started):
            raise BadWrite("one uid twice: which of them was inserted only shows one by one")
        values = {"me": "0", "channel": self._channel}
        parts: list[str] = []
        if started:
            columns.STARTED.put(values, started)
            parts.append("started")
        if posted:
            columns.POSTED.put(values, posted)
            columns.HEADS.put(values, ())
            parts += ["locked", "posted", "news", "heads"]
        if audited:
            columns.AUDITED.put(values, audited)
            parts.append("audited")
        if not parts:
            return [False] * len(orders)
        try:
            answer = await self._link.ask(self._sql.write(tuple(parts), fenced=False), values)
        except Lost as error:
            if posted or audited:
                raise CommitUnknown(
                    f"the connection was lost while sending: {error}",
                    hint="look at the execution before sending again",
                ) from error
            return [await self._created(order) for order in orders]
        new = set(answer.get("started", ()))
        return [order.header is not None and put(order.header[0]) in new for order in orders]

    async def _created(self, order: Order) -> bool:
        """Whether a creation stands whose answer was lost: created now, or found as it was created then."""
        assert order.header is not None
        values = {"me": "0", "channel": self._channel}
        columns.STARTED.put(values, [order.header])
        statement = self._sql.write(("started",), fenced=False)
        answer = dict(zip(statement.names, (await self._link.read(statement.text, values))[0], strict=True))
        if answer["started"]:
            return True
        uid, namespace, id = order.header[:3]
        found = await self._link.read(self._sql["by_id"], {"namespace": put(namespace), "id": put(id)})
        return bool(found) and get(found[0][0]) == uid

    async def _explain(self, order: Order, error: Exception) -> BaseException:
        """An unknown receiver is told before anything else that may be wrong."""
        for uid, *_ in order.messages:
            if not is_text(uid) or not await self._link.read(self._sql["num"], {"uid": put(uid)}):
                return UnknownName(f"no execution has the uid {uid!r}; nothing was sent")
        return translate(error, self._link.where)
