"""The engine: a store, a worker and the client API in one process.

It registers a worker incarnation with the store and keeps it: when ownership is lost or a commit's
fate is unknown, the incarnation is retired and the next one reads everything again.  Where another
worker serves the store already, the engine stands by: it can start, send and wait meanwhile, and
takes over when the other is gone.
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
from ..errors import AmendsError, EngineClosed, Fenced, StoreError
from ..ids import Ids, RandomIds
from ..store import open_store
from ..store.enclosed import enclosed
from ..store.enlisting import Enlistment
from ..store.pausing import Pause
from ..store.port import Header, Store
from ..worker.intake import intake
from ..worker.live import Live
from ..worker.queues.server import Server
from ..worker.resources import Resources
from ..worker.settings import Settings
from ..worker.worker import Worker
from . import collector, crashes
from .backend import Backend, Resident
from .given import must_be_store, registry_of
from .handle import Handle
from .health import health as answering
from .health import report_of
from .joining import enlistment, joined
from .keys import Keys, begin
from .listing import Filters, listing
from .operations import Operations
from .outcome import result_of
from .pauses import Pauses
from .queues import Queues, names, server_of, serving
from .retention import keep_clear
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

    url: where executions are kept (``sqlite:///file.db``, ``memory://``), or a `Store`.  sagas:
    definitions this worker serves; bound methods serve their object's steps too.  steps: objects
    whose methods are steps.  resources: (async) context managers opened with the worker and given
    to steps by type.  queues: whose steps run here, too (see `QueueWorker` for processes that do only that).
    namespace: keeps ids apart.  settings: see `Settings`.

    Its attribute `operations` acts on many executions at a time (see `Operations`), `schedules` starts sagas
    by the clock (see `Schedules`), `queues` shows and limits queues (see `Queues`), `pauses` lets sagas stand
    still (see `Pauses`), `keys` are those of a `codec`, which encrypts payloads (see `amends.encryption`).
    """

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
        self._store: Store = open_store(url) if isinstance(url, str) else must_be_store(url)
        crashes.arm_store(self._store)
        self._registry = registry_of(sagas, steps)
        store = self._store if codec is None else enclosed(self._store, codec, self._clock)
        self._backend = Backend(store, namespace, self._clock, ids or RandomIds(), self.settings.limits)
        self._backend.resident = self._resident
        self.codec = codec
        self.keys = Keys(self._backend, codec)
        self.operations = Operations(self._backend)
        self.schedules = Schedules(self._backend, self._stir)
        self.queues = Queues(self._backend, self._stir_server)
        self.pauses = Pauses(self._backend, self._stir, self._registry)
        self._served = names(queues)
        self._server: Server | None = None
        self._resources = Resources(tuple(resources), (Starter(self._backend, self._stir),))
        self._worker: Worker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._closed: asyncio.Event | None = None
        self._entered = False

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        """Open the store and the resources, recover what was in flight, and begin to work."""
        if self._entered:
            raise EngineClosed("this engine was entered before", hint="make a new Engine")
        self._entered = True
        try:
            await self._store.open()
            await self._resources.open()
            self._begin_serving()
            pauses = await self._backend.store.pauses()
            incarnation = await self._backend.store.register(self._clock.now(), wait=False)
            if incarnation is None:
                _log.info("another worker serves this store; standing by")
                self._spawn(self._stand_by())
            else:
                self._work(incarnation, pauses=pauses)
        except BaseException:
            self._closing = True
            await self._resources.close()
            await self._store.close()
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
        worker = self._worker
        try:
            if self._server is not None:
                await self._server.drain(self.settings.grace)
            if worker is not None and not worker.dead:
                settled = await worker.drain()
                await self._store.retire(worker.incarnation, settled)
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            self._backend.close()
            try:
                await self._resources.close()
                await self._store.close()
            finally:
                self._closed.set()

    async def serve(self, *, health: str | None = None) -> None:
        """Work until SIGTERM or SIGINT, then drain. For worker processes: ``await Engine(…).serve()``.

        health: HOST:PORT on which ``/live`` and ``/ready`` are answered (see `amends.engine.health`).

        The engine is entered here, unless it was before: a signal that comes while it opens drains it, too.
        (Until a program serves, its signals are its own; they are again while it drains, so that a second one
        ends it at once.)  Raises `Refused` outside of the main thread.
        """
        stop = None
        try:
            async with AsyncExitStack() as stack:
                stop = stack.enter_context(told_to_stop())
                if health is not None:
                    await stack.enter_async_context(answering(health, lambda: report_of(self)))
                if not self._entered:
                    await self.__aenter__()
                await stop.wait()
        finally:
            if stop is not None:
                await self.close()

    @property
    def state(self) -> str:
        """``new``, ``opening``, ``standing by``, ``working``, ``recovering`` (its incarnation was lost, it
        registers again), ``draining`` or ``closed``."""
        if self._closing:
            return "closed" if self._closed is None or self._closed.is_set() else "draining"
        if self._worker is None:
            return "new" if not self._entered else "standing by" if self._tasks else "opening"
        return "recovering" if self._worker.dead else "working"

    @property
    def working(self) -> bool:
        """Does this engine's worker serve the store (or is it standing by)?"""
        return self._worker is not None and not self._worker.dead

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

    def _work(self, incarnation: int, old: Worker | None = None, *, pauses: Sequence[Pause] = ()) -> None:
        self._worker = worker = Worker(
            self._backend.store,
            incarnation,
            self._registry,
            self._resources,
            self._clock,
            self.settings,
            on_lost=self._lost,
            on_change=self._changed,
            on_doubt=self._backend.look_again,
            on_tasks=self._stir_server,
            predecessor=old,
        )
        if old is None:
            worker.holds.learn(pauses)
        if (age := self.settings.retention) is not None:
            self._spawn(keep_clear(self._backend, age, lambda: not worker.dead))
        crashes.arm_worker(worker)
        self._set_to_work(worker)

    def _begin_serving(self) -> None:
        """Run the steps of its queues (standing by or not: that is another matter)."""
        if self._served:
            self._server = server_of(
                self._backend.store,
                self._registry,
                self._resources,
                self._clock,
                self.settings,
                self._served,
                namespace=self.namespace,
                told=self._stir,
            )
            self._spawn(serving(self._server))

    def _stir_server(self) -> None:
        if self._server is not None:
            self._server.stir.set()

    def _set_to_work(self, worker: Worker) -> None:
        worker.watchdog.start()
        self._spawn(intake(worker))

    def _changed(self, live: Live) -> None:
        self._backend.notify(live.header)

    def _resident(self, uid: str) -> Resident | None:
        worker = self._worker
        live = worker.lives.get(uid) if worker is not None and not worker.dead else None
        if live is None:
            return None
        nests = any(a.kind == "child" for a in live.instance.ledger.actions.values())
        return Resident(live.header, nests, not live.busy)

    def _lost(self, error: AmendsError) -> None:
        _log.error("ownership is in doubt, reading everything again: %s", error)
        self._backend.look_again()
        if self._worker is not None:
            self._spawn(self._again(self._worker))

    async def _again(self, old: Worker) -> None:
        """Retire our own fence, register anew, and adopt the attempts that still run here."""
        pause = 0.1
        while not self._closing:
            try:
                await self._store.retire(old.incarnation)
                incarnation = await self._backend.store.register(self._clock.now(), wait=True)
            except AmendsError as error:
                _log.error("cannot register again yet: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
                continue
            if incarnation is not None:
                self._work(incarnation, old)
            return

    async def _stand_by(self) -> None:
        pause = 0.1
        incarnation = None
        while incarnation is None and not self._closing:
            try:
                incarnation = await self._backend.store.register(self._clock.now(), wait=True)
            except StoreError as error:
                _log.error("cannot stand by yet: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
        if incarnation is not None and not self._closing:
            _log.info("taking over")
            self._work(incarnation)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._closing:
            return
        if not isinstance(error, Fenced):  # that one is told when it registers again
            _log.error("the engine's %s failed", task.get_name(), exc_info=error)
            error = AmendsError(f"internal task failed: {error!r}")
        if self._worker is not None and not self._worker.dead:
            self._worker.lost(error)

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
        header = await self._header_for(call, id, attributes, subject)
        worker = self._taking(call)
        if worker is not None:
            self._registry.add_saga(call.saga)
            told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            worker.loader.start(header, told)
            accepted = await told
            if accepted:
                return Handle(self._backend, call.saga, header.id, header.uid, local=True)
            return await self._start_again(header, call, attributes, subject, accepted=accepted)
        header = await self._backend.create(header, call)
        self._stir()
        return Handle(self._backend, call.saga, header.id, header.uid, local=self.working)

    def _taking(self, call: SagaCall[Any]) -> Worker | None:
        """The worker of this process, if it begins such a saga at once."""
        worker = self._worker
        if worker is None or worker.dead or worker.draining:
            return None
        return None if worker.holds.shut((self.namespace, call.saga.name)) else worker

    async def _header_for(
        self, call: SagaCall[Any], id: str | None, attributes: Any, subject: str | None
    ) -> Header:
        header = self._backend.header_for(call, id, attributes)
        if self.codec is not None or subject is not None:
            await begin(self._backend.store, header, call, subject)
        return header

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
        worker = self._taking(call)
        if worker is None or self._backend.shared or self.codec is not None:
            return await (await self.start(call, id=id, attributes=attributes, subject=subject)).result()
        await hold_back(self._backend, self.queues, call, id)
        header = await self._header_for(call, id, attributes, subject)
        self._registry.add_saga(call.saga)
        ended = self._backend.expect(header.id)
        try:
            worker.loader.start(header, ended, tell_acceptance=False)
            found = await ended
        finally:
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
        worker = self._worker
        if worker is None:
            return {}
        counted = worker.committer.statistics
        return {
            "resident": len(worker.lives),
            "attempts": len(worker.attempts),
            "commits": counted.commits,
            "commits_inline": counted.inline,
            "writes": counted.writes,
            "rows": counted.rows,
            "commit_seconds": list(counted.seconds),
        }

    def _must_be_open(self) -> None:
        if not self._entered or self._closing:
            raise EngineClosed(
                "the engine is not open", hint="use it inside `async with Engine(…) as engine:`"
            )

    def _stir(self) -> None:
        if self._worker is not None:
            self._worker.stir.set()
