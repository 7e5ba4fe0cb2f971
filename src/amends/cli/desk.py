"""The store as an operator sees it: find, read, follow and act, without the code of the sagas.

It needs no worker and becomes none.  Opening it never makes a store, nor a store of another program's file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import msgspec

from ..clock import SystemClock
from ..encryption.codec import Codec
from ..encryption.environment import codec_from_environment
from ..engine.backend import Backend
from ..engine.family import parked_below
from ..engine.handle import Handle
from ..engine.keys import Keys
from ..engine.listing import MOST, pages
from ..engine.operations import Operations
from ..engine.pauses import Pauses
from ..engine.queues import Queues
from ..engine.schedules.schedules import Schedules
from ..engine.status import stand
from ..ids import RandomIds
from ..kernel.entries import Row
from ..kernel.limits import Limits
from ..store import open_store
from ..store.enclosed import enclosed
from ..store.port import AuditRecord, Header, Message, Query, Store
from ..store.queueing import TaskStatus
from ..store.sqlite.checkup import must_be_store
from ..store.sqlite.liveness import holder
from .resolve import Place, must_exist

PAGE = 200


class Desk:
    """``async with Desk(place, "default") as desk: header = await desk.find("order-1001")``"""

    def __init__(
        self, place: Place, namespace: str, store: Store | None = None, codec: Codec | None = None
    ) -> None:
        self.place = place
        self.namespace = namespace
        self.clock = SystemClock()
        self._mine = store is None
        kept = open_store(place.url) if store is None else store
        self.codec = codec or codec_from_environment()
        self.store = kept if self.codec is None else enclosed(kept, self.codec, self.clock)
        self._backend = Backend(self.store, namespace, self.clock, RandomIds(), Limits())

    async def __aenter__(self) -> Self:
        if self._mine:
            must_exist(self.place)
            if self.place.file is not None and self.place.file.is_file():
                must_be_store(str(self.place.file))
            await self.store.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine:
            await self.store.close()

    # ------------------------------------------------------------ looking

    async def find(self, id: str) -> Header:
        """The execution of that id. Raises `UnknownName` with near ids."""
        return await self._backend.find(id)

    async def read(self, header: Header) -> tuple[Header, list[Row], list[Message]]:
        """A consistent copy of an execution: header, journal, waiting inbox."""
        return await self.store.read(header.uid) or (header, [], [])

    async def seen(self, header: Header) -> Header:
        """The header as its handle shows it: a nested saga that needs attention holds it."""
        status, cause = stand(header, await parked_below(self.store, header))
        return msgspec.structs.replace(header, status=status, cause=cause)

    async def children(self, header: Header) -> list[Header]:
        """Its nested sagas, oldest first."""
        query = Query(namespace=header.namespace, parent=header.uid, limit=1000)
        return (await self.store.headers(query))[::-1]

    async def audit(self, header: Header) -> list[AuditRecord]:
        """What operators did to it, oldest first."""
        return await self.store.audited(header.uid)

    async def each(self, query: Query) -> AsyncIterator[Header]:
        """All that match, newest first, read page by page."""
        async for page in pages(self.store, msgspec.structs.replace(query, limit=MOST), PAGE):
            for header in page:
                yield header

    def worker(self) -> int | None:
        """The process that serves the store; None: nobody does, 0: not known which."""
        file = self.place.file
        return 0 if file is None else holder(str(file))

    # ------------------------------------------------------------ acting

    @property
    def operations(self) -> Operations:
        """What is done to many executions at a time."""
        return Operations(self._backend)

    @property
    def schedules(self) -> Schedules:
        """What is started by the clock."""
        return Schedules(self._backend)

    @property
    def keys(self) -> Keys:
        """The keys of subjects."""
        return Keys(self._backend, self.codec)

    @property
    def queues(self) -> Queues:
        """Steps that run elsewhere."""
        return Queues(self._backend)

    @property
    def pauses(self) -> Pauses:
        """Sagas that stand still, or all of the namespace."""
        return Pauses(self._backend)

    async def tasks(self, header: Header) -> list[TaskStatus]:
        """What of an execution is with a queue, oldest first."""
        return await self.store.tasks_of(header.uid)

    def handle(self, id: str) -> Handle[Any]:
        """A handle that needs no definition; results are plain JSON values."""
        return Handle(self._backend, None, id, local=False)
