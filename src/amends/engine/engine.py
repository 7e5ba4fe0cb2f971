"""The engine: a store, a worker and the client API in one process.

It registers a worker incarnation with the store and keeps it: when ownership is lost or a commit's
fate is unknown, the incarnation is retired and the next one reads everything again.  Where another
worker serves the store already, the engine stands by: it can start, send and wait meanwhile, and
takes over when the other is gone.  (All that is in `post`: of a store on several servers an engine
has a worker at each.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ..clock import Clock, SystemClock
from ..definition.saga import Saga, SagaCall
from ..dialects.graph import Graph
from ..encryption.codec import Codec
from ..errors import EngineClosed
from ..ids import Ids, RandomIds
from ..store.enclosed import enclosed
from ..store.enlisting import Enlistment
from ..store.places import place_of, stores_of
from ..store.port import Header, Store
from ..worker.live import Live
from ..worker.resources import Resources
from ..worker.settings import Settings
from ..worker.worker import Worker
from . import collector, crashes
from .backend import Backend, Resident, ask_again_in_time, must_be_call
from .given import registry_of, store_of
from .handle import Handle
from .health import health as answering
from .health import report_of
from .joining import enlistment, joined
from .keys import Keys, begin
from .listing import Filters, listing
from .operations import Operations
from .outcome import result_of
from .pauses import Pauses
from .post import Post
from .queues import Queues, names
from .reaching import reach
from .room import hold_back
from .schedules.running import Starter
from .schedules.schedules import Schedules
from .signals import told_to_stop
from .status import Status
from .sync import Sync

R = TypeVar("R")
_log = logging.getLogger("amends.engine")


class Engine:
    """``async with Engine("sqlite:///orders.db", sagas=[place_order]) as engine: …``

    url: where executions are kept (``sqlite:///file.db``, ``memory://``, ``postgresql://…``; several of these
    with spaces between: docs/places.md), or a `Store`.  sagas: definitions this worker serves; bound methods
    serve their object's steps too.  steps: objects whose methods are steps.  resources: (async) context
    managers opened with the worker and given to steps by type.  queues: whose steps run here, too (see
    `QueueWorker` for processes that do only that).  namespace: keeps ids apart.  settings: see `Settings`.

    Its attribute `operations` acts on many executions at a time (see `Operations`), `schedules` starts sagas
    by the clock (see `Schedules`), `queues` shows and limits queues (see `Queues`), `pauses` lets sagas stand
    still (see `Pauses`), `keys` are those of a `codec`, which encrypts payloads (see `amends.encryption`).
    """

    _post = Post

    def __init__(
        self,
        url: str | Store = "memory://",
        *,
        sagas: Sequence[Saga[..., Any] | Graph] = (),
        steps: Sequence[Any] = (),
        resources: Sequence[Any] = (),
        queues: Sequence[str] = (),
        namespace: str = "default",
        settings: Settings | None = None,
        codec: Codec | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._store: Store = store_of(url, "Engine")
        for each in stores_of(self._store):
            crashes.arm_store(each)
        self._registry = registry_of(sagas, steps)
        self._backend = self._backend_of(self._store, codec, namespace, ids or RandomIds())
        self._backend.resident = self._resident
        self._backend.stir = self._stir
        self.codec = codec
        self.keys = Keys(self._backend, codec)
        self.operations = Operations(self._backend)
        self.schedules = Schedules(self._backend, self._stir)
        self.queues = Queues(self._backend, self._stir_server)
        self.pauses = Pauses(self._backend, self._stir, self._registry)
        self._served = names(queues)
        self._posts = self._make_posts(codec)
        self._resources = Resources(tuple(resources), (Starter(self._backend, self._stir),))
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._closed: asyncio.Event | None = None
        self._entered = False

    def _backend_of(self, store: Store, codec: Codec | None, namespace: str, ids: Ids) -> Backend:
        if codec is not None:
            store = enclosed(store, codec, self._clock, keys=self._store)
        return Backend(store, namespace, self._clock, ids, self.settings.limits)

    def _make_posts(self, codec: Codec | None) -> list[Post]:
        """One for all, or one at each server."""
        stores, whole = stores_of(self._store), self._backend
        if stores[0] is self._store:
            return [self._post(self, whole.store, whole, alone=True)]
        parts = [self._backend_of(each, codec, whole.namespace, whole.ids) for each in stores]
        return [self._post(self, each.store, each, alone=False) for each in parts]

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        """Open the store and the resources, recover what was in flight, and begin to work."""
        if self._entered:
            raise EngineClosed("this engine was entered before", hint="make a new Engine")
        self._entered = True
        try:
            await self._store.open()
            await self._resources.open()
            for post in self._posts if self._served else ():
                post.serve(self._served)
            for post in self._posts:
                await post.begin()
        except BaseException:
            self._closing = True
            await self._leave()
            raise
        if self.settings.tune_gc:
            collector.relax()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain: running steps end (within `settings.grace` seconds) and are journaled."""
        await self.close()

    async def close(self) -> None:
        """Drain and close; executions go on where they are when a worker serves them again.

        Whoever closes it meanwhile waits, too; whoever waits for an execution hears `EngineClosed`.
        """
        if self._closing:
            if self._closed is not None:
                await self._closed.wait()
            return
        self._closing = True
        self._closed = asyncio.Event()
        if self._entered and self.settings.tune_gc:
            collector.restore()
        try:
            await self._leave()
        finally:
            self._closed.set()

    async def _leave(self) -> None:
        """Drain, then end and close all that was begun and opened, whichever of them raises."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._store.close)
            stack.push_async_callback(self._resources.close)
            stack.callback(self._backend.close)
            stack.push_async_callback(self._end_tasks)
            await asyncio.gather(*(post.drain() for post in self._posts))

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, *, health: str | None = None) -> None:
        """Work until SIGTERM or SIGINT, then drain. For worker processes: ``await Engine(…).serve()``.

        health: HOST:PORT on which ``/live`` and ``/ready`` are answered (see `amends.engine.health`).

        The engine is entered here, unless it was before: a signal that comes while it opens drains it, too.
        A server that is not there yet is waited for.
        (Until a program serves, its signals are its own; they are again while it drains, so that a second one
        ends it at once.)  Raises `Refused` outside of the main thread.
        """
        stop = None
        try:
            async with AsyncExitStack() as stack:
                stop = stack.enter_context(told_to_stop())
                if health is not None:
                    await stack.enter_async_context(answering(health, lambda: report_of(self)))
                if not self._entered and await reach(self._store, stop):
                    await self.__aenter__()
                await stop.wait()
        finally:
            if self._entered and stop is not None:
                await self.close()

    @property
    def state(self) -> str:
        """``new``, ``opening``, ``standing by``, ``working``, ``recovering`` (its incarnation was lost, it
        registers again), ``draining`` or ``closed``."""
        if self._closing:
            return "closed" if self._closed is None or self._closed.is_set() else "draining"
        if self.working:
            return "working"
        if any(post.worker is not None for post in self._posts):
            return "recovering"
        return "new" if not self._entered else "standing by" if self._tasks else "opening"

    @property
    def working(self) -> bool:
        """Does this engine's worker serve the store (or is it standing by)? Of a store on several servers:
        does a worker of it serve one of them?"""
        return any(post.working for post in self._posts)

    @property
    def _worker(self) -> Worker | None:
        """The worker (of several: at the first server)."""
        return self._posts[0].worker

    @property
    def store(self) -> Store:
        """Where its executions are kept (what `url` named)."""
        return self._store

    @property
    def namespace(self) -> str:
        """What keeps its ids apart from others in the store."""
        return self._backend.namespace

    @property
    def sagas(self) -> list[Saga[..., Any]]:
        """The sagas it was given, by name."""
        return [self._registry.sagas[key] for key in sorted(self._registry.sagas)]

    @property
    def sync(self) -> Sync:
        """The blocking façade for synchronous programs: ``with Engine(…).sync as engine:``."""
        return Sync(self)

    def _stir_server(self) -> None:
        for post in self._posts:
            post.stir_server()

    def _changed(self, live: Live) -> None:
        self._backend.notify(live.header)

    def _resident(self, uid: str) -> Resident | None:
        live = next((live for post in self._posts if (live := post.live(uid)) is not None), None)
        if live is None:
            return None
        nests = any(a.kind == "child" for a in live.instance.ledger.actions.values())
        return Resident(live.header, nests, not live.busy)

    # ------------------------------------------------------------ the client API

    async def start(
        self,
        call: SagaCall[R],
        *,
        id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        connection: object | None = None,
        subject: str | None = None,
    ) -> Handle[R]:
        """Begin an execution; durable when this returns. The same id again is the same execution.

        connection: your own, to the store's database, with a transaction open: the execution exists exactly
        when you commit that, and workers take it then (see `Client.start`).  subject: whose key encrypts its
        payloads (default: as the saga says); needs a codec with keys.

        Of a saga with a `room` it waits for that, and raises `QueueFull` when there is none in time.

        Raises `IdInUse` when the id belongs to another saga or other arguments, `PayloadError`,
        `PayloadTooLarge`, `EngineClosed`.
        """
        self._must_be_open()
        if connection is not None:
            header = await joined(*await self.enlist(call, id, attributes, subject), call, connection)
            return Handle(self._backend, call.saga, header.id, header.uid, local=self.working)
        await hold_back(self._backend, self.queues, call, id)
        header = self._backend.header_for(call, id, attributes)
        post = self._posts[place_of(self._store, header.namespace, header.id)]
        worker = post.taking(call.saga.name)
        await self._begin(self._backend.store if worker is None else post.store, header, call, subject)
        if worker is not None and worker is post.taking(call.saga.name):
            self._registry.add_saga(call.saga)
            told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            worker.loader.start(header, told)
            accepted = await told
            if accepted:
                return Handle(self._backend, call.saga, header.id, header.uid, local=True)
            return await self._start_again(header, call, attributes, subject, accepted=accepted)
        if worker is not None and post.store is not self._backend.store:  # begun where it cannot go on
            return await self._start_again(header, call, attributes, subject, accepted=None)
        header = await self._backend.create(header, call)
        self._stir()
        return Handle(self._backend, call.saga, header.id, header.uid, local=self.working)

    async def _header_for(
        self, call: SagaCall[Any], id: str | None, attributes: Any, subject: str | None
    ) -> Header:
        header = self._backend.header_for(call, id, attributes)
        await self._begin(self._backend.store, header, call, subject)
        return header

    async def _begin(self, store: Store, header: Header, call: SagaCall[Any], subject: str | None) -> None:
        if self.codec is not None or subject is not None:
            await begin(store, header, call, subject)

    async def enlist(
        self,
        call: SagaCall[Any],
        id: str | None,
        attributes: Mapping[str, Any] | None,
        subject: str | None = None,
    ) -> tuple[Enlistment, Header]:
        """What it takes to start it on a connection of the caller's (`start` and `Sync.start` do so).

        Raises `Refused` when the store is in no database that could be shared.
        """
        self._must_be_open()
        await hold_back(self._backend, self.queues, call, id, waits=False)  # a transaction is open
        self._registry.add_saga(call.saga)
        header = await self._header_for(call, id, attributes, subject)
        return await enlistment(self._backend.store), header

    async def run(
        self,
        call: SagaCall[R],
        *,
        id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        subject: str | None = None,
    ) -> R:
        """`start`, then `Handle.result`; both in one wait, where this process does the work."""
        self._must_be_open()
        must_be_call(call)
        worker = self._posts[0].taking(call.saga.name)
        if worker is None or len(self._posts) > 1 or self.codec is not None:
            return await (await self.start(call, id=id, attributes=attributes, subject=subject)).result()
        await hold_back(self._backend, self.queues, call, id)
        header = await self._header_for(call, id, attributes, subject)
        self._registry.add_saga(call.saga)
        ended = self._backend.expect(header.id)
        timer = ask_again_in_time(self._backend, ended)
        try:
            worker.loader.start(header, ended, tell_acceptance=False)
            found = await ended
        finally:
            if timer is not None:
                timer.cancel()
            self._backend.forget(header.id, ended)
        if isinstance(found, Header) and found.uid == header.uid:
            return result_of(found, call.saga).unwrap()
        self._backend.must_not_be_closed(header.id)
        again = await self._start_again(header, call, attributes, subject, accepted=found)
        return await again.result()

    async def _start_again(
        self,
        tried: Header,
        call: SagaCall[R],
        attributes: Mapping[str, Any] | None,
        subject: str | None,
        *,
        accepted: object,
    ) -> Handle[R]:
        """This worker could not say that it is durable: by its id the store knows."""
        if accepted is False:
            header = await self._backend.existing(tried, call)
        else:  # a header of its own: the one that was tried has seen what may not be durable
            header = await self._header_for(call, tried.id, attributes, subject)
            header = await self._backend.create(header, call)
            self._stir()
        return Handle(self._backend, call.saga, header.id, header.uid, local=self.working)

    def handle(self, saga: Saga[..., R], id: str) -> Handle[R]:
        """A handle of an execution that exists (checked at its first use)."""
        self._must_be_open()
        return Handle(self._backend, saga, id, local=self.working)

    async def list(self, **filters: Unpack[Filters]) -> list[Status]:
        """Executions, newest first, by status, saga, id_prefix, parent, root, created_from, created_until,
        finished_from, finished_until; `limit` (100) at a time, going on `after` a uid. See `Filters`.

        Raises `UnknownName` (a status or an id that does not exist), `Refused` (a limit, a time).
        """
        self._must_be_open()
        return await listing(self._backend, filters)

    def stats(self) -> dict[str, Any]:
        """Counts of this worker: commits, rows, resident executions, running attempts, seconds per commit."""
        workers = [post.worker for post in self._posts if post.worker is not None]
        if not workers:
            return {}
        counted = [worker.committer.statistics for worker in workers]
        return {
            "resident": sum(len(worker.lives) for worker in workers),
            "attempts": sum(len(worker.attempts) for worker in workers),
            "commits": sum(each.commits for each in counted),
            "commits_inline": sum(each.inline for each in counted),
            "writes": sum(each.writes for each in counted),
            "rows": sum(each.rows for each in counted),
            "commit_seconds": [seconds for each in counted for seconds in each.seconds],
        }

    def _must_be_open(self) -> None:
        if not self._entered or self._closing:
            raise EngineClosed(
                "the engine is not open", hint="use it inside `async with Engine(…) as engine:`"
            )

    def _stir(self) -> None:
        for post in self._posts:
            post.stir()
