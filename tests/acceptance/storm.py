"""Two workers on a PostgreSQL of their own, a stream of sagas, and faults in an order that the seed decides.

    kill       a worker gets SIGKILL; another is started
    death      the same, and nothing else until others have taken over what it owned
    crash      all processes of the server abort at once; it is started again
    panic      one process of the server gets SIGKILL; it ends all others and recovers by itself
    terminate  all connections are ended by `pg_terminate_backend`
    pause      a worker stands still (SIGSTOP) until others have taken over all it owned, and goes on
    stall      a worker's line to the server swallows all answers, until others have taken over

The server itself watches for zombie writes: triggers note each row of a journal, and each change of an owner, that is
written by another worker than the living owner.  A worker's connections say its pid as their name.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import psycopg

from amends import Client, Handle
from amends.errors import StoreError
from amends.store.postgres import PostgresStore
from tests.cluster import Server
from tests.proxy import Proxy
from tests.stores import execute

from .judging import Judgement, judge
from .kennel import Kennel
from .processes import FINAL, PATIENCE, Process, Shop, until_so
from .shop import abreast, parent, sleeper, straight, threads

T = TypeVar("T")
KINDS: dict[str, Any] = {
    "straight": straight(3),
    "refused": straight(2, "refuse"),
    "sleeping-refused": sleeper(0.2, "refuse"),
    "threads": threads(2),
    "abreast-refused": abreast("refuse"),
    "parent": parent(),
}
WATCH = """
CREATE TABLE {s}.zombies (said text);
CREATE TABLE {s}.burials (incarnation bigint, at timestamptz, place text, undertaker text);
CREATE FUNCTION {s}.watch_rows() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO {s}.zombies
    SELECT format('%s wrote row %s of %s, which belongs to %s', w.name, NEW.position, e.id, l.place)
    FROM (SELECT current_setting('application_name') AS name) AS w, {s}.executions AS e
    JOIN {s}.leases AS l ON l.incarnation = e.owner
    WHERE e.num = NEW.execution AND w.name <> 'w' || split_part(l.place, ':', 2);
    RETURN NEW;
END$$;
CREATE FUNCTION {s}.watch_owners() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO {s}.zombies
    SELECT format('%s took %s from %s, which is alive', w.name, NEW.id, l.place)
    FROM (SELECT current_setting('application_name') AS name) AS w, {s}.leases AS l
    JOIN {s}.fences AS f ON f.incarnation = l.incarnation
    WHERE l.incarnation = OLD.owner AND NOT f.retired AND w.name <> 'w' || split_part(l.place, ':', 2);
    RETURN NEW;
END$$;
CREATE FUNCTION {s}.watch_burials() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO {s}.burials SELECT NEW.incarnation, clock_timestamp(),
        (SELECT place FROM {s}.leases WHERE incarnation = NEW.incarnation), current_setting('application_name');
    RETURN NEW;
END$$;
CREATE TRIGGER watch BEFORE INSERT ON {s}.journal FOR EACH ROW EXECUTE FUNCTION {s}.watch_rows();
CREATE TRIGGER watch BEFORE UPDATE OF owner ON {s}.executions FOR EACH ROW
    WHEN (OLD.owner IS DISTINCT FROM NEW.owner) EXECUTE FUNCTION {s}.watch_owners();
CREATE TRIGGER watch BEFORE UPDATE OF retired ON {s}.fences FOR EACH ROW
    WHEN (NEW.retired AND NOT OLD.retired) EXECUTE FUNCTION {s}.watch_burials();
