"""The writing connection: where transactions run, what stands in their way, and commits that fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from amends.errors import CommitUnknown, Fenced, StoreBusy, StoreError, StoreFull
from amends.store import SqliteStore
from amends.store.kit.support import all_committed, claim_one, done, header, positions, row, start, to
from amends.store.port import Write
from amends.store.sqlite import core
from amends.store.sqlite.commit import APPEND_ALONE, BEGIN_ALONE, END_ALONE


async def worker(path: Path, **options: Any) -> tuple[SqliteStore, int]:
    options.setdefault("inline_seconds", 1e9)  # however slow the disk of the day is
    store = SqliteStore(path, **options)
    await store.open()
    me = await store.register(0.0, wait=False)
    assert me is not None
    return store, me


class Held:
    """An executor whose jobs run when the test says so: the seam of a simulation."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []
        self.held = False

    def submit(self, job: Callable[[], None]) -> None:
        if self.held:
            self.jobs.append(job)
        else:
            job()

    def stop(self) -> None:
        assert not self.jobs

    def release(self) -> None:
        self.held = False
        while self.jobs:
            self.jobs.pop(0)()


class Hands:
    """A clock that moves only by being read."""

    def __init__(self) -> None:
        self.step = 0.0
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        self.time += self.step
        return self.time


# ---------------------------------------------------------------- where transactions run


def test_nothing_runs_beside_a_transaction_in_the_thread(tmp_path: Path) -> None:
    async def main() -> None:
        held = Held()
        store, me = await worker(tmp_path / "x.db", executor=held)
        assert store.commit_now(me, [start("a")]) is not None
        held.held = True
        commit = asyncio.ensure_future(store.commit(me, [Write("a", row=row(1))]))
        await asyncio.sleep(0)
        assert store.commit_now(me, [start("b")]) is None
        creation = asyncio.ensure_future(store.create(header("c")))
        sending = asyncio.ensure_future(store.send([to("a")]))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(held.jobs) == 2  # the commit, and one for both that follow
        assert await positions(store, "a") == [0]  # reading waits for nobody
        assert await store.changed()
        held.release()
        all_committed(await commit)
        assert await creation
        await sending
        assert store.commit_now(me, [start("b")]) is not None
        await store.retire(me)
        await store.close()

    asyncio.run(main())


def test_large_batches_go_to_the_thread(tmp_path: Path) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db", inline_rows=3)
        assert store.commit_now(me, [start(uid) for uid in "abcd"]) is None
        assert store.commit_now(me, [start(uid) for uid in "abc"]) is not None
        await store.close()

    asyncio.run(main())


def test_slow_disks_go_to_the_thread(tmp_path: Path) -> None:
    """And come back when they are quick again."""

    async def main() -> None:
        clock = Hands()
        store, me = await worker(tmp_path / "x.db", clock=clock, inline_seconds=0.002)
        assert store.commit_now(me, [start("a")]) is not None
        clock.step = 1.0
        assert store.commit_now(me, [start("b")]) is not None
        assert store.commit_now(me, [start("c")]) is None
        clock.step = 0.0
        for number in range(30):
            all_committed(await store.commit(me, [start(f"d{number}")]))
        assert store.commit_now(me, [start("c")]) is not None
        await store.close()

    asyncio.run(main())


def test_thread_is_not_the_callers(tmp_path: Path) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a")]))
        threads: list[str] = []
        await store.transact(me, "a", lambda tx: [threads.append(threading.current_thread().name), row(1)][1])  # type: ignore[arg-type, func-returns-value, return-value]
        assert threads == ["amends-store"]
        await store.close()

    asyncio.run(main())


def test_cancelled_commit_still_counts(tmp_path: Path) -> None:
    """Cancelling the caller does not stop the transaction, nor upset the ones after it."""

    async def main() -> None:
        held = Held()
        store, me = await worker(tmp_path / "x.db", executor=held)
        held.held = True
        commit = asyncio.ensure_future(store.commit(me, [start("a")]))
        await asyncio.sleep(0)
        commit.cancel()
        await asyncio.gather(commit, return_exceptions=True)
        held.release()
        await asyncio.sleep(0)
        assert await positions(store, "a") == [0]
        verdicts = store.commit_now(me, [Write("a", row=row(1))])
        assert verdicts is not None
        all_committed(verdicts)
        await store.close()

    asyncio.run(main())


