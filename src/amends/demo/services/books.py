"""A service's books: one SQLite file, with a ledger that is only ever added to.

A line says what was done for an order in an account (`amount` is positive) or undone (negative), and
the running `balance` of the account, as on a bank statement: a line that is changed or taken out
afterwards no longer adds up.  `requests` notes every delivery, what fault it met and what the barrier
said to it; it is for people, the audit does not need it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from ...clock import Clock, SystemClock
from .faults import Fault, Request

HELD = "held"  # what stands for the verdict while a request has not gone through
SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, order_id TEXT NOT NULL, account TEXT NOT NULL,
    key TEXT NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ledger_by_account ON ledger (account, id);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, order_id TEXT NOT NULL, account TEXT NOT NULL,
    direction TEXT NOT NULL, attempt INTEGER NOT NULL, fault TEXT, verdict TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS requests_by_order ON requests (order_id, account, direction);
"""


class Line(NamedTuple):
    """A line of the ledger."""

    id: int
    at: float
    order: str
    account: str
    key: str
    amount: int
    balance: int


class Books:
    """The books of one service, open for writing. One process at a time, one connection."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        # One connection, and only readers beside it: the WAL-reset race of older SQLite needs two writers.
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + SCHEMA)

    def close(self) -> None:
        """Write no more."""
        self.connection.close()

    def enter(self, key: str, order: str, account: str, amount: int) -> None:
        """Add a line to the ledger, within the transaction that is open."""
        found = self.connection.execute(
            "SELECT balance FROM ledger WHERE account = ? ORDER BY id DESC LIMIT 1", (account,)
        ).fetchone()
        balance = (found[0] if found else 0) + amount
        line = (self._clock.now(), order, account, key, amount, balance)
        self.connection.execute(
            "INSERT INTO ledger (at, order_id, account, key, amount, balance) VALUES (?, ?, ?, ?, ?, ?)", line
        )

    def attempts(self, order: str, account: str, direction: str) -> int:
        """How many requests of this kind have come in so far."""
        found = self.connection.execute(
            "SELECT max(attempt) FROM requests WHERE order_id = ? AND account = ? AND direction = ?",
            (order, account, direction),
        ).fetchone()
        return found[0] or 0

    def note(self, request: Request, fault: Fault | None, verdict: str = "") -> int:
        """Note a delivery; returns its number."""
        cursor = self.connection.execute(
            "INSERT INTO requests (at, order_id, account, direction, attempt, fault, verdict)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._clock.now(), *request, fault, verdict),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def settle(self, number: int, verdict: str) -> None:
        """Note what the barrier said to a delivery."""
        self.connection.execute("UPDATE requests SET verdict = ? WHERE id = ?", (verdict, number))


def book_path(folder: Path, service: str) -> Path:
    """Where a service's books are."""
    return folder / f"{service}.db"


def store_url(folder: Path) -> str:
    """Where amends keeps the orders of a run."""
    return f"sqlite:///{folder / 'orders.db'}"


def look(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read from a service's books, from any process. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
