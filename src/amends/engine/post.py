"""One worker in an engine: it registers with a store, works, and begins again when its incarnation is lost.

Most stores have one.  Where a store is on several servers (`store.places`) an engine has a post at each: so
what happens to a server concerns only what is on it, and the other workers of the process go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import AmendsError, StoreError
from ..store.pausing import Pause
from ..store.port import Store
from ..worker.intake import intake
from ..worker.live import Live
from ..worker.queues.server import Server
from ..worker.worker import Worker
from . import crashes
from .backend import Backend
from .queues import server_of, serving
from .retention import keep_clear

if TYPE_CHECKING:
    from .engine import Engine

_log = logging.getLogger("amends.engine")
STEADY, LONGEST = 10.0, 5.0
"""A worker that is lost before so many seconds is followed by the next after a pause, of at most so many."""


class Post:
    """A place at which an engine works. backend: the client side of what is there.  alone: is it all?"""

    def __init__(self, engine: Engine, store: Store, backend: Backend, *, alone: bool) -> None:
        self.store = store
        self.worker: Worker | None = None
        self.server: Server | None = None
        self._engine = engine
        self._backend = backend
        self._alone = alone
        self._began = 0.0
        self._pause = 0.0

    # ------------------------------------------------------------ life

    async def begin(self) -> None:
        """Register and work; stand by where another worker serves the store.

        A server of several that is not there is waited for.  Raises `StoreError` when it is the only one.
        """
        try:
            pauses = await self.store.pauses()
            incarnation = await self.store.register(self._engine._clock.now(), wait=False)
        except StoreError as error:
            if self._alone:
                raise
            _log.warning("cannot serve %s yet: %s", self._where, error)
            self._spawn(self._stand_by())
            return
        if incarnation is None:
            _log.info("another worker serves this store; standing by")
            self._spawn(self._stand_by())
        else:
            self._work(incarnation, pauses=pauses)

    def serve(self, queues: list[str]) -> None:
        """Run the steps of these queues (standing by or not: that is another matter)."""
        engine = self._engine
        self.server = server_of(
            self.store,
            engine._registry,
            engine._resources,
            engine._clock,
            engine.settings,
            queues,
            namespace=engine.namespace,
            told=self.stir,
        )
        self._spawn(serving(self.server))

    async def drain(self) -> None:
        """Let what runs end (within `settings.grace` seconds), and give up what is owned."""
        worker = self.worker
        if self.server is not None:
            await self.server.drain(self._engine.settings.grace)
        if worker is not None and not worker.dead:
            settled = await worker.drain()
            try:
                await self.store.retire(worker.incarnation, settled)
            except StoreError as error:
                if self._alone:
                    raise
                _log.warning("not retired from %s; the lease there runs out: %s", self._where, error)

    # ------------------------------------------------------------ how it stands

    @property
    def working(self) -> bool:
        """Does its worker serve the store?"""
        return self.worker is not None and not self.worker.dead

    def taking(self, saga: str) -> Worker | None:
        """Its worker, if that begins executions of such a saga now."""
        worker = self.worker
        if worker is None or worker.dead or worker.draining:
            return None
        return None if worker.holds.shut((self._engine.namespace, saga)) else worker

    @property
    def _where(self) -> str:
        return getattr(self.store, "where", "the store")

    def live(self, uid: str) -> Live | None:
        """An execution that is in its worker's memory."""
        return self.worker.lives.get(uid) if self.worker is not None and not self.worker.dead else None

    def stir(self) -> None:
        """There may be something for its worker."""
        if self.worker is not None:
            self.worker.stir.set()

    def stir_server(self) -> None:
        """There may be something for who serves its queues."""
        if self.server is not None:
            self.server.stir.set()

    # ------------------------------------------------------------ inside

    def _work(self, incarnation: int, old: Worker | None = None, *, pauses: Sequence[Pause] = ()) -> None:
        engine = self._engine
        self._began = engine._clock.monotonic()
        self.worker = worker = Worker(
            self.store,
            incarnation,
            engine._registry,
            engine._resources,
            engine._clock,
            engine.settings,
            on_lost=self._lost,
            on_change=engine._changed,
            on_doubt=engine._backend.look_again,
            on_tasks=self.stir_server,
            predecessor=old,
        )
        if old is None:
            worker.holds.learn(pauses)
        if (age := engine.settings.retention) is not None:
            self._spawn(keep_clear(self._backend, age, lambda: not worker.dead))
        crashes.arm_worker(worker)
        self._set_to_work(worker)

    def _set_to_work(self, worker: Worker) -> None:
        worker.watchdog.start()
        self._spawn(intake(worker))

    def _lost(self, error: AmendsError) -> None:
        _log.error("ownership is in doubt, reading everything again: %s", error)
        self._engine._backend.look_again()
        if self.worker is not None:
            self._spawn(self._again(self.worker))

    async def _again(self, old: Worker) -> None:
        """Retire our own fence, register anew, and adopt the attempts that still run here."""
        await self._calm_down()
        pause = 0.1
        while not self._engine._closing:
            try:
                await self.store.retire(old.incarnation)
                incarnation = await self.store.register(self._engine._clock.now(), wait=True)
            except AmendsError as error:
                _log.error("cannot register again yet: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
                continue
            if incarnation is not None:
                self._work(incarnation, old)
            return

    async def _calm_down(self) -> None:
        """What ends each worker soon after its beginning (a table is gone) is not to keep the store busy."""
        if self._engine._clock.monotonic() - self._began >= STEADY:
            self._pause = 0.0
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST) or 0.1

    async def _stand_by(self) -> None:
        pause = 0.1
        incarnation = None
        while incarnation is None and not self._engine._closing:
            try:
                incarnation = await self.store.register(self._engine._clock.now(), wait=True)
            except StoreError as error:
                _log.error("cannot stand by for %s yet: %s", self._where, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
        if incarnation is not None and not self._engine._closing:
            _log.info("taking over")
            self._work(incarnation)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        tasks = self._engine._tasks
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(partial(self._reap, tasks))

    def _reap(self, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self._engine._closing:
            return
        if not isinstance(error, StoreError):  # that is told when it registers again
            _log.error("the engine's %s failed", task.get_name(), exc_info=error)
            error = AmendsError(f"internal task failed: {error!r}")
        if self.worker is not None and not self.worker.dead:
            self.worker.lost(error)
