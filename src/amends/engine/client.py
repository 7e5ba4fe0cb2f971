"""A client: starts, watches and talks to executions that workers elsewhere serve."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ..clock import SystemClock
from ..definition.saga import Saga, SagaCall
from ..encryption.codec import Codec
from ..ids import RandomIds
from ..kernel.limits import Limits
from ..store.enclosed import enclosed
from ..store.places import stores_of
from ..store.port import Store
from .backend import Backend
from .crashes import arm_store
from .given import store_of
from .handle import Handle
from .joining import enlistment, joined
from .keys import Keys, begin
from .listing import Filters, listing
from .operations import Operations
from .pauses import Pauses
from .queues import Queues
from .room import hold_back
from .schedules.schedules import Schedules
from .status import Status

R = TypeVar("R")


class Client:
    """``async with Client("sqlite:///orders.db") as client: await client.start(place_order(order), id=…)``

    Its attribute `operations` acts on many executions at a time (see `Operations`), `schedules` starts sagas
    by the clock (see `Schedules`), `queues` shows and limits queues (see `Queues`), `pauses` lets sagas stand
    still (see `Pauses`), `keys` are those of a `codec` (see `Keys`).  codec: that of the engines.
    """

    def __init__(
        self,
        url: str | Store,
        *,
        namespace: str = "default",
        limits: Limits | None = None,
        codec: Codec | None = None,
    ) -> None:
        self._store = store_of(url, "Client")
        for each in stores_of(self._store):
            arm_store(each)
        clock = SystemClock()
        store = self._store if codec is None else enclosed(self._store, codec, clock)
        self._backend = Backend(store, namespace, clock, RandomIds(), limits or Limits())
        self.keys = Keys(self._backend, codec)
        self.operations = Operations(self._backend)
        self.schedules = Schedules(self._backend)
        self.queues = Queues(self._backend)
        self.pauses = Pauses(self._backend)

    async def __aenter__(self) -> Self:
        await self._store.open()
        self._backend.closed = False
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.close()
        await self._store.close()

    async def start(
        self,
        call: SagaCall[R],
        *,
        id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        connection: object | None = None,
        subject: str | None = None,
    ) -> Handle[R]:
        """Begin an execution; durable when this returns. A worker takes it from there.

        subject: whose key encrypts its payloads (default: as the saga says); needs a codec with keys.

        Of a saga with a `room` it waits for that, and raises `QueueFull` when there is none in time.

        connection: your own, to the store's database (psycopg, asyncpg, SQLAlchemy, Django; apsw or sqlite3),
        with a transaction open. The execution is then part of that: it exists exactly when you commit, and
        workers take it then. Raises `NoTransaction` when the connection commits every statement by itself,
        `StoreError` when it leads to another database.
        """
        await hold_back(self._backend, self.queues, call, id, waits=connection is None)
        header = self._backend.header_for(call, id, attributes)
        store = self._backend.store
        if store is not self._store or subject is not None:
            await begin(store, header, call, subject)
        if connection is None:
            header = await self._backend.create(header, call)
        else:
            header = await joined(await enlistment(store), header, call, connection)
        return Handle(self._backend, call.saga, header.id, header.uid, local=False)

    async def run(self, call: SagaCall[R], *, id: str | None = None, subject: str | None = None) -> R:
        """`start`, then `Handle.result`."""
        return await (await self.start(call, id=id, subject=subject)).result()

    def handle(self, saga: Saga[..., R], id: str) -> Handle[R]:
        """A handle of an execution that exists (checked at its first use)."""
        return Handle(self._backend, saga, id, local=False)

    async def list(self, **filters: Unpack[Filters]) -> list[Status]:
        """Executions, newest first, by the same filters as `Engine.list`."""
        return await listing(self._backend, filters)
