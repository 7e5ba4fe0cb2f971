"""The raw limit: the journal rows that our run has just written, read back and written again by the same
driver into a table of the same shape, one UNNEST statement a commit, with as many rows a commit as our
run had on average."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from amends.store.postgres.columns import APPENDED

from ..driving import Window, answer, asked

INSERT = """
INSERT INTO {schema}.raw SELECT * FROM unnest(
    %(r_execution)s::bigint[], %(r_now)s::float8[], %(r_checksum)s::bigint[], %(r_position)s::integer[],
    %(r_events)s::text[], %(r_commands)s::text[]
)
"""


async def copy(url: str, schema: str, batch: int, most: int = 200_000) -> dict[str, Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0) as connection:
        names = 'execution, now, checksum, "position", events, commands'
        cursor = await connection.execute(f"SELECT {names} FROM {schema}.journal LIMIT {most}".encode())
        rows = await cursor.fetchall()
        await connection.execute(f"DROP TABLE IF EXISTS {schema}.raw".encode())
        await connection.execute(f"CREATE TABLE {schema}.raw (LIKE {schema}.journal INCLUDING ALL)".encode())
        text, window = INSERT.format(schema=schema).encode(), Window()
        with window:
            for at in range(0, len(rows), batch):
                values: dict[str, Any] = {}
                APPENDED.put(values, rows[at : at + batch])
                await connection.execute(text, values, prepare=True)
        commits = -(-len(rows) // batch)
        return {
            "seconds": window.seconds,
            "rows": len(rows),
            "commits": commits,
            "configuration": {"psycopg": psycopg.__version__, "rows_per_commit": batch},
        }


if __name__ == "__main__":
    what, given = asked()
    answer(asyncio.run(copy(**given)))
