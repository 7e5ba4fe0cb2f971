"""Two requests for one action at the same moment: the second waits for the first, then knows."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import pytest

from amends.participants.barrier import Barrier, Entry, Found, Verdict

DO, UNDO = "uid/0/charge/do", "uid/0/charge/undo"
barrier = Barrier()


@pytest.fixture
def connections(database: str) -> Iterator[list[psycopg.Connection[Any]]]:
    with (
        psycopg.connect(database) as one,
        psycopg.connect(database) as two,
        psycopg.connect(database) as watch,
    ):
        barrier.create_table(one)
        one.commit()
        watch.autocommit = True
        yield [one, two, watch]


def behind(connections: list[psycopg.Connection[Any]], ask: Any) -> Future[Any]:
    """Asks on the second connection, in a thread; returns once it waits for the first one."""
    one, two, watch = connections
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(ask(two))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run).start()
    while not future.done():
        (blockers,) = watch.execute("SELECT pg_blocking_pids(%s)", [two.info.backend_pid]).fetchone() or ([],)
        if blockers == [one.info.backend_pid]:
            return future
        time.sleep(0.001)
    pytest.fail(f"it did not wait: {future.result()}")


CASES = [
    # first, its end, second, what the second finds
    (DO, "commit", DO, Verdict.DUPLICATE),
    (DO, "rollback", DO, Verdict.EXECUTE),
    (DO, "commit", UNDO, Verdict.EXECUTE),
    (DO, "rollback", UNDO, Verdict.NULL),
    (UNDO, "commit", DO, Verdict.HANGING),
    (UNDO, "rollback", DO, Verdict.EXECUTE),
    (UNDO, "commit", UNDO, Verdict.DUPLICATE),
    (UNDO, "rollback", UNDO, Verdict.NULL),
]


@pytest.mark.parametrize(("first", "end", "second", "verdict"), CASES)
def test_the_second_waits(
    connections: list[psycopg.Connection[Any]], first: str, end: str, second: str, verdict: Verdict
) -> None:
    one, two, _ = connections
    barrier.enter(one, first, reply="the first")
    waiting = behind(connections, lambda c: barrier.enter(c, second, reply="the second"))
    getattr(one, end)()
    entry: Entry = waiting.result(30)
    assert entry.verdict is verdict
    if verdict is Verdict.DUPLICATE:
        assert entry.answer() == ("the first" if first is DO else None)
    two.commit()


@pytest.mark.parametrize(("end", "outcome"), [("commit", "succeeded"), ("rollback", "rejected")])
def test_sealing_waits_for_an_action_under_way(
    connections: list[psycopg.Connection[Any]], end: str, outcome: str
) -> None:
    one, two, watch = connections
    barrier.enter(one, DO, reply="done")
    assert barrier.probe(watch, DO).outcome == "unknown"
    waiting = behind(connections, lambda c: barrier.seal(c, DO))
    getattr(one, end)()
    found: Found = waiting.result(30)
    assert found.outcome == outcome
    two.commit()


def test_under_repeatable_read_the_second_is_told_to_try_again(
    connections: list[psycopg.Connection[Any]],
) -> None:
    one, two, _ = connections
    two.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    two.execute("SELECT 1")
    barrier.enter(one, DO, reply="done")
    waiting = behind(connections, lambda c: barrier.enter(c, DO))
    one.commit()
    with pytest.raises(psycopg.errors.SerializationFailure):
        waiting.result(30)
    two.rollback()
    assert barrier.enter(two, DO).answer() == "done"
    two.rollback()


KILLED = """
import os, signal, sqlite3, sys
from amends.participants.barrier import Barrier
c = sqlite3.connect(sys.argv[1])
c.execute("BEGIN IMMEDIATE")
assert Barrier().enter(c, "uid/0/charge/do", reply="lost").execute
c.execute("INSERT INTO payments VALUES (1)")
if sys.argv[2] == "after":
    c.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("when", "payments"), [("before", 0), ("after", 1)])
def test_a_service_killed_around_its_commit(tmp_path: Path, when: str, payments: int) -> None:
    path = str(tmp_path / "service.db")
    c = sqlite3.connect(path)
    barrier.create_table(c)
    c.execute("CREATE TABLE payments (amount integer)")
    done = subprocess.run([sys.executable, "-c", KILLED, path, when], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert c.execute("SELECT count(*) FROM payments").fetchone() == (payments,)
    with c:
        entry = barrier.enter(c, DO, reply="again")
    assert (entry.execute, entry.answer()) == ((False, "lost") if payments else (True, "again"))
    c.close()