"""


@dataclass
class Storm:
    """One run; see the module's head. url: how workers and clients reach the store."""

    folder: Path
    server: Server
    seed: int
    lease: float = 2.0
    url: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    wanted: dict[str, Any] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    living: list[Process] = field(default_factory=list)
    deaths: list[tuple[int, Any]] = field(default_factory=list)
    killed: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.options = urlencode(
            {"schema": "storm", "lease": self.lease, "look": 0.2, "answer": 5.0, "unsafe": "true"}
        )
        self.shop = Shop(self.folder, f"{self.url or self.server.url}&{self.options}")
        self.book = self.shop.book
        self.handles: dict[str, Handle[Any]] = {}

    @asynccontextmanager
    async def open(self, *, fresh: bool = True) -> AsyncIterator[None]:
        """The schema with what watches over it, the client, and the kennel. fresh: no schema is there."""
        if fresh:
            self.sql("DROP SCHEMA IF EXISTS storm CASCADE")
        store = PostgresStore(self.server.url, schema="storm", unsafe=True)
        await store.open()
        await store.close()
        self.sql(WATCH.format(s="storm"))
        self.shop.kennel = Kennel(self.folder)
        try:
            async with Client(f"{self.shop.url}&application_name=client") as self.client:
                yield
        finally:
            self.shop.close()
            self.shop.kennel.close()

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement, as soon as the server takes it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return execute(self.url or self.server.url, text, *values)
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    # ------------------------------------------------------------ work

    def supervise(self) -> None:
        """As a supervisor does: a worker that could not start (the database was down) is started again."""
        for worker in [each for each in self.living if each.popen.poll() is not None]:
            said = worker.log.read_text()
            assert "working" not in worker.out.read_text().split(), f"it ended by itself:\n{said[-3000:]}"
            assert "StoreBusy" in said, said[-3000:]
            self.living.remove(worker)
            self.worker()

    def worker(self, **settings: Any) -> Process:
        worker = self.shop.start_worker(wait="", **settings)
        self.living.append(worker)
        return worker

    async def start(self, number: int, kinds: dict[str, Any] = KINDS) -> None:
        """One saga of each kind; wanted is what was acknowledged."""
        for kind, call in kinds.items():
            id = f"{kind}-{number}"
            self.handles[id] = await persistently(lambda id=id, call=call: self.client.start(call, id=id))
            self.wanted[id] = call

    async def some_work(self, lines: int, *, since: int | None = None) -> None:
        """Until the book has so many more lines than it had then (or has now)."""
        goal = (self.book.size() if since is None else since) + lines
        await until_so(lambda: self.book.size() >= goal, "the book to grow")

    async def ended(self, *, but: frozenset[str] = frozenset()) -> dict[str, str]:
        """Wait until all have ended."""
        async with asyncio.timeout(PATIENCE):
            for id, handle in self.handles.items():
                while id not in but:
                    if (await persistently(handle.status)).status in FINAL:
                        break
                    self.supervise()
                    await asyncio.sleep(0.05)
        found = self.sql("SELECT id, status FROM storm.executions")
        return {str(id): str(status) for id, status in found}

    def incarnations(self, worker: Process) -> list[int]:
        mine = "SELECT incarnation FROM storm.leases WHERE split_part(place, ':', 2) = %s"
        return [int(each) for (each,) in self.sql(mine, str(worker.popen.pid))]

    # ------------------------------------------------------------ faults

    async def do(self, fault: str) -> None:
        """One of the faults, at some moment of the work."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.4) ** 2)
        self.supervise()
        await getattr(self, fault)()
        self.faults[fault] += 1

    async def kill(self, worker: Process | None = None) -> None:
        worker = worker or self.chance.choice(self.living)
        self.living.remove(worker)
        now = self.sql("SELECT clock_timestamp()")[0][0]
        self.deaths += [(each, now) for each in self.incarnations(worker)]
        self.killed[worker.popen.pid] = now
        self.shop.kill(worker)
        self.worker()

    async def death(self) -> None:
        await self.kill(await self._somebody_busy())
        while not self._buried(self.deaths[-1][0]):
            await asyncio.sleep(0.05)

    async def crash(self) -> None:
        with self._going_on("crash"):
            await asyncio.to_thread(self.server.crash)
            await asyncio.to_thread(self.server.start)
        self._disturbed()

    async def panic(self) -> None:
        with self._going_on("panic"):
            await asyncio.to_thread(self.server.panic)
        self._disturbed()

    async def terminate(self) -> None:
        with self._going_on("terminate"):
            self.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        self.book.mark(what, place=1)
        yield
        self.book.mark(what, place=2)

    async def pause(self) -> None:
        worker = await self._somebody_busy()
        worker.popen.send_signal(signal.SIGSTOP)
        self.suspects.add(worker.popen.pid)
        self.book.mark("pause", worker.popen.pid)
        await self._until_buried(worker)
        worker.popen.send_signal(signal.SIGCONT)
        self.book.mark("go on", worker.popen.pid)

    async def stall(self) -> None:
        """A third worker, behind a proxy that swallows all answers until others have its work."""
        async with Proxy(self.server.url) as proxy:
            worker = self.worker(url=f"{proxy.url}&{self.options}")
            self.suspects.add(worker.popen.pid)
            await self._until_busy(worker)
            proxy.answers.clear()
            self.book.mark("stall", worker.popen.pid)
            await self._until_buried(worker)
            proxy.answers.set()
            await asyncio.sleep(self.lease / 4)
            self.living.remove(worker)
            self.shop.kill(worker)
            await asyncio.sleep(0.1)  # its connections end by themselves

    async def _somebody_busy(self) -> Process:
        while True:
            self.supervise()
            for worker in self.chance.sample(self.living, len(self.living)):
                if self._owns(worker):
                    return worker
            await self._a_little_work()

    async def _until_busy(self, worker: Process) -> None:
        while not self._owns(worker):
            assert worker.popen.poll() is None, worker.log.read_text()[-3000:]
            await self._a_little_work()

    def _owns(self, worker: Process) -> bool:
        owned = "SELECT 1 FROM storm.executions WHERE owner = ANY(%s::bigint[]) LIMIT 1"
        return bool(self.sql(owned, self.incarnations(worker)))

    async def _a_little_work(self) -> None:
        await self.start(1_000_000 + len(self.handles), {"straight": straight(3)})
        await asyncio.sleep(0.05)

    async def _until_buried(self, worker: Process) -> None:
        while self.incarnations(worker):
            await asyncio.sleep(0.05)

    def _disturbed(self) -> None:
        """Nobody could take over while the database was down: how long that took says nothing."""
        self.deaths = [(each, None) if not self._buried(each) else (each, at) for each, at in self.deaths]

    def _buried(self, incarnation: int) -> bool:
        return bool(self.sql("SELECT 1 FROM storm.burials WHERE incarnation = %s", incarnation))

    # ------------------------------------------------------------ the end

    async def finish(self) -> dict[str, str]:
        """All that was started ends; the workers are stopped in order."""
        self.supervise()
        statuses = await self.ended()
        await self.stop()
        return statuses

    async def stop(self) -> None:
        """The workers end in order."""
        self.supervise()
        for worker in self.living:
            await until_so(lambda worker=worker: worker.said("working"), "the worker to hear us")
            assert self.shop.stop(worker) == 0, worker.log.read_text()[-3000:]
        self.living.clear()

    def judge(self, statuses: dict[str, str]) -> Judgement:
        deposed = self._deposed()
        assert self.suspects <= deposed, "the server saw that others took over from those that stood still"
        self.suspects = deposed
        return judge(self.book.lines(), statuses, self.wanted, self.suspects)

    def _deposed(self) -> set[int]:
        """Workers that lived when others took over from them (on a busy machine a lease runs out): so the
        server saw it, though they may have been killed before they could say so themselves.
        """
        found = set()
        for place, undertaker, at in self.sql("SELECT place, undertaker, at FROM storm.burials"):
            pid = int(place.split(":")[1])
            if undertaker != f"w{pid}" and (pid not in self.killed or at < self.killed[pid]):
                found.add(pid)
        return found

    def zombies(self) -> list[str]:
        return [str(said) for (said,) in self.sql("SELECT said FROM storm.zombies")]

    def takeovers(self) -> list[float]:
        """How long after its death each killed worker's fence was retired, in lease times."""
        known = dict(self.sql("SELECT incarnation, at FROM storm.burials"))
        return [(known[i] - at).total_seconds() / self.lease for i, at in self.deaths if at and i in known]


async def persistently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store can be asked; a creation with the same id is the same."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask()
            except StoreError:
                await asyncio.sleep(0.05)
