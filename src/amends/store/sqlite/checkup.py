"""What a person wants to know about a database file, read without changing it, not even its schema."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ...errors import StoreError
from ..pausing import Pause
from .faults import explain
from .schema import migrations, version

_DUE = """
SELECT count(*), min(max(wake_at, updated_at)) FROM amends_executions AS e
WHERE owner IS NULL AND wake_at IS NOT NULL AND wake_at <= ?
"""
_NOT_PAUSED = """
AND NOT EXISTS (SELECT 1 FROM amends_pauses AS p WHERE p.namespace = e.namespace AND p.saga IN ('', e.saga))
"""
_PAUSES = 'SELECT namespace, saga, "by", reason, since FROM amends_pauses ORDER BY namespace, saga'
_SINCE = 6
"""The schema since when there are pauses of sagas."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a file. Sizes are bytes, times seconds since the epoch.

    paused: executions that stand still by themselves; pauses: sagas and namespaces that do.
    due: executions that a worker should have taken (unowned, `wake_at` over); due_since: the earliest.
    latest: the newest time that was written. damage: what a quick check of the file's structure found.
    """

    schema: int
    known_schema: int
    journal_mode: str
    file_size: int
    wal_size: int
    statuses: dict[str, int]
    paused: int = 0
    pauses: list[Pause] = []
    due: int
    due_since: float | None
    inbox: int
    latest: float | None
    damage: str


def sqlite_version() -> str:
    """The SQLite in use (the driver's own, not the system's)."""
    return apsw.sqlite_lib_version()


def has_wal_reset_race(found: str) -> bool:
    """Does this version have the race that can corrupt a file when two connections reset the log?"""
    return (3, 7, 0) <= tuple(int(part) for part in found.split(".")[:3]) < (3, 51, 3)


def facts(path: str, now: float, *, thorough: bool = False) -> Facts:
    """Look at a file. Raises `StoreError` for what is no store. `thorough`: check its structure too."""
    must_be_store(path)
    try:
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(2_000)
            return _read(db, path, version(db), now, thorough=thorough)
    except apsw.Error as error:
        raise explain(error, path) from error


def schema_of(path: str) -> int:
    """The version of the store in a file; 0: a database without one. Raises `StoreError`."""
    try:
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(2_000)
            return version(db)
    except apsw.Error as error:
        raise explain(error, path) from error


def must_be_store(path: str) -> None:
    """Raise `StoreError` unless the file holds a store: opening one for work would put its tables there."""
    if not schema_of(path):
        raise StoreError(f"{path} is a SQLite database without a store of amends", hint="name another file")


def _read(db: apsw.Connection, path: str, schema: int, now: float, *, thorough: bool) -> Facts:
    def ask(sql: str, *values: float) -> Any:
        return db.execute(sql, values).fetchall()

    has_pauses = schema >= _SINCE
    due, since = ask(_DUE + _NOT_PAUSED if has_pauses else _DUE, now)[0]
    pauses = ask(_PAUSES) if has_pauses else []
    damage = [row[0] for row in ask("PRAGMA quick_check(3)")] if thorough else ["ok"]
    wal = Path(f"{path}-wal")
    return Facts(
        schema=schema,
        known_schema=migrations()[-1][0],
        journal_mode=str(db.pragma("journal_mode")),
        file_size=Path(path).stat().st_size,
        wal_size=wal.stat().st_size if wal.exists() else 0,
        statuses=dict(ask("SELECT status, count(*) FROM amends_executions GROUP BY status ORDER BY status")),
        paused=ask("SELECT count(*) FROM amends_executions WHERE cause = 'paused' AND finished_at IS NULL")[
            0
        ][0],
        pauses=[Pause(**dict(zip(Pause.__struct_fields__, row, strict=True))) for row in pauses],
        due=due,
        due_since=since,
        inbox=ask("SELECT count(*) FROM amends_inbox")[0][0],
        latest=ask("SELECT max(updated_at) FROM amends_executions")[0][0],
        damage="" if damage == ["ok"] else "; ".join(map(str, damage)),
    )
