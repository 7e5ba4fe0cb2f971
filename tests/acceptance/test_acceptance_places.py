"""One store on two real servers, three worker processes: workers are killed with SIGKILL in the middle of a step, and the
second server aborts under load and comes back. Nothing is lost and nothing done twice, by the participants' books; what is
on the first server is judged as if the second had never been away."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from amends import Client, Handle
from amends.errors import StoreBusy
from amends.store.partition import holder_of, partition_of
from tests.cluster import Server, server, several
from tests.figures import record
from tests.stores import execute

from .book import BEGUN, KILLED, Line
from .judging import Judgement, judge
from .processes import FINAL, PATIENCE, Process, Shop, reaches, until_so
from .shop import straight
from .storm import KINDS, persistently

WORKERS = 3
LEASE = 4.0
EXPECTED = ("ownership is in doubt", "cannot register again yet", "cannot stand by for", "retired by others")


@pytest.fixture(scope="module")
def clusters() -> Iterator[list[Server]]:
    with server() as one, server() as two:
        yield [one, two]


def number_of(id: str) -> int:
    """On which of the two servers an execution is."""
    return holder_of(partition_of("default", id), 2)


class TwoServers:
    """One run. Kills and crashes come at moments that the seed decides, each of them upon work."""

    def __init__(
        self, folder: Path, servers: list[Server], schema: str, seed: int, standby: Server | None = None
    ) -> None:
        self.servers, self.schema, self.standby = servers, schema, standby
        self.urls = [each.url for each in servers]
        if standby is not None:
            self.urls[1] = several(servers[1], standby)
        options = urlencode({"schema": schema, "lease": LEASE, "look": 0.2, "answer": 5.0, "unsafe": "true"})
        self.shop = Shop(folder, " ".join(f"{url}&{options}" for url in self.urls))
        self.book = self.shop.book
        self.chance = random.Random(seed)
        self.living: list[Process] = []
        self.handles: dict[str, Handle[Any]] = {}
        self.met = 0  # steps that were under way when their worker was killed
        self.meanwhile = 0  # executions that began and ended on the first server while the second was away
        self.shaken: set[int] = set()  # processes that lived when a server crashed
        self.statuses: dict[str, str] = {}

    async def main(self, kills: int, crashes: int) -> None:
        order = ["kill"] * kills + ["crash"] * crashes
        self.chance.shuffle(order)
        async with Client(self.shop.url) as self.client:
            for _ in range(WORKERS):
                self.living.append(self.shop.start_worker(wait=""))
            for wave, fault in enumerate(order):
                await self._start(f"w{wave}")
                await self._do(fault, wave)
            for id, handle in self.handles.items():
                status = await reaches(handle, *FINAL)
                self.statuses[id] = status.status
            self.statuses |= {each.id: each.status for each in await self.client.list(limit=100_000)}
        for worker in self.living:
            await until_so(lambda worker=worker: worker.said("working"), "the worker to hear us")
            assert self.shop.stop(worker) == 0, worker.log.read_text()[-3000:]

    async def _start(self, word: str) -> None:
        """Some of each kind, on both servers as it happens."""
        for kind, call in KINDS.items():
            for n in range(2):
                id = f"{kind}-{word}-{n}"
                self.handles[id] = await self.client.start(call, id=id)

    # ------------------------------------------------------------ faults

    async def _do(self, fault: str, wave: int) -> None:
        if fault == "kill":
            await self._kill()
        elif self.standby is None:
            await self._crash(wave)
        else:
            await self._fail_over(self.standby)

    async def _fail_over(self, standby: Server) -> None:
        """The second server aborts for good while steps are under way, and its standby takes its place."""
        await until_so(lambda: any(map(self._under_way, self.living)), "a step under way")
        self.book.mark("crash", place=1)
        await asyncio.to_thread(self.servers[1].crash)
        self.shaken |= {worker.popen.pid for worker in self.living}
        await asyncio.to_thread(standby.promote)
        self.book.mark("crash", place=2)
        for id in list(self.handles):
            await persistently(
                self.handles[id].status
            )  # it is known there, and so is that one has to look there

    async def _kill(self) -> None:
        """A worker that is in the middle of a step: it is stopped first, and killed if the step is still under way."""
        await asyncio.sleep(self.chance.uniform(0.0, 0.3))
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, "waited in vain for a step under way"
            for worker in self.chance.sample(self.living, len(self.living)):
                if not self._under_way(worker):
                    continue
                worker.popen.send_signal(signal.SIGSTOP)
                if met := self._under_way(worker):  # nothing of it ends any more
                    self.met += len(met)
                    self.living.remove(worker)
                    self.shop.kill(worker)
                    self.living.append(self.shop.start_worker(wait=""))
                    return
                worker.popen.send_signal(signal.SIGCONT)
            await self._start(f"more-{len(self.handles)}")
            await asyncio.sleep(0.05)

    def _under_way(self, worker: Process) -> set[str]:
        """Keys of steps that this process has begun and not ended."""
        open: set[str] = set()
        for line in self.book.lines():
            if line.pid == worker.popen.pid and line.outcome != KILLED:
                (open.add if line.outcome == BEGUN else open.discard)(line.key)
        return open

    async def _crash(self, wave: int) -> None:
        """The second server aborts while steps are under way; the first goes on, and a new worker begins there."""
        await until_so(lambda: any(map(self._under_way, self.living)), "a step under way")
        self.book.mark("crash", place=1)
        await asyncio.to_thread(self.servers[1].crash)
        self.shaken |= {worker.popen.pid for worker in self.living}
        self.living.append(self.shop.start_worker(wait="working"))
        self.shop.kill(self.living.pop(0))
        ids = [id for n in range(40) if not number_of(id := f"meanwhile-{wave}-{n}")]
        for id in ids:
            self.handles[id] = await self.client.start(straight(2), id=id)
        for id in ids:
            await reaches(self.handles[id], "completed")
        self.meanwhile += len(ids)
        there = next(id for n in range(40) if number_of(id := f"refused-{wave}-{n}"))
        with pytest.raises(StoreBusy, match=str(self.servers[1].folder)):
            await self.client.start(straight(1), id=there)
        await asyncio.to_thread(self.servers[1].start)
        self.book.mark("crash", place=2)
        self.handles[there] = await persistently(lambda: self.client.start(straight(1), id=there))

    # ------------------------------------------------------------ the end

    def judged(self, number: int) -> Judgement:
        """The books of what is on one server. Of the first nothing is excused by what was done to the second."""
        kept = [line for line in self.book.lines() if self._concerns(line, number)]
        statuses = {id: status for id, status in self.statuses.items() if number_of(id) == number}
        wanted = [id for id in self.handles if number_of(id) == number]
        return judge(kept, statuses, wanted, self._retired() | (self.shaken if number else set()))

    def _concerns(self, line: Line, number: int) -> bool:
        if line.outcome == KILLED:
            return line.action == "kill" or number == 1
        return number_of(line.id) == number

    def _retired(self) -> set[int]:
        """Living workers from whom others took over (on a busy machine a lease runs out)."""
        texts = {worker.popen.pid: worker.log.read_text() for worker in self.shop.workers}
        return {pid for pid, text in texts.items() if "retired by others" in text}

    def misplaced(self) -> list[str]:
        sql = f"SELECT id FROM {self.schema}.executions"
        found = [{id for (id,) in execute(url, sql)} for url in self.urls]
        return [id for number, ids in enumerate(found) for id in ids if number_of(id) != number]


def check(run: TwoServers, kills: int, crashes: int, say: Any) -> None:
    assert not run.misplaced()
    parts = [run.judged(number) for number in (0, 1)]
    for number, judgement in enumerate(parts):
        assert not judgement.findings, "\n".join([f"on server {number + 1}:", *judgement.findings])
        assert judgement.actions > 0
    assert not run.shop.complaints(*EXPECTED)
    assert run.met >= kills, "each kill met a step under way"
    assert run.standby or run.meanwhile >= crashes, "the first server went on while the second was away"
    assert sum(part.again for part in parts) > 0, "some step was dispatched again"
    numbers = {
        "executions": len(run.statuses),
        "actions": sum(part.actions for part in parts),
        "again": sum(part.again for part in parts),
        "met": run.met,
        "meanwhile": run.meanwhile,
        "lost": sum(len(part.lost) for part in parts),
        "duplicates": sum(len(part.duplicates) for part in parts),
    }
    what = "a store on two servers" + ", failover of one" * (run.standby is not None)
    record(what, kills=run.shop.kills, crashes=crashes, **numbers)
    counted = ", ".join(f"{name} {count}" for name, count in numbers.items())
    say("said", f"{what}: {run.shop.kills} kills, {crashes} crashes of one: {counted}")


@pytest.mark.slow
def test_kills_and_a_server_away(tmp_path: Path, clusters: list[Server], record_property: Any) -> None:
    run = TwoServers(tmp_path, clusters, "acceptance", seed=5)
    try:
        asyncio.run(run.main(kills=5, crashes=2))
        check(run, 5, 2, record_property)
    finally:
        run.shop.close()


@pytest.mark.slow
def test_one_server_fails_over_to_its_synchronous_standby(
    tmp_path: Path, clusters: list[Server], record_property: Any
) -> None:
    """Nothing that was acknowledged is missing there, and the first server notices nothing."""
    two = clusters[1]
    with two.followed(two.port + 1) as standby:
        execute(two.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        execute(two.url, "SELECT pg_reload_conf()")
        run = TwoServers(tmp_path, clusters, "failover", seed=6, standby=standby)
        try:
            asyncio.run(run.main(kills=2, crashes=1))
            check(run, 2, 1, record_property)
        finally:
            run.shop.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_and_crashes(
    tmp_path: Path, clusters: list[Server], seed: int, record_property: Any
) -> None:
    run = TwoServers(tmp_path, clusters, f"soak{seed}", seed=seed)
    try:
        asyncio.run(run.main(kills=20, crashes=8))
        check(run, 20, 8, record_property)
    finally:
        run.shop.close()
