"""Real processes on one file: clients, a standby, kill -9, fork."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amends.store import SqliteStore
from amends.store.kit.support import all_committed, claim_one, done, positions, row, same, to
from amends.store.port import Write

PRELUDE = """
import asyncio, os, sys
from amends.store import SqliteStore
from amends.store.kit.support import *
from amends.store.port import *

def say(text):
    os.write(1, f"{text}\\n".encode())  # a line in one piece, also from two processes
"""


@contextmanager
def process(path: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    """A second Python with an open store; `body` is the inside of an async function."""
    source = (
        f"{PRELUDE}\nasync def main():\n    store = SqliteStore({str(path)!r}, standby_poll=0.005)\n"
        f"    await store.open()\n{textwrap.indent(textwrap.dedent(body), '    ')}\nasyncio.run(main())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def go_on(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


CLIENT = """
assert await store.register(0.0, wait=False) is None
assert await store.create(header("a", id="order-1"))
assert not await store.create(header("b", id="order-1"))
say("created")
sys.stdin.readline()
await store.send([to("a", "[1]", "k")])
say("sent")
sys.stdin.readline()
head = await store.find("default", "order-1")
say(head.status)
await store.close()
"""


def test_second_process_is_a_client(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        me = await store.register(0.0, wait=False)
        assert me is not None
        with process(tmp_path / "x.db", CLIENT) as client:
            assert line(client) == "created"
            assert await store.changed()
            assert (await claim_one(store, me)).header.uid == "a"
            all_committed(await store.commit(me, [Write("a", row=row(0))]))
            assert not await store.changed()
            go_on(client)
            assert line(client) == "sent"
            assert await store.changed()
            (message,) = await store.news(me, 0)
            assert (message.uid, message.event, message.key) == ("a", "[1]", "k")
            all_committed(await store.commit(me, [done("a", 1, seen=1)]))
            go_on(client)
            assert line(client) == "completed"
        await store.retire(me)
        await store.close()

    asyncio.run(main())


WORKER = """
me = await store.register(0.0, wait=False)
all_committed(await store.commit(me, [start("a"), start("b")]))
all_committed(await store.commit(me, [asleep("b", 1, 500.0)]))
say("working")
sys.stdin.readline()
"""


def test_standby_takes_over_after_kill(tmp_path: Path) -> None:
    async def main() -> None:
        with process(tmp_path / "x.db", WORKER) as worker:
            assert line(worker) == "working"
            store = SqliteStore(tmp_path / "x.db", standby_poll=0.005)
            await store.open()
            assert await store.register(5.0, wait=False) is None
            standby = asyncio.ensure_future(store.register(5.0, wait=True))
            for _ in range(5):  # it waits without holding up the loop
                await asyncio.sleep(0.005)
            assert not standby.done()
            worker.send_signal(signal.SIGKILL)
            me = await asyncio.wait_for(standby, 60)
            assert me is not None
        claim = await claim_one(store, me)
        assert (claim.header.uid, claim.lost, claim.deaths) == ("a", True, 1)
        await store.retire(me)
        await store.close()

    asyncio.run(main())


def test_stopped_worker_keeps_its_place(tmp_path: Path) -> None:
    """No heartbeat that could be missed: a worker stopped in a debugger is still the worker."""

    async def main() -> None:
        with process(tmp_path / "x.db", WORKER) as worker:
            assert line(worker) == "working"
            worker.send_signal(signal.SIGSTOP)
            store = SqliteStore(tmp_path / "x.db")
            await store.open()
            assert await store.register(5.0, wait=False) is None
            worker.send_signal(signal.SIGCONT)
            await store.close()

    asyncio.run(main())


WRITER = """
me = await store.register(0.0, wait=False)
uids = [f"{n:02}" for n in range(30)]
all_committed(await store.commit(me, [start(uid) for uid in uids]))
position = 0
while True:
    say(position)
    position += 1
    writes = [Write(uid, row=row(position)) for uid in uids]
    verdicts = store.commit_now(me, writes) if position % 2 else None
    all_committed(verdicts or await store.commit(me, writes))
