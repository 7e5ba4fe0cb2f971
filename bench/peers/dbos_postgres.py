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
from importlib.metadata import version
from typing import Any

from dbos import DBOS, DBOSConfig

from bench.driving import Window, answer, asked
from bench.peers.dbos_program import load_async, load_sync


def launch(url: str, pool: int) -> None:
    config: DBOSConfig = {"name": "bench", "system_database_url": url, "log_level": "CRITICAL"}
    if pool:
        config["sys_db_pool_size"] = pool
        config["max_executor_threads"] = pool
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS(config=config)
    DBOS.launch()


def load(what: str, url: str, pool: int, api: str, count: int, width: int) -> dict[str, Any]:
    launch(url, pool)
    window = Window()
    if api == "async":
        asyncio.run(load_async(what, count, width, window, pool))
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
