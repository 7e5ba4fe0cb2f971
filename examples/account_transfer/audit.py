"""Reads the books of both banks, and nothing else: ``python audit.py``. Exit code 1 if they do not add up."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw


def ours(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read our file beside the worker: by apsw, which brings the same SQLite that the worker has."""
    flags = apsw.SQLITE_OPEN_READONLY
    with closing(apsw.Connection(str(folder / "amends.db"), flags=flags)) as books:
        books.set_busy_timeout(10_000)
        return list(books.execute(sql))


def theirs(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    if not (folder / "other_bank.db").exists():
        return []
    with closing(sqlite3.connect(folder / "other_bank.db")) as books:
        return books.execute(sql).fetchall()


def balances(folder: Path) -> dict[str, int]:
    return dict(ours(folder, "SELECT name, balance FROM accounts ORDER BY name"))


def complaints(folder: Path) -> list[str]:
    """What does not add up while nothing is under way."""
    found = []
    said, summed = balances(folder), dict(ours(folder, "SELECT account, sum(cents) FROM entries GROUP BY 1"))
    for name, balance in said.items():
        if balance != summed.get(name, 0):
            found.append(f"{name} has {balance}, its entries say {summed.get(name, 0)}")
    if total := sum(said.values()):
        found.append(f"all accounts together have {total}, not zero: money was made, or lost")
    if transit := said.get("(in transit)"):
        found.append(f"{transit} cents are still in transit")
    credited = sum(cents for (cents,) in theirs(folder, "SELECT cents FROM entries"))
    if said.get("(other bank)", 0) != credited:
        found.append(f"we owe the other bank {said.get('(other bank)', 0)}, it has paid out {credited}")
    return found


if __name__ == "__main__":
    here = Path()
    for name, balance in balances(here).items():
        print(name, balance)
    wrong = complaints(here)
    print("\n".join(wrong) or "everything adds up")
    sys.exit(bool(wrong))