"""


@pytest.mark.parametrize("after", [0, 1, 2, 5, 11, 23, 47])
def test_kill_in_the_middle_of_commits_leaves_a_prefix(tmp_path: Path, after: int) -> None:
    """Whole commits only, and every acknowledged one."""
    with process(tmp_path / "x.db", WRITER) as writer:
        acknowledged = 0
        while acknowledged < after:
            acknowledged = int(line(writer))
        writer.send_signal(signal.SIGKILL)
        assert writer.stdout is not None
        rest = writer.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged

    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        me = await store.register(9.0, wait=False)
        assert me is not None
        claims = await store.claim(me, 9.0, 100)
        journals = [[each.position for each in claim.rows] for claim in claims]
        assert len(journals) in ({0, 30} if after == 0 else {30})  # perhaps killed before the first commit
        assert all(claim.lost for claim in claims)
        if journals:
            last = journals[0][-1]
            assert all(journal == list(range(last + 1)) for journal in journals)
            assert acknowledged <= last <= acknowledged + 1
        await store.retire(me)
        await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- fork

FORKER = """
me = await store.register(0.0, wait=False)
all_committed(await store.commit(me, [start("a")]))
child = os.fork()
if child == 0:
    try:
        store.commit_now(me, [Write("a", row=row(1))])
    except Exception as error:
        answer = str(error)
    for action in (store.commit(me, []), store.find("default", "a"), store.register(1.0, wait=False)):
        try:
            await action
            answer = "no error"
        except Exception as error:
            answer += str(error)
    say(answer.count("before this process was forked"))
    await store.close()
    del store
    import gc
    gc.collect()
    say(sys.stdin.readline().strip() or "still here")
    os._exit(0)
all_committed(await store.commit(me, [Write("a", row=row(1))]))
say("parent wrote")
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_shares_neither_connection_nor_lock(tmp_path: Path) -> None:
    """The child can use nothing of the parent's store, harms nothing, and does not keep its lock."""
    with process(tmp_path / "x.db", FORKER) as parent:
        said = {line(parent) for _ in range(2)}
        same(said, {"4", "parent wrote"}, "what both say")
        assert parent.wait() == -signal.SIGKILL  # the child lives on

        async def main() -> None:
            store = SqliteStore(tmp_path / "x.db")
            await store.open()
            me = await store.register(9.0, wait=False)
            assert me is not None
            assert await positions(store, "a") == [0, 1]
            await store.send([to("a")])
            await store.retire(me)
            await store.close()

        asyncio.run(main())
        go_on(parent)
        assert line(parent) == "still here"


def heir() -> subprocess.Popen[bytes]:
    """A program that keeps all files it inherited."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)


def test_started_programs_do_not_keep_the_lock(tmp_path: Path) -> None:
    """A program that a worker started (without closing files) does not hold the worker's place after its
    end."""

    async def main() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        assert await store.register(0.0, wait=False) is not None
        child = heir()
        store.abandon()
        other = SqliteStore(tmp_path / "x.db")
        await other.open()
        assert await other.register(0.0, wait=False) is not None
        await other.close()
        child.communicate(b"\n")

    asyncio.run(main())


def test_start_is_idempotent_across_processes(tmp_path: Path) -> None:
    """Many processes create one id at once: exactly one of them does."""
    racer = """
    sys.stdin.readline()
    made = [await store.create(header(f"{os.getpid()}-{n}", id=f"order-{n}")) for n in range(20)]
    say(sum(made))
    await store.close()
    """
    path = tmp_path / "x.db"
    with process(path, racer) as one, process(path, racer) as two, process(path, racer) as three:
        racers = (one, two, three)
        for each in racers:
            go_on(each)
        assert sum(int(line(each)) for each in racers) == 20
