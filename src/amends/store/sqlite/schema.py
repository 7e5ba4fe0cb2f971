"""The schema in a file: its version, and the migrations that bring it up to date.

Migrations are numbered files, applied in order, each recorded in `amends_schema`, all in one transaction.
A test holds `schema.sql` equal to what they make.  Change by expansion: add, never rename or drop what an
older release still uses, because workers and clients of two releases meet on one file during an upgrade.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import apsw

from ...errors import SchemaMismatch
from .sql import read

_VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS amends_schema (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"
)


@cache
def migrations() -> Sequence[tuple[int, str]]:
    """Number and file name of each migration, in order."""
    folder = resources.files(__package__).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name[:4]), name) for name in names)


def version(connection: apsw.Connection) -> int:
    """The number of the last migration applied to the file; 0 for none."""
    if not connection.table_exists("main", "amends_schema"):
        return 0
    found = connection.execute("SELECT max(version) FROM amends_schema").fetchall()
    return int(found[0][0] or 0)


def bring_up_to_date(connection: apsw.Connection, path: str) -> None:
    """Apply what is missing. Raises `SchemaMismatch` when the file is ahead of this release."""
    known = migrations()
    if _check(version(connection), known[-1][0], path):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSION_TABLE)
        present = version(connection)  # again: another process may have been quicker
        _check(present, known[-1][0], path)
        for number, name in known:
            if number > present:
                connection.execute(read(f"migrations/{name}"))
                connection.execute("INSERT INTO amends_schema VALUES (?, ?)", (number, name))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check(present: int, known: int, path: str) -> bool:
    if present > known:
        raise SchemaMismatch(
            f"{path} has schema {present}, and this release of amends knows schemas up to {known}",
            hint="upgrade amends here to the release that wrote the file; a schema never goes back",
        )
    return present == known
