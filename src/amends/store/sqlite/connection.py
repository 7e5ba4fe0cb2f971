"""Opening the database file: settings of the connections, and errors that teach when it cannot be opened.

Two connections serve a store: a writer, which alone changes the file and alone checkpoints the write-ahead
log, and a reader for short reads beside it.  (SQLite before 3.51.3 could corrupt a file when two
connections reset the log at the same time; the driver carries a later one, and this rule keeps clear of it
anyway.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from ...errors import StoreBusy, StoreError
from .faults import explain

STATEMENTS = 256  # prepared statements kept: a dozen bulk statements of eight sizes, and the rest
CACHE_KIB = 16 * 1024
READER_CACHE_KIB = 2 * 1024  # its reads are short, and mostly of what has just been written
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


def check_path(path: str) -> None:
    """Refuse what can never become a database file."""
    if path in {"", ":memory:"} or path.startswith("file:"):
        raise StoreError(
            f"{path!r} is not a path to a file",
            hint="use MemoryStore() or open_store('memory://') for a store that ends with the process",
        )
    target = Path(path)
    if target.is_dir():
        raise StoreError(f"{path} is a directory", hint=f"name a file in it: {target / 'sagas.db'}")
    if not target.parent.is_dir():
        raise StoreError(
            f"the directory {target.parent} does not exist", hint=f"create it: mkdir -p {target.parent}"
        )
    if target.exists() and not os.access(target, os.R_OK | os.W_OK):
        raise StoreError(f"{path} may not be read and written by this user", hint=f"chmod u+rw {path}")


def open_writer(
    path: str, synchronous: str, max_pages: int | None, busy: Callable[[int], bool]
) -> apsw.Connection:
    """A connection that writes and, until told otherwise, leaves checkpoints to others."""
    connection = _open(path, lambda connection: connection.set_busy_handler(busy))
    try:
        _switch_to_wal(connection, path, busy)
        connection.pragma("synchronous", synchronous)
        if max_pages is not None:
            connection.pragma("max_page_count", max_pages)
    except apsw.Error as error:
        connection.close()
        raise explain(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str) -> apsw.Connection:
    """A connection that only reads."""
    connection = _open(path, lambda connection: connection.set_busy_timeout(5_000))
    connection.pragma("query_only", 1)
    connection.pragma("cache_size", -READER_CACHE_KIB)
    return connection


def checkpoint_on_close(connection: apsw.Connection, wanted: bool) -> None:
    """The last connection to close a file would checkpoint it; only a worker's writer may."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0 if wanted else 1)


def _open(path: str, be_patient: Callable[[apsw.Connection], None]) -> apsw.Connection:
    """`be_patient` comes first: even a pragma meets a lock while another process creates or recovers the
    log."""
    try:
        connection = apsw.Connection(path, statementcachesize=STATEMENTS)
    except apsw.Error as error:
        raise explain(error, path) from error
    try:
        be_patient(connection)
        connection.wal_autocheckpoint(0)
        checkpoint_on_close(connection, False)
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "memory")
    except apsw.Error as error:
        connection.close()
        raise explain(error, path) from error
    return connection


def _switch_to_wal(connection: apsw.Connection, path: str, busy: Callable[[int], bool]) -> None:
    tries = 0
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
            break
        except apsw.BusyError as error:  # SQLite does not wait here by itself
            if not busy(tries):
                raise StoreBusy(
                    f"{path} is not in WAL mode, and another process has it open, so it cannot be switched",
                    hint="close the other program once; the switch is kept in the file",
                ) from error
            tries += 1
    if mode != "wal":
        raise StoreError(
            f"{path} cannot be used in WAL mode (it stays in {mode!r})",
            hint="put the file on a local disk: network file systems lack the shared memory that WAL needs",
        )
