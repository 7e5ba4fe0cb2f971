"""The peer's measuring process on PostgreSQL: DBOS in its own environment, a database of its own.

Why it is fair.  PostgreSQL is DBOS's own recommendation; server, disk and flush are the same as ours.  `pool`
sets both the pool of connections and the executor's threads; 0 leaves both as DBOS has them.  Both interfaces
are measured.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from dbos import DBOS, DBOSConfig

from bench.driving import Window, answer, asked, in_flight
from bench.peers import dbos_work as work
from bench.peers.dbos_program import WARM_UP, load_sync


def launch(url: str, pool: int) -> None:
    config: DBOSConfig = {"name": "bench", "system_database_url": url, "log_level": "CRITICAL"}
    if pool:
        config["sys_db_pool_size"] = pool
        config["max_executor_threads"] = pool
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS(config=config)
    DBOS.launch()


async def load_async(what: str, count: int, width: int, pool: int, window: Window) -> None:
    if pool:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(pool))
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


def load(what: str, url: str, pool: int, api: str, count: int, width: int) -> dict[str, Any]:
    launch(url, pool)
    window = Window()
    if api == "async":
        asyncio.run(load_async(what, count, width, pool, window))
    else:
        load_sync(what, count, width, window)
    return {
        "seconds": window.seconds,
        "each": window.each,
        "sagas": count,
        "configuration": {
            "python": platform.python_version(),
            "dbos": version("dbos"),
            "psycopg": version("psycopg"),
            "sys_db_pool_size": pool or "default",
            "max_executor_threads": pool or "default",
            "api": api,
        },
    }


if __name__ == "__main__":
    what, given = asked()
    answer(load(what, **given))
    os._exit(0)  # DBOS's shutdown takes seconds