def test_store_can_be_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        for number in range(3):
            await store.open()
            await store.open()  # once more does nothing
            me = await store.register(0.0, wait=False)
            assert me is not None
            all_committed(await store.commit(me, [start(f"a{number}")]))
            await store.retire(me)
            await store.close()
            await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- locks of others


def test_lock_of_another_process(tmp_path: Path) -> None:
    """In the caller's thread nobody waits for it; in the writer's thread, as long as patience lasts."""

    async def main() -> None:
        pauses: list[float] = []
        clock = Hands()
        store, me = await worker(tmp_path / "x.db", clock=clock, patience=3.5, pause=pauses.append)
        all_committed(await store.commit(me, [start("a")]))
        other = apsw.Connection(str(tmp_path / "x.db"))
        other.execute("BEGIN IMMEDIATE")
        assert store.commit_now(me, [Write("a", row=row(1))]) is None
        assert pauses == []
        clock.step = 1.0
        with pytest.raises(StoreBusy):
            await store.commit(me, [Write("a", row=row(1))])
        assert pauses == [0.001, 0.002, 0.003, 0.004]
        with pytest.raises(StoreBusy):
            await store.create(header("b"))
        clock.step = 0.0
        other.execute("ROLLBACK")
        all_committed(await store.commit(me, [Write("a", row=row(1))]))
        other.close()
        await store.close()

    asyncio.run(main())


def test_lock_that_is_let_go_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        other: list[apsw.Connection] = []
        store, me = await worker(tmp_path / "x.db", pause=lambda seconds: other[0].execute("ROLLBACK"))
        other.append(apsw.Connection(str(tmp_path / "x.db")))
        other[0].execute("BEGIN IMMEDIATE")
        all_committed(await store.commit(me, [start("a")]))
        other[0].close()
        await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- commits that fail


ONE = {"row": Write("a", row=row(1)), "end": done("a", 1), "start": start("b")}
"""The writes that are carried out alone."""
ALONE = (APPEND_ALONE, BEGIN_ALONE, END_ALONE)


