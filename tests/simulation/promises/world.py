"""A world to break the engine in: stores that fail on command, workers that die on command.

`World.run` runs a test on virtual time.  `World.engine()` opens an engine on the world's store, seen through a
`Wire` on which faults can be armed.  `World.crash(engine)` kills its worker as SIGKILL would (nothing is drained,
nothing more is written, running attempts are cut off) and leaves the incarnation to be found dead; the
next `World.engine()` finds what was durable and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import amends
from amends import Engine, Handle, Settings
from amends.clock import SystemClock
from amends.definition.registry import REGISTRY
from amends.errors import CommitUnknown, StoreError
from amends.store.memory import MemoryStore
from amends.store.port import FINAL, Store, Verdict, Write
from amends.store.postgres import PostgresStore
from amends.store.sqlite import SqliteStore
from tests.stores import execute

from .book import Book
from .virtual import LoopExecutor, VirtualClock, VirtualLoop

T = TypeVar("T")

PATIENCE = 3_600.0  # virtual seconds after which a test that waits has failed
REAL_PATIENCE = 60.0  # the same for tests on real time


class Crashed(StoreError):
    """What a dead worker hears of its store."""

    code = "crashed"


class Wire:
    """A store as its worker sees it: counts commits, and fails where it was told to.

    `at(n, when, what)` arms one fault for the n-th commit (1 is the first) of this wire: `when` is ``before`` or ``after``
    the commit took place; `what` is ``crash`` (the worker dies there), or an exception to raise.
    """

    def __init__(self, inner: Any, *, inline: bool = True) -> None:
        self.inner = inner
        self.inline = inline
        self.commits = 0
        self.writes: list[list[Write]] = []
        self.crashed = asyncio.Event()
        self.engine: Engine | None = None
        self.fired: list[str] = []
        self.broken: dict[str, list[Exception]] = {}
        self._armed: dict[tuple[int, str], Any] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._dead = False

    def at(self, number: int, when: str, what: Any) -> None:
        """Arm a fault."""
        self._armed[number, when] = what

    def queue(self, number: int, error: Exception) -> None:
        """Arm one more failure before the n-th commit (it is tried again, and meets the next in the queue)."""
        self._armed.setdefault((number, "before"), []).append(error)

    def fail(self, method: str, *errors: Exception) -> None:
        """Let the next calls of an (async) method fail with these, one each."""
        self.broken.setdefault(method, []).extend(errors)

    def __getattr__(self, name: str) -> Any:
        return self._reach(name)

    def _reach(self, name: str) -> Any:
        if self._dead and name not in {"abandon", "close"}:
            raise Crashed(f"the process is dead; it cannot {name}")
        if self.broken.get(name):
            return self._failing(self.broken[name].pop(0))
        return getattr(self.inner, name)

    def _failing(self, error: Exception) -> Callable[..., Any]:
        async def fail(*_: Any, **__: Any) -> Any:
            raise error

        return fail

    # ------------------------------------------------------------ commits

    def hold(self) -> None:
        """Let commits wait (durable neither before nor meanwhile) until `release`."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        if not self.inline or not self._open.is_set():
            return None
        self._before()
        verdicts: list[Verdict] | None = self.inner.commit_now(incarnation, writes)
        if verdicts is not None:
            self._after(writes)
        return verdicts

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        await self._open.wait()
        self._before()
        verdicts: list[Verdict] = await self.inner.commit(incarnation, writes)
        self._after(writes)
        return verdicts

    async def transact(self, incarnation: int, uid: str, body: Any) -> Verdict:
        self._before()
        verdict: Verdict = await self.inner.transact(incarnation, uid, body)
        self._after([])
        return verdict

    def _before(self) -> None:
        if self._dead:
            raise Crashed("the process is dead; it cannot commit")
        self._fire(self.commits + 1, "before")

    def _after(self, writes: Sequence[Write]) -> None:
        self.commits += 1
        self.writes.append(list(writes))
        self._fire(self.commits, "after")

    def _fire(self, number: int, when: str) -> None:
        what = self._armed.get((number, when))
        if isinstance(what, list):
            what = what.pop(0) if what else None
        else:
            self._armed.pop((number, when), None)
        if what is None:
            return
        self.fired.append(f"{when} commit {number}")
        if what == "crash":
            self.die()
            raise Crashed(f"killed {when} commit {number}")
        raise what

    def die(self) -> None:
        """The worker is gone from here on (`World.crash` clears up what a real kill would have)."""
        self._dead = True
        worker = self.engine._worker if self.engine is not None else None
        if worker is not None:
            worker.kill()
        self.crashed.set()


def _passed_on(name: str) -> Any:
    return property(lambda wire: wire._reach(name))


# An engine asks whether it was given a store, and since Python 3.12 `isinstance` no longer asks `__getattr__`.
for _name in {
    name for part in Store.__mro__ for name, value in vars(part).items() if callable(value) and name[0] != "_"
}:
    if _name not in vars(Wire):
        setattr(Wire, _name, _passed_on(_name))


