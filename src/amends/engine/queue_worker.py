"""A worker of queues alone: it runs steps, and no sagas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..clock import Clock, SystemClock
from ..encryption.codec import Codec
from ..errors import DefinitionError
from ..store.enclosed import enclosed
from ..store.places import stores_of
from ..store.port import Store
from ..worker.queues.server import Server
from ..worker.resources import Resources
from ..worker.settings import Settings
from .given import registry_of, store_of
from .queues import names, server_of
from .reaching import reach
from .signals import told_to_stop

if TYPE_CHECKING:
    from .engine import Engine


class QueueWorker:
    """``async with QueueWorker("postgresql://…", queues=["emails"], resources=[…]): …``

    It needs the modules of the steps and nothing of the sagas. Any number of them serve a store, a file's
    too: it is no worker of executions, and never becomes one.  url: the store, or its URL.  queues: which it
    serves. steps: objects whose methods are steps.  resources: as of `Engine`.  namespace and settings:
    likewise (`steps`, `threads`, `poll`, `grace` and `lease` matter here).  codec: that of the engines.

    Raises `DefinitionError` without a queue.
    """

    def __init__(
        self,
        url: str | Store,
        *,
        queues: Sequence[str],
        steps: Sequence[Any] = (),
        resources: Sequence[Any] = (),
        namespace: str = "default",
        settings: Settings | None = None,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.queues = names(queues)
        if not self.queues:
            raise DefinitionError(
                "a queue worker serves at least one queue, got none", hint='queues=["emails"]'
            )
        self.settings = settings or Settings()
        self.store: Store = store_of(url, "QueueWorker")
        self._registry = registry_of((), steps)
        self._resources = Resources(tuple(resources))
        self._namespace = namespace
        self._clock = clock or SystemClock()
        self._codec = codec
        self._servers: list[Server] = []
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    def like(cls, engine: Engine, queues: Sequence[str]) -> Self:
        """One that has an engine's store, namespace, steps, resources, settings and codec, for a process in
        which the engine itself is not entered."""
        worker = cls(
            engine.store,
            queues=queues,
            resources=engine._resources.given,
            namespace=engine.namespace,
            settings=engine.settings,
            codec=engine.codec,
            clock=engine._clock,
        )
        worker._registry = engine._registry
        return worker

    async def __aenter__(self) -> Self:
        """Open the store and the resources, and begin. Raises `UnknownName` for a queue without steps
        here."""
        await self.store.open()
        try:
            await self._resources.open()
            self._servers = [self._server_of(each) for each in stores_of(self.store)]
        except BaseException:
            await self._close()
            raise
        self._serving = asyncio.get_running_loop().create_task(self._serve_all())
        return self

    def _server_of(self, store: Store) -> Server:
        codec = self._codec
        return server_of(
            store if codec is None else enclosed(store, codec, self._clock, keys=self.store),
            self._registry,
            self._resources,
            self._clock,
            self.settings,
            self.queues,
            namespace=self._namespace,
            told=_nobody,
        )

    async def _serve_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.run())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take nothing more; what runs may end (within `settings.grace` seconds)."""
        assert self._serving is not None
        try:
            await asyncio.gather(*(server.drain(self.settings.grace) for server in self._servers))
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            await self._resources.close()
        finally:
            await self.store.close()

    @property
    def running(self) -> int:
        """How many tasks run here."""
        return sum(server.running for server in self._servers)

    async def until_asked(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises what ended its serving, if that ends by itself."""
        assert self._serving is not None
        asked = asyncio.get_running_loop().create_task(stop.wait())
        try:
            await asyncio.wait(  # noqa: TID251 - two tasks
                {self._serving, asked}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            asked.cancel()
        if self._serving.done():
            self._serving.result()

    async def serve(self) -> None:
        """Work until SIGTERM or SIGINT, then drain. A server that is not there yet is waited for.

        Raises `Refused` outside of the main thread.
        """
        with told_to_stop() as stop:
            if await reach(self.store, stop):
                async with self:
                    await self.until_asked(stop)


def _nobody() -> None:
    """Owners are elsewhere."""
