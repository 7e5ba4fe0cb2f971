"""A world for tests: engines on virtual time, that can be stopped, crashed and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ..definition.saga import Saga
from ..dialects.graph import Graph
from ..encryption.codec import Codec
from ..engine.engine import Engine
from ..errors import Refused
from ..store import open_store
from ..store.memory import MemoryStore
from ..store.port import Store
from ..store.sqlite import SqliteStore
from ..worker.settings import Settings
from .seams import LoopExecutor, SeededIds, VirtualClock, VirtualEngine
from .timeskip import TimeSkip

_RARELY = 86_400.0  # nobody else writes into a world's store: there is no news to poll for
_SKIPPED = 7 * 86_400.0


class World:
    """What ``async with amends.testing.world() as w`` gives: see `world`."""

    def __init__(self, skip: TimeSkip, url: str, seed: int) -> None:
        self._skip = skip
        self._began = skip.moment()
        self._url = url
        self._memory = MemoryStore()
        self._chance = random.Random(f"world {seed}")
        self._ids = SeededIds(self._chance)
        self._clock = VirtualClock(lambda: skip.moment() - self._began)
        self._engines: list[VirtualEngine] = []

    # ------------------------------------------------------------ time

    @property
    def now(self) -> datetime:
        """The time in this world (UTC); it begins in January 2027."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    @property
    def elapsed(self) -> timedelta:
        """How much time has passed in this world."""
        return timedelta(seconds=self._clock.monotonic())

    async def advance(
        self,
        amount: timedelta | float | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Let so much time pass (`amount`: seconds or a timedelta), with all that happens meanwhile.

        It waits for nothing: timers ring in their order, and each of them at its own time.  Raises `Refused`
        for time that would go back.
        """
        total = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        if amount is not None:
            total += amount if isinstance(amount, timedelta) else timedelta(seconds=amount)
        if total < timedelta(0):
            raise Refused(f"time does not go back, got {total}", hint="make another world")
        await asyncio.sleep(total.total_seconds())

    # ------------------------------------------------------------ engines

    @asynccontextmanager
    async def engine(
        self,
        *,
        sagas: Sequence[Saga[..., Any] | Graph] = (),
        steps: Sequence[Any] = (),
        resources: Sequence[Any] = (),
        queues: Sequence[str] = (),
        settings: Settings | None = None,
        codec: Codec | None = None,
    ) -> AsyncIterator[Engine]:
        """An engine of this world, with the arguments of `Engine`. All of a world's engines share one store.

        It is drained at the end, unless it was crashed; the next one goes on where it was.
        """
        given = settings or Settings()
        store: Store = self._memory if self._url == "memory://" else open_store(self._url)
        if isinstance(store, SqliteStore):
            store = SqliteStore(store.path, executor=LoopExecutor(asyncio.get_running_loop()))
        engine = VirtualEngine(
            store,
            sagas=sagas,
            steps=steps,
            resources=resources,
            queues=queues,
            settings=msgspec.structs.replace(given, poll=max(given.poll, _RARELY)),
            codec=codec,
            clock=self._clock,
            ids=self._ids,
            chance=self._chance,
        )
        engine._backend.poll_local = _SKIPPED
        await engine.__aenter__()
        self._engines.append(engine)
        try:
            yield engine
        finally:
            self._engines.remove(engine)
            if not engine._closing:
                await engine.close()

    async def crash(self, engine: Engine) -> None:
        """Kill this engine's worker as SIGKILL would: nothing is drained and nothing more is written.

        Running steps are cut off; whether they had an effect, only their participants know.  The next
        `engine` finds what was durable, and nothing else.
        """
        engine._closing = True
        running: list[asyncio.Future[Any]] = []
        worker = engine._worker
        if worker is not None:
            worker.kill()
            worker.attempts.waiting.clear()
            running = [
                attempt.task for attempt in worker.attempts.running.values() if attempt.task is not None
            ]
        for post in engine._posts:
            running += [] if post.server is None else post.server.cut_off()
        tasks = [*engine._tasks, *running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engine._backend.close()
        engine._store.abandon()  # type: ignore[attr-defined]  # both stores of ours can


@asynccontextmanager
async def world(url: str = "memory://", *, seed: int = 0, patience: float = 0.05) -> AsyncIterator[World]:
    """``async with amends.testing.world() as w: …``: a test in which time is virtual.

    Inside, nothing waits: ``asyncio.sleep`` and timeouts, retries, durable sleeps and deadlines take no
    longer than their Python does.  When nothing else can happen, time jumps to the next timer;
    `World.advance` lets a span of it pass.

    url: where executions are kept (``memory://``, or ``sqlite:///file.db``).  seed: makes identifiers and
    the jitter of retries.
    patience: how many real seconds to wait for sockets, where the test has any open, before time jumps.

    Raises `Refused` on event loops other than asyncio's own, and `Stuck` where a test waits for what nobody
    brings.
    """
    skip = TimeSkip(asyncio.get_running_loop(), patience=patience)
    skip.start()
    try:
        yield World(skip, url, seed)
    finally:
        skip.stop()