class VirtualPostgres(PostgresStore):
    """A PostgreSQL on virtual time, which stands still while the server is asked.  Whoever dies has no lease."""

    def __init__(self, url: str, schema: str, clock: Any) -> None:
        super().__init__(
            url, schema=schema, clock=clock, lease=1e6, look=0.1, orphaned=0.0, pooled=True, unsafe=True
        )
        self._url = url
        for link in (self._writer, self._control):
            link._finish = self._counted(link._finish)  # type: ignore[method-assign]

    def _counted(self, finish: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(work: Any) -> Any:
            loop: Any = asyncio.get_running_loop()
            loop.threads += 1
            try:
                return await finish(work)
            finally:
                loop.threads -= 1

        return counted

    def abandon(self) -> None:
        me = self._incarnation
        super().abandon()
        execute(
            self._url, f"UPDATE {self.schema}.leases SET expires_at = '-infinity' WHERE incarnation = %s", me
        )


class World:
    """One test's world: a kind of store, a clock, a book, and the engines opened so far."""

    def __init__(self, kind: str, folder: Path, *, real: bool = False) -> None:
        self.kind = kind
        self.folder = folder
        self.real = real
        self.virtual = VirtualClock()
        self.clock: Any = SystemClock() if real else self.virtual
        self.book = Book(self.clock.now)
        self.path = folder / "sagas.db"
        self.memory = MemoryStore()
        self.settings = Settings(poll=0.1, grace=1.0)
        self.options: dict[str, Any] = {}
        self.inline = True
        self.url = self.schema = ""  # of a PostgreSQL
        self.wires: list[Wire] = []

    # ------------------------------------------------------------ running

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a test's coroutine function; a test that would wait for ever fails."""
        return self.run_for(REAL_PATIENCE if self.real else PATIENCE, main)

    def run_for(self, patience: float, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The same, within so many seconds."""

        async def guarded() -> T:
            if not self.real:
                self.virtual.loop = asyncio.get_running_loop()  # type: ignore[assignment]
            async with asyncio.timeout(patience):
                return await main()

        with asyncio.Runner(loop_factory=None if self.real else VirtualLoop) as runner:
            return runner.run(guarded())

    async def passes(self, seconds: float) -> None:
        """Let (virtual) time pass."""
        assert not self.real, "real time passes by itself; wait for an event"
        await asyncio.sleep(seconds)

    # ------------------------------------------------------------ stores and engines

    def store(self) -> Any:
        """The world's store, as a process finds it that opens it."""
        if self.kind == "memory":
            return self.memory
        if self.kind == "postgres":
            return VirtualPostgres(self.url, self.schema, self.clock)
        seams: dict[str, Any] = {} if self.real else {"clock": self.clock, "executor": LoopExecutor()}
        return SqliteStore(self.path, synchronous="OFF", **seams, **self.options)

    def wire(self) -> Wire:
        """The store behind a wire on which faults can be armed."""
        wire = Wire(self.store(), inline=self.inline)
        self.wires.append(wire)
        return wire

    def build(self, *sagas: Any, wire: Wire | None = None, **options: Any) -> Engine:
        """An engine that is not yet entered."""
        wire = wire or self.wire()
        options.setdefault("settings", self.settings)
        engine = Engine(wire, sagas=sagas, clock=self.clock, **options)
        wire.engine = engine
        return engine

    @asynccontextmanager
    async def engine(self, *sagas: Any, wire: Wire | None = None, **options: Any) -> AsyncIterator[Engine]:
        """An engine at work; drained at the end unless it crashed."""
        engine = self.build(*sagas, wire=wire, **options)
        await engine.__aenter__()
        try:
            yield engine
        finally:
            if not engine._closing:
                await engine.close()

    async def crash(self, engine: Engine, *, zombies: bool = False) -> None:
        """The process of this engine is killed. `zombies`: what its steps have sent goes on all the same."""
        wire: Wire = engine._store  # type: ignore[assignment]
        wire.die()
        engine._closing = True
        running: list[Any] = []
        worker = engine._worker
        if worker is not None:
            worker.attempts.waiting.clear()
            running = [a.task for a in worker.attempts.running.values() if a.task is not None]
        tasks = [*engine._tasks, *([] if zombies else running)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        wire.inner.abandon()

    # ------------------------------------------------------------ asking

    async def ended(self, handle: Handle[Any]) -> amends.Result[Any]:
        """The end of an execution, looking past attention that an operator has just answered."""
        while True:
            found = await handle.outcome()
            if found.status in FINAL:
                return found
            await asyncio.sleep(0.05)

    async def reaches(self, handle: Handle[Any], *statuses: str) -> amends.Status:
        """Wait until its status is one of these."""
        while True:
            status = await handle.status()
            if status.status in statuses:
                return status
            await asyncio.sleep(0.05)

    async def header(self, id: str) -> Any:
        """The stored header, seen by a process of its own."""
        store = self.store()
        await store.open()
        try:
            return await store.find("default", id)
        finally:
            await store.close()

    async def rows(self, id: str) -> list[Any]:
        """The journal's rows, seen by a process of its own."""
        store = self.store()
        await store.open()
        try:
            header = await store.find("default", id)
            found = await store.read(header.uid)
            return list(found[1])
        finally:
            await store.close()


def forget(*definitions: Any) -> None:
    """Take definitions out of the process, as a deploy without them would."""
    for given in definitions:
        if isinstance(given, amends.Saga):
            REGISTRY.sagas.pop((given.name, given.version), None)
        else:
            REGISTRY.steps.pop(given.name, None)


def unknown() -> CommitUnknown:
    """A lost acknowledgement."""
    return CommitUnknown("the acknowledgement was lost")
