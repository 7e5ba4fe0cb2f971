"""The raw limit: the very rows our run wrote, written again by the same driver with nothing around them.

Why it is fair.  The rows are read from the database file that amends has just filled, and go into a new
file of the same schema and page size (WAL, synchronous=FULL) by one multi-row INSERT per commit through
apsw, in the order they were first written.  `throughput` uses the mean number of rows per commit that our
run had; only journal rows are written and counted (ours also wrote its headers, uncounted).  `latency`
makes, saga by saga, the sequential commits that one saga needs: one per journal row, the first with its
header, the last with the header's update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import apsw

from .driving import Window, answer, asked

JOURNAL = "amends_journal"
HEADERS = "amends_executions"
Values = tuple[Any, ...]
CACHE_KIB = 16 * 1024
"""As in our own connection."""
VARIABLES = 32_000
"""SQLite's default limit of bound variables in one statement is 32766."""


def copy_of(source: apsw.Connection, target: str) -> apsw.Connection:
    """A new database file with the source's schema, as durable as ours."""
    connection = apsw.Connection(target)
    page_size = source.pragma("page_size")
    connection.execute(f"PRAGMA page_size={page_size}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    connection.pragma("cache_size", -CACHE_KIB)
    kinds = "('table', 'view', 'index', 'trigger')"
    statements = source.execute(
        f"SELECT sql FROM sqlite_master WHERE type IN {kinds} AND sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite_%' ORDER BY type = 'table' DESC, type = 'view' DESC"
    )
    for (sql,) in statements.fetchall():
        connection.execute(str(sql))
    return connection


def columns(connection: apsw.Connection, table: str) -> list[str]:
    """Column names of a table."""
    return [f'"{row[1]}"' for row in connection.execute(f"PRAGMA table_info({table})")]


def inserting(table: str, names: Sequence[str], rows: int) -> str:
    """A multi-row INSERT."""
    one = f"({','.join('?' * len(names))})"
    return f"INSERT INTO {table} ({','.join(names)}) VALUES {','.join([one] * rows)}"


def batches(rows: Sequence[Values], size: int) -> Iterator[list[Values]]:
    """`rows` in lists of `size`."""
    source = iter(rows)
    while batch := list(islice(source, size)):
        yield batch


def durably(connection: apsw.Connection, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """One transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for sql, values in statements:
        connection.execute(sql, values)
    connection.execute("COMMIT")


def throughput(source: str, target: str, batch: float) -> dict[str, Any]:
    """Rows per second at `batch` rows a commit."""
    ours = apsw.Connection(source, flags=apsw.SQLITE_OPEN_READONLY)
    names = columns(ours, JOURNAL)
    rows = ours.execute(f"SELECT {','.join(names)} FROM {JOURNAL} ORDER BY rowid").fetchall()
    raw = copy_of(ours, target)
    size = max(1, round(batch))
    per_statement = min(size, VARIABLES // len(names))
    prepared: dict[int, str] = {}
    commits = [
        [
            (
                prepared.setdefault(len(part), inserting(JOURNAL, names, len(part))),
                [value for row in part for value in row],
            )
            for part in batches(whole, per_statement)
        ]
        for whole in batches(rows, size)
    ]
    with Window() as window:
        for statements in commits:
            durably(raw, statements)
    return {
        "rows": len(rows),
        "commits": len(commits),
        "seconds": window.seconds,
        "rows_per_second": len(rows) / window.seconds,
        "configuration": configuration(raw) | {"rows_per_commit": size},
    }


def one_saga(
    raw: apsw.Connection, names: Sequence[str], header_names: Sequence[str]
) -> Callable[[Values, Sequence[Values]], None]:
    """A function that makes the commits of one saga."""
    row_sql = inserting(JOURNAL, names, 1)
    header_sql = inserting(HEADERS, header_names, 1)
    ending = ("status", "result", "finished_at", "num")
    update_sql = f"UPDATE {HEADERS} SET status = ?, result = ?, finished_at = ? WHERE num = ?"
    at = [header_names.index(f'"{name}"') for name in ending]

    def run(header: Values, rows: Sequence[Values]) -> None:
        durably(raw, [(header_sql, header), (row_sql, rows[0])])
        for row in rows[1:-1]:
            durably(raw, [(row_sql, row)])
        durably(raw, [(row_sql, rows[-1]), (update_sql, [header[place] for place in at])])

    return run


def latency(source: str, target: str) -> dict[str, Any]:
    """Seconds of each saga's commits, one after the other."""
    ours = apsw.Connection(source, flags=apsw.SQLITE_OPEN_READONLY)
    names, header_names = columns(ours, JOURNAL), columns(ours, HEADERS)
    owner = names.index('"execution"')
    journals: dict[Any, list[Values]] = {}
    for row in ours.execute(f"SELECT {','.join(names)} FROM {JOURNAL} ORDER BY rowid"):
        journals.setdefault(row[owner], []).append(row)
    headers = ours.execute(f"SELECT {','.join(header_names)} FROM {HEADERS} ORDER BY num").fetchall()
    raw = copy_of(ours, target)
    run = one_saga(raw, names, header_names)
    num = header_names.index('"num"')
    window = Window()
    with window:
        for header in headers:
            began = time.perf_counter()
            run(header, journals[header[num]])
            window.each.append(time.perf_counter() - began)
    return {
        "each": window.each,
        "commits_per_saga": sum(map(len, journals.values())) / len(headers),
        "seconds": window.seconds,
        "configuration": configuration(raw),
    }


def configuration(connection: apsw.Connection) -> dict[str, Any]:
    """The settings as read back."""
    return {
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "journal_mode": connection.pragma("journal_mode"),
        "synchronous": connection.pragma("synchronous"),
        "page_size": connection.pragma("page_size"),
        "wal_autocheckpoint": connection.pragma("wal_autocheckpoint"),
    }


def main() -> None:
    what, given = asked()
    measures: dict[str, Any] = {"throughput": throughput, "latency": latency}
    answer(measures[what](**given))


if __name__ == "__main__":
    main()
