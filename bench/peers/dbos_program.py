"""The peer's measuring process: DBOS on a SQLite file, in its own environment.

Why it is fair.  The database is DBOS's own default (SQLite; `journal=delete`), or that file set to WAL
before DBOS opens it (`journal=wal`), which DBOS keeps; both run with synchronous=FULL, as amends does.
`pool` sets its connections and its executor's threads: one of each is the fastest setting found (SQLite has
one writer), 0 leaves both as DBOS has them.  Both interfaces are measured, `async` (start_workflow_async) and
`sync` (start_workflow); the scenario takes the faster.  Warm-up first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sqlite3
import time
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig
from dbos._dbos import _get_dbos_instance

from bench import book
from bench.driving import Window, answer, asked, in_flight, resident_kib
from bench.peers import dbos_work as work

POOL = 1
WARM_UP = 10


def launch(path: str, journal: str, pool: int = POOL) -> None:
    """Open DBOS on the file, set to WAL beforehand when asked."""
    if journal == "wal":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{path}",
        "log_level": "CRITICAL",
    }
    if pool:
        config["sys_db_pool_size"] = pool
        config["max_executor_threads"] = pool
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS(config=config)
    DBOS.launch()


def configuration(pool: int = POOL) -> dict[str, Any]:
    """Versions and settings, the PRAGMAs as read back on DBOS's own connection."""
    with _get_dbos_instance()._sys_db.engine.connect() as connection:
        pragmas = {
            name: connection.execute(sqlalchemy.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "page_size", "wal_autocheckpoint")
        }
    return {
        "python": platform.python_version(),
        "dbos": version("dbos"),
        "sqlalchemy": version("sqlalchemy"),
        "sqlite": sqlite3.sqlite_version,
        "sys_db_pool_size": pool or "default",
        "max_executor_threads": pool or "default",
        **pragmas,
    }


def limit_threads(threads: int = POOL) -> None:
    """`asyncio.to_thread` inside DBOS uses the loop's default executor (0: as it comes)."""
    if threads:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))


async def load_async(what: str, count: int, width: int, window: Window, threads: int = POOL) -> None:
    limit_threads(threads)
    workflow, expected = work.ASYNC[what], work.EXPECTED[what]

    async def one(number: int) -> None:
        if width == 1:
            assert await workflow(0) == expected
            return
        handle = await DBOS.start_workflow_async(workflow, 0)
        assert await handle.get_result() == expected

    await in_flight(WARM_UP, width, one, Window())
    with window:
        await in_flight(count, width, one, window)


def load_sync(what: str, count: int, width: int, window: Window) -> None:
    workflow, expected = work.PLAIN[what], work.EXPECTED[what]
    for _ in range(WARM_UP):
        workflow(0)
    with window:
        if width == 1:
            for _ in range(count):
                began = time.perf_counter()
                assert workflow(0) == expected
                window.each.append(time.perf_counter() - began)
            return
        waiting: deque[Any] = deque()
        for _ in range(count):
            if len(waiting) >= width:
                assert waiting.popleft().get_result() == expected
            waiting.append(DBOS.start_workflow(workflow, 0))
        while waiting:
            assert waiting.popleft().get_result() == expected


def load(
    what: str, path: str, journal: str, api: str, count: int, width: int, pool: int = POOL
) -> dict[str, Any]:
    """throughput, latency and compensation."""
    launch(path, journal, pool)
    window = Window()
    if api == "async":
        asyncio.run(load_async(what, count, width, window, pool))
    else:
        load_sync(what, count, width, window)
    return {
        "seconds": window.seconds,
        "cpu": window.cpu,
        "each": window.each,
        "sagas": count,
        "configuration": {**configuration(pool), "api": api},
    }


async def crash(path: str, journal: str, notes: str, count: int, seconds: float) -> dict[str, Any]:
    """Start `count` executions at once and run until killed."""
    launch(path, journal)
    limit_threads()

    async def one(number: int) -> None:
        handle = await DBOS.start_workflow_async(work.five_works, notes, number, seconds)
        await handle.get_result()

    await asyncio.gather(*(one(number) for number in range(count)))
    return {"complete": count}


def recover(path: str, journal: str, notes: str, count: int) -> dict[str, Any]:
    """Open the file of the killed process, which recovers by itself, and wait until all are complete."""
    launch(path, journal)
    while book.lines(Path(notes)) < count * 5 or book.read(Path(notes)).distinct < count * 5:
        time.sleep(0.05)
    while len(done := DBOS.list_workflows(status="SUCCESS", load_input=False)) < count:
        time.sleep(0.1)
    return {"complete": len(done), "configuration": configuration()}


async def sleepers(path: str, journal: str, count: int) -> dict[str, Any]:
    """Memory per sleeping execution, and the time to wake them all."""
    launch(path, journal)
    limit_threads()
    await in_flight(WARM_UP, WARM_UP, lambda _: work.five_steps(0), Window())
    idle = resident_kib()
    until = time.time() + count / 15
    handles = [await DBOS.start_workflow_async(work.sleeper, until) for _ in range(count)]
    await asyncio.sleep(max(0.0, until - time.time() - 1))
    asleep = resident_kib()
    late = time.time() > until
    for handle in handles:
        await handle.get_result()
    return {
        "kib_each": (asleep - idle) / count,
        "seconds": time.time() - until,
        "late": late,
        "configuration": configuration(),
    }


async def record(path: str, journal: str, count: int, steps: int) -> dict[str, Any]:
    """Fill `count` journals with `steps` results each, and leave them pending."""
    launch(path, journal)
    limit_threads()
    for _ in range(count):
        await DBOS.start_workflow_async(work.long_run, 0, steps)
    while work.Gate.reached < count:  # noqa: ASYNC110 - workflows may run on another loop
        await asyncio.sleep(0.05)
    return {"rows": count * steps}


def replay(path: str, journal: str, count: int, steps: int) -> dict[str, Any]:
    """Recover the pending workflows: each runs again from its recorded results to its end."""
    work.Gate.open = True
    began = time.perf_counter()
    launch(path, journal)
    while len(DBOS.list_workflows(status="SUCCESS", load_input=False)) < count:
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": count * steps, "configuration": configuration()}


def main() -> None:
    """Run what the command line asks for, then leave without DBOS's shutdown (its pollers take seconds)."""
    what, given = asked()
    if what in work.ASYNC:
        answer(load(what, **given))
    elif what == "recover":
        answer(recover(**given))
    elif what == "replay":
        answer(replay(**given))
    else:
        chosen: Any = {"crash": crash, "sleepers": sleepers, "record": record}[what]
        asyncio.run(answer_and_leave(chosen(**given)))
    os._exit(0)


async def answer_and_leave(measured: Coroutine[Any, Any, dict[str, Any]]) -> None:
    """Executions may still be pending: leaving the loop in order would cancel them."""
    answer(await measured)
    os._exit(0)


if __name__ == "__main__":
    main()
