"""What clients and the dashboard do with the store: create, send, find, read, unpark."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ...errors import Refused, UnknownName
from ...kernel.entries import Row
from ..enlisting import Enlistment
from ..port import AuditRecord, Header, History, Message, Query
from . import archive, reading
from .enlisting import IDENTIFY, enlistment
from .link import Rows, Run
from .literals import put
from .mail import Mail
from .worker_side import WorkerPart

T = TypeVar("T")


class ClientPart(WorkerPart):
    """The client's side of the port."""

    _identity: Rows | None = None

    async def create(self, header: Header) -> bool:
        """Add an unowned execution, due now. False: that (namespace, id) exists; nothing changed."""
        return await self._mail().create(header)

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """Put messages into inboxes and wake their receivers, with the audit records: all or nothing."""
        await self._mail().send(messages, audit)

    async def unpark(self, uid: str, audit: AuditRecord) -> None:
        """Make an execution parked by `park` claimable again, with its status before."""
        told = {name: put(getattr(audit, name)) for name in ("by", "action", "reason", "detail")}
        values = {"uid": put(uid), "told": put(audit.uid), "at": audit.at, "channel": self._channel, **told}
        with self._changing("look at the execution, then try again"):
            unparked, exists = (await self._control.fetch(self._sql["unpark"], values))[0]
        if not exists:
            raise UnknownName(f"no execution has the uid {uid!r}")
        if not unparked:
            raise Refused(
                f"execution {uid} is not parked", hint="send it a message instead; look at its status first"
            )
        self._wrote()

    async def enlistment(self) -> Enlistment:
        """How an execution is created on a connection of the caller's. Raises `StoreError` unless open."""
        if self._identity is None:
            self._identity = await self._ask(IDENTIFY, {})
        return enlistment(self.schema, self._channel, self.where, self._identity)

    def _mail(self) -> Mail:
        loop = asyncio.get_running_loop()
        mail = self._mails.get(loop)
        if mail is None:
            mail = self._mails[loop] = Mail(self._control, self._sql, self._channel, self._wrote)
        return mail

    async def find(self, namespace: str, id: str) -> Header | None:
        """The execution of that id, or None."""
        found = await self._read("by_id", namespace=put(namespace), id=put(id))
        return reading.header(found[0]) if found else None

    async def headers(self, query: Query) -> list[Header]:
        """Headers that match, newest first."""
        sql, values = reading.select(query, self.schema)
        return [reading.header(row) for row in await self._ask(sql, values)]

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """A consistent copy of an execution, its journal and its waiting inbox; changes nothing."""
        loaded = await self._read("load_one", uid=put(uid))
        return reading.history(loaded[0])[1] if loaded else None

    async def audited(self, uid: str) -> list[AuditRecord]:
        """The audit records of an execution, oldest first."""
        return [reading.audit(row) for row in await self._read("audited", uid=put(uid))]

    async def prune(self, uids: Sequence[str], before: float) -> list[str]:
        """Delete roots that are over, with all that is nested in them, in one transaction."""
        return await self._together(lambda run: archive.prune(run, self._sql, uids, before))

    async def restore(self, histories: Sequence[History]) -> bool:
        """Add executions with all that is kept of them, all or none."""
        try:
            await self._together(lambda run: archive.restore(run, self._sql, self._channel, histories))
        except archive.Taken:
            return False
        self._wrote()
        return True

    async def _together(self, work: Callable[[Run], Awaitable[T]]) -> T:
        """Several statements as one transaction."""
        with self._changing("do it again: what was done is found done"):
            return await self._control.transact(work)
