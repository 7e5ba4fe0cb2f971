"""Real processes and a real PostgreSQL under faults: nothing is lost, silent, half done, done twice or out of order,
and no zombie writes. All is judged from the participants' book, the store's headers, and triggers in the database."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends.errors import UnknownName
from amends.store.postgres.statement import EPOCH
from tests.cluster import Server, server, several
from tests.figures import record
from tests.stores import execute

from .judging import judge
from .processes import ROOT, reaches, until_so
from .releases.release_1 import first
from .releases.release_2 import second
from .shop import straight
from .storm import Storm

Say = Callable[[str, object], None]
SOME = {"kill": 17, "death": 3, "crash": 5, "panic": 5, "terminate": 2, "pause": 1, "stall": 1}
MANY = {"kill": 180, "death": 20, "crash": 50, "panic": 50, "terminate": 20, "pause": 10, "stall": 10}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def standby(cluster: Server) -> Iterator[Server]:
    """A standby of it, which a test may promote; afterwards the first is alone and as it was."""
    with cluster.followed(cluster.port + 1) as other:
        yield other


def storm(folder: Path, cluster: Server, seed: int, faults: dict[str, int], say: Say) -> list[float]:
    """All the faults, in an order that the seed decides; returns how long takeovers took, in lease times."""
    run = Storm(folder, cluster, seed)
    order = [fault for fault, count in faults.items() for _ in range(count)]
    random.Random(seed).shuffle(order)

    async def main() -> dict[str, str]:
        async with run.open():
            for _ in range(2):
                run.worker()
            for number, fault in enumerate(order):
                before = run.book.size()
                await run.start(number)
                await run.some_work(run.chance.randint(2, 12), since=before)
                await run.do(fault)
            return await run.finish()

    statuses = asyncio.run(main())
    found, zombies, takeovers = run.judge(statuses), run.zombies(), run.takeovers()
    numbers = {
        "executions": len(statuses),
        "actions": found.actions,
        "again": found.again,
        "late": found.late,
    }
    numbers |= {"lost": len(found.lost), "duplicates": len(found.duplicates), "zombie_writes": len(zombies)}
    record("faults on PostgreSQL", **dict(run.faults), **numbers)
    done = ", ".join(f"{count} x {fault}" for fault, count in sorted(run.faults.items()))
    counted = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in numbers.items())
    say("said", f"faults on PostgreSQL: {done}: {counted}")
    say(
        "said",
        f"faults on PostgreSQL: takeover began {max(takeovers):.2f} lease times after a death, at most (of {len(takeovers)})",
    )
    assert not found.findings, "\n".join(found.findings)
    assert not zombies, "\n".join(zombies)
    assert dict(run.faults) == faults
    assert found.again, "some fault met a step"
    return takeovers


@pytest.mark.slow
@pytest.mark.long
def test_a_storm(tmp_path: Path, cluster: Server, record_property: Say) -> None:
    storm(tmp_path, cluster, int(os.environ.get("SEED", "5")), SOME, record_property)


@pytest.mark.soak
def test_a_long_storm(tmp_path: Path, cluster: Server, record_property: Say) -> None:
    """The same with larger numbers; here the machine is not shared, so that takeovers are timed."""
    seed = int(os.environ.get("SEED", "1"))
    takeovers = storm(tmp_path, cluster, seed, MANY, record_property)
    assert max(takeovers) <= 2.0


# ---------------------------------------------------------------- a zombie is seen


@pytest.mark.slow
def test_without_the_fence_a_zombie_is_seen(tmp_path: Path, cluster: Server) -> None:
    """A worker that stands still past its lease, and whose statements are not fenced, writes what others own."""
    run = Storm(tmp_path, cluster, 1, lease=1.0)

    async def main() -> None:
        async with run.open():
            zombie = run.worker(sabotage="no_fence")
            await run.start(0, {"slow": straight(2, seconds=2.5)})
            await until_so(lambda: run.book.size() >= 1, "the step to begin")
            await asyncio.sleep(0.3)  # by now it waits
            zombie.popen.send_signal(signal.SIGSTOP)
            its_end = asyncio.create_task(asyncio.sleep(2.7))
            run.worker()
            await until_so(lambda: run.book.size() >= 2, "another to begin it again")
            await its_end  # the other still runs it
            zombie.popen.send_signal(signal.SIGCONT)
            await run.ended()

    asyncio.run(main())
    assert any("wrote row" in said for said in run.zombies()), run.zombies()


# ---------------------------------------------------------------- the primary dies


class Failover(Storm):
    """The primary dies in the middle of work, and its standby is promoted."""

    async def fail_over(self, standby: Server) -> None:
        await asyncio.to_thread(self.server.crash)
        self.book.mark("failover")
        await asyncio.to_thread(standby.promote)

    def old(self) -> int:
        """How many incarnations of before could still write."""
        alive = "SELECT count(*) FROM storm.fences WHERE NOT retired AND epoch <> "
        return int(self.sql(alive + EPOCH)[0][0])


@pytest.mark.slow
def test_a_synchronous_standby_has_all_that_was_acknowledged(
    tmp_path: Path, cluster: Server, standby: Server, record_property: Say
) -> None:
    run = Failover(tmp_path, cluster, 3, url=several(cluster, standby))

    async def main() -> dict[str, str]:
        async with run.open():
            run.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            run.sql("SELECT pg_reload_conf()")
            for _ in range(2):
                run.worker()
            for number in range(4):
                await run.start(number)
            await run.some_work(20)
            enough = asyncio.Event()
            starting = asyncio.create_task(keep_starting(run, enough))
            await run.some_work(20)
            await run.fail_over(standby)
            await run.some_work(40)
            enough.set()
            await starting
            return await run.finish()

    statuses = asyncio.run(main())
    found = run.judge(statuses)
    said = f"{len(run.wanted)} acknowledged, lost {len(found.lost)}, zombie writes {len(run.zombies())}"
    record_property("said", f"failover to a synchronous standby: {said}")
    assert not found.findings, "\n".join(found.findings)
    assert not run.zombies()
    assert not run.old()


async def keep_starting(run: Storm, enough: asyncio.Event) -> None:
    number = 100
    while not enough.is_set():
        await run.start(number := number + 1)
        await asyncio.sleep(0.1)


@pytest.mark.slow
def test_an_asynchronous_standby_goes_on_from_what_it_has(
    tmp_path: Path, cluster: Server, standby: Server, record_property: Say
) -> None:
    """Acknowledged commits are lost, and nobody pretends otherwise: what the standby never heard of is unknown, the
    rest goes on from where the standby saw it, and what is done again has the same keys."""
    run = Failover(tmp_path, cluster, 4, url=several(cluster, standby))

    async def main() -> tuple[dict[str, str], frozenset[str]]:
        async with run.open():
            for _ in range(2):
                run.worker()
            kept = {f"kept-{n}": straight(12, "refuse" if n % 2 else "", seconds=0.1) for n in range(8)}
            await run.start(0, kept)
            await run.some_work(20)
            here = run.sql("SELECT pg_current_wal_lsn()")[0][0]
            while not caught_up(standby, here):
                await asyncio.sleep(0.02)
            await asyncio.to_thread(standby.stop)
            await run.start(1)
            lost = frozenset(run.wanted) - {f"{id}-0" for id in kept}
            await run.some_work(30)
            for id in sorted(lost):
                if id.startswith("straight"):
                    await reaches(run.handles[id], "completed")
            await asyncio.to_thread(cluster.crash)
            run.book.mark("failover")
            run.suspects |= {worker.popen.pid for worker in run.living}  # they remember more than the standby
            await asyncio.to_thread(standby.start)
            await asyncio.to_thread(standby.promote)
            statuses = await run.ended(but=lost)
            for id in sorted(lost):
                with pytest.raises(UnknownName):
                    await run.handles[id].status()
            await run.stop()
            return statuses, lost

    statuses, lost = asyncio.run(main())
    lines = [line for line in run.book.lines() if line.root not in lost]
    found = judge(lines, statuses, set(run.wanted) - lost, run.suspects)
    said = f"{len(run.wanted)} acknowledged, unknown afterwards {len(lost)}, done again with their keys {found.again}"
    record_property("said", f"failover to an asynchronous standby: {said}")
    assert not found.findings, "\n".join(found.findings)
    assert found.again, "the standby lacked some rows"
    assert not run.zombies()
    assert not run.old()


def caught_up(standby: Server, lsn: str) -> bool:
    return bool(execute(standby.url, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0][0])


# ---------------------------------------------------------------- two releases


@pytest.mark.slow
def test_two_releases_roll(tmp_path: Path, cluster: Server) -> None:
    """Each release serves what was begun with its code, and the old one is needed until that has ended."""
    run = Storm(tmp_path, cluster, 5)

    async def main() -> tuple[dict[str, str], set[int]]:
        async with run.open():
            old = [run.worker(release=1) for _ in range(2)]
            await run.start(1, {f"old-{n}": first("refuse" if n % 3 == 0 else "") for n in range(12)})
            await run.some_work(6)
            run.worker(release=2)
            await run.start(2, {f"new-{n}": second("refuse" if n % 3 == 0 else "") for n in range(12)})
            await run.some_work(6)
            run.shop.kill(old[0])  # what it had goes to the other of its release
            run.living.remove(old[0])
            await run.some_work(20)
            for id, handle in run.handles.items():
                if id.startswith("old"):
                    await reaches(handle, "completed", "compensated")
            return await run.finish(), {worker.popen.pid for worker in old}

    statuses, old = asyncio.run(main())
    found = run.judge(statuses)
    assert not found.findings, "\n".join(found.findings)
    assert not run.zombies()
    served = {(line.id.startswith("old"), line.pid in old) for line in run.book.lines() if line.id}
    assert served == {(True, True), (False, False)}


@pytest.mark.soak
def test_the_release_before_runs_beside_this_one(tmp_path: Path, cluster: Server) -> None:
    """Code of before the last migration works on while this code migrates its store, and works beside it."""
    before = source_before_the_last_migration(tmp_path / "before")
    run = Storm(tmp_path, cluster, 6)
    run.sql("DROP SCHEMA IF EXISTS storm CASCADE")

    async def main() -> dict[str, str]:
        run.shop.environment = {"PYTHONPATH": str(before)}
        old = run.shop.start_worker()  # it makes the schema
        run.shop.environment = {}
        async with run.open(fresh=False):  # this code migrates it
            await run.start(1)
            await run.some_work(10)
            new = run.worker()
            for number in range(2, 100):
                await run.start(number)
                await run.some_work(5)
                if number >= 8 and any(line.pid == new.popen.pid for line in run.book.lines()):
                    break
            run.living.remove(new)
            run.shop.kill(new)
            await run.ended()
            assert run.shop.stop(old) == 0, old.log.read_text()[-3000:]
            return await run.finish()

    statuses = asyncio.run(main())
    found = run.judge(statuses)
    assert not found.findings, "\n".join(found.findings)
    assert len({line.pid for line in run.book.lines() if line.id}) == 2


def source_before_the_last_migration(folder: Path) -> Path:
    """The `src` of the commit before it, from the repository's history."""
    migrations = "src/amends/store/postgres/migrations"
    git = ["git", "-C", str(ROOT)]
    last = subprocess.run(
        [*git, "log", "-1", "--format=%h", "--", migrations], capture_output=True, text=True, check=True
    )
    folder.mkdir()
    packed = subprocess.run(
        [*git, "archive", f"{last.stdout.strip()}~", "src"], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder / "src"
