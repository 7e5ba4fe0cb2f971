"""The company's own systems: accounts, mailboxes, permissions, approvals, mail. One file, `office.db`.

It is a participant: it knows nothing of sagas, only the key that comes with each change. The barrier
makes of it that a change is done once however often it is asked for, is undone only if it was done,
and does not come after its own undoing.

``python office.py`` prints the books.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from amends import Rejected
from amends.participants.barrier import Barrier

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (login TEXT PRIMARY KEY, name TEXT NOT NULL, active INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS mailboxes (address TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS permissions (login TEXT, system TEXT, PRIMARY KEY (login, system));
CREATE TABLE IF NOT EXISTS approvals (login TEXT PRIMARY KEY, manager TEXT, reminders INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS mails (login TEXT, subject TEXT);
"""
TABLES = ("accounts", "mailboxes", "permissions", "approvals", "mails")

barrier = Barrier()


class Office:
    """The systems behind one function: a change, under a key.

    seconds: how long it takes to answer, after the change was made; a slow system is where a crash hurts.
    """

    def __init__(self, file: Path, seconds: float = 0.0) -> None:
        self.file = file
        self.seconds = seconds
        with closing(self._open()) as books:
            books.executescript(SCHEMA)
            barrier.create_table(books)

    def change(self, key: str, sql: str, *values: object, taken: str = "") -> None:
        """Do it once under this key. Raises `Rejected(taken)` if somebody else has it."""
        with closing(self._open()) as books:
            barrier.run(books, key, _work(books, sql, values, taken))
        time.sleep(self.seconds)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """What the books say."""
        with closing(self._open()) as books:
            return books.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, isolation_level=None, timeout=30)


def _work(books: sqlite3.Connection, sql: str, values: tuple[object, ...], taken: str) -> Callable[[], None]:
    def work() -> None:
        try:
            books.execute(sql, values)
        except sqlite3.IntegrityError as error:
            raise Rejected(taken or str(error)) from error

    return work


if __name__ == "__main__":
    office = Office(Path("office.db"))
    for table in TABLES:
        print(f"{table}:", *office.rows(table))