class Failing:
    """A connection whose COMMIT fails once when armed: before it took effect, or after."""

    armed: str = ""

    def __init__(self, real: apsw.Connection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        armed = Failing.armed
        if sql in ("COMMIT", *ALONE) and armed:
            Failing.armed = ""
            if armed == "after":
                self._real.execute(sql, *arguments).fetchall()
            elif sql.endswith("COMMIT") and armed in ("full", "busy"):  # SQLite keeps the transaction open
                self._real.execute(sql.removesuffix("COMMIT"), *arguments).fetchall()
            raise {"full": apsw.FullError, "busy": apsw.BusyError}.get(armed, apsw.IOError)("injected")
        return self._real.execute(sql, *arguments, **options)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    real = core.open_writer
    monkeypatch.setattr(core, "open_writer", lambda *arguments: Failing(real(*arguments)))
    monkeypatch.setattr("amends.store.sqlite.writer.checkpoint_on_close", lambda connection, wanted: None)
    return Failing


@pytest.mark.parametrize("when", ["before", "after"])
def test_unknown_commit_is_cleared_up_by_registering_again(
    tmp_path: Path, failing: type[Failing], when: str
) -> None:
    """Retire, register, read: the truth is one or the other, and the worker keeps its place meanwhile."""

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a"), start("b")]))
        standby = SqliteStore(tmp_path / "x.db", standby_poll=0.0)
        await standby.open()
        waiting = asyncio.ensure_future(standby.register(5.0, wait=True))
        failing.armed = when
        with pytest.raises(CommitUnknown):
            await store.commit(me, [Write("a", row=row(1)), start("c")])
        await store.retire(me)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        again = await store.register(6.0, wait=False)
        assert again is not None
        assert again != me
        with pytest.raises(Fenced):
            await store.commit(me, [Write("b", row=row(1))])
        known = 2 if when == "after" else 1
        claims = {claim.header.uid: claim for claim in await store.claim(again, 9.0, 10)}
        assert len(claims["a"].rows) == known
        assert ("c" in claims) == (when == "after")
        assert all(claim.lost for claim in claims.values())
        all_committed(await store.commit(again, [Write("a", row=row(known))]))
        await store.retire(again)
        successor = await asyncio.wait_for(waiting, 60)
        assert successor is not None
        await standby.close()
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(("when", "kind"), [("full", StoreFull), ("busy", StoreBusy)])
def test_refused_commit_changed_nothing(
    tmp_path: Path, failing: type[Failing], when: str, kind: type[StoreError]
) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a")]))
        failing.armed = when
        with pytest.raises(kind):
            await store.commit(me, [Write("a", row=row(1)), start("b")])
        assert await positions(store, "a") == [0]
        failing.armed = when
        with pytest.raises(kind):
            store.commit_now(me, [Write("a", row=row(1)), start("b")])
        all_committed(await store.commit(me, [Write("a", row=row(1)), start("b")]))
        await store.close()

    asyncio.run(main())


async def stored(store: SqliteStore) -> list[tuple[str, str, int]]:
    """Uid, status and number of rows of all that there is of a and b."""
    found = [await store.read(uid) for uid in "ab"]
    return [(each[0].uid, each[0].status, len(each[1])) for each in found if each is not None]


AFTER = {"row": [("a", "running", 2)], "end": [("a", "completed", 2)]}
AFTER["start"] = [("a", "running", 1), ("b", "running", 1)]


@pytest.mark.parametrize("kind", ONE)
@pytest.mark.parametrize("when", ["before", "after"])
def test_unknown_write_alone_is_unknown(tmp_path: Path, failing: type[Failing], kind: str, when: str) -> None:
    """What is its own transaction has no COMMIT of its own to fail: the same holds for it."""

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a")]))
        failing.armed = when
        with pytest.raises(CommitUnknown):
            store.commit_now(me, [ONE[kind]])
        await store.retire(me)
        again = await store.register(6.0, wait=False)
        assert again is not None
        assert await stored(store) == (AFTER[kind] if when == "after" else [("a", "running", 1)])
        claims = await store.claim(again, 9.0, 10)
        assert all(claim.lost for claim in claims)
        assert len(claims) == len([each for each in await stored(store) if each[1] == "running"])
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("kind", ONE)
@pytest.mark.parametrize("when", ["full", "busy"])
def test_refused_write_alone_is_left_to_the_long_way(
    tmp_path: Path, failing: type[Failing], kind: str, when: str
) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a")]))
        failing.armed = when
        assert store.commit_now(me, [ONE[kind]]) is None
        assert await stored(store) == [("a", "running", 1)]
        all_committed(store.commit_now(me, [ONE[kind]]) or [])
        assert await stored(store) == AFTER[kind]
        await store.close()

    asyncio.run(main())


def test_real_row_alone_in_a_full_file(tmp_path: Path) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db", max_pages=40)
        all_committed(await store.commit(me, [start("a")]))
        large = [Write("a", row=row(1, 1.0, "x" * 1_000_000))]
        assert store.commit_now(me, large) is None
        with pytest.raises(StoreFull):
            await store.commit(me, large)
        all_committed(store.commit_now(me, [Write("a", row=row(1))]) or [])
        assert await positions(store, "a") == [0, 1]
        await store.close()

    asyncio.run(main())


def test_unknown_creation_can_be_asked_again(tmp_path: Path, failing: type[Failing]) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        failing.armed = "after"
        with pytest.raises(CommitUnknown):
            await store.create(header("a"))
        assert not await store.create(header("b", id="a"))
        await store.close()

    asyncio.run(main())


LIMITED = """
import asyncio, resource, signal, sys
from amends.errors import CommitUnknown
from amends.store import SqliteStore
from amends.store.kit.support import *
from amends.store.port import *

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    me = await store.register(0.0, wait=False)
    all_committed(await store.commit(me, [start("a")]))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        await store.commit(me, [Write("a", row=row(1, 1.0, "x" * 1_000_000))])
    except CommitUnknown:
        print("unknown")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.retire(me)
    me = await store.register(1.0, wait=False)
    claim = await claim_one(store, me)
    print(len(claim.rows), claim.lost)
    all_committed(await store.commit(me, [Write("a", row=row(1))]))
    await store.retire(me)
    await store.close()

asyncio.run(main())
"""


def test_real_write_error_at_commit(tmp_path: Path) -> None:
    """The operating system refuses to write the log any further: unknown, then cleared up."""
    pytest.importorskip("resource")
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "x.db")], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["unknown", "1", "True"]


def test_closed_in_the_middle_claims_again(tmp_path: Path) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start("a")]))
        await store.close()
        store, me = await worker(tmp_path / "x.db")
        claim = await claim_one(store, me)
        assert (claim.lost, claim.deaths) == (True, 1)
        await store.close()

    asyncio.run(main())
