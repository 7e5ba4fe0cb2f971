"""What the database's errors mean for us: whose fault they are, and what a person can do about them.

An error that the server reports on a connection that goes on has undone the whole statement: a *data error*
is about one row (leave it out and go on), *busy* means the same statement may succeed if it is tried again,
*full* that there is no room.  An error that ends the connection says nothing about what was committed:
`Lost`.
"""

from __future__ import annotations

import psycopg
from psycopg import pq

from ...errors import AmendsError, StoreBusy, StoreError, StoreFull


class BadWrite(Exception):
    """A write that cannot stand: found by us, not by the database."""


class Lost(Exception):
    """The connection ended, or was given up, while a statement was under way."""


_DATA_CLASSES = ("22", "23", "54", "P0", "44")
"""Data exceptions, integrity, program limits (an index entry too large), RAISE in triggers, check options."""
_BUSY = {"40001", "40P01", "55P03", "57014", "55006", "53200", "25P03"}
_FULL = {"53100"}
_ELSEWHERE = {"25006"}  # a standby: the primary is another server now
_UNSENDABLE = (UnicodeError, OverflowError, TypeError, ValueError)


def is_data_error(error: BaseException) -> bool:
    """Is one of the rows to blame (and not the database)?"""
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return True  # the driver refuses to send it
    if isinstance(error, psycopg.Error):
        return error.sqlstate is not None and error.sqlstate.startswith(_DATA_CLASSES)
    return isinstance(error, (BadWrite, *_UNSENDABLE))


def ends_connection(error: psycopg.Error, connection: psycopg.AsyncConnection[object]) -> bool:
    """Has the connection ended, so that nobody knows what became of the statement?"""
    return connection.closed or connection.pgconn.status == pq.ConnStatus.BAD or error.sqlstate in _ELSEWHERE


def explain(error: psycopg.Error, where: str) -> StoreError:
    """The error of our own hierarchy that says what `error` means; nothing was changed."""
    said = str(error).strip() or type(error).__name__
    state = error.sqlstate
    if state in _FULL:
        return StoreFull(
            f"no room left to write on {where}: {said}",
            hint="free disk space on the database server; held work continues by itself once there is room",
        )
    if state in _BUSY:
        return StoreBusy(
            f"{where} could not do it just now: {said}",
            hint="it is tried again; look in pg_stat_activity for who holds locks for long",
        )
    if state in _ELSEWHERE:
        return StoreBusy(
            f"{where} is a standby: {said}", hint="the next attempt connects to the primary server"
        )
    if state is not None and state.startswith("42"):
        return StoreError(
            f"{where}: {said}", hint="has the schema been changed by hand, or does this role lack a right?"
        )
    return StoreError(f"PostgreSQL failed on {where}: {said}")


def translate(error: BaseException, where: str) -> BaseException:
    """`error` as the port promises it: the driver's own errors never leave the store."""
    if isinstance(error, AmendsError):
        return error
    if is_data_error(error):
        return StoreError(f"a value cannot be stored: {error}; nothing was changed")
    if isinstance(error, Lost):
        return StoreBusy(
            f"the connection to {where} was lost: {error}",
            hint="it is opened again at the next attempt; is the server up, and the network?",
        )
    return explain(error, where) if isinstance(error, psycopg.Error) else error
