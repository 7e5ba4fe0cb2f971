"""What the driver's errors mean for us: whose fault they are, and what a person can do about them.

Three kinds matter.  A *data error* is about one row: leave the guilty write out and go on.  A *store error*
is about the database: nothing was changed, all wait.  And an error of COMMIT itself leaves the outcome open
(see `writer`).
"""

from __future__ import annotations

import apsw

from ...errors import AmendsError, StoreBusy, StoreError, StoreFull


class BadWrite(Exception):
    """A write that cannot stand: found by us, not by the database."""


def is_data_error(error: BaseException) -> bool:
    """Is one of the rows to blame (and not the database)?"""
    if isinstance(error, apsw.SQLError):
        # A trigger or an indexed expression may fail for one row; a missing table fails for all.
        return not str(error).startswith(("no such ", "interrupted"))
    return isinstance(error, _DATA)


# What the driver raises while binding (a lone surrogate, an integer over 64 bits, a wrong type) counts too.
_DATA = (
    BadWrite,
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    UnicodeError,
    OverflowError,
    TypeError,
    ValueError,
)

_HINTS: list[tuple[type[apsw.Error], str, str]] = [
    (apsw.NotADBError, "is not a SQLite database", "name another file, or move this one away"),
    (
        apsw.ReadOnlyError,
        "cannot be written",
        "give this user the right to write the file and its directory (SQLite keeps files beside it)",
    ),
    (
        apsw.CantOpenError,
        "cannot be opened",
        "check that its directory exists and that this user may write there",
    ),
    (apsw.IOError, "cannot be read or written", "look at the disk: is it there, sound, and not full?"),
    (
        apsw.CorruptError,
        "is damaged",
        "stop all workers, keep a copy of the file with its -wal, and restore it from a backup",
    ),
    (
        apsw.PermissionsError,
        "may not be accessed",
        "give this user the right to read and write the file and its directory",
    ),
]


def explain(error: apsw.Error, path: str) -> StoreError:
    """The error of our own hierarchy that says what `error` means; nothing was changed."""
    code = getattr(error, "extendedresult", 0)  # errors of the driver itself have none
    if isinstance(error, apsw.FullError) or code == apsw.SQLITE_IOERR_SHMSIZE:
        return StoreFull(
            f"no room left to write {path}",
            hint="free disk space (or raise max_pages); held work continues by itself once there is room",
        )
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreBusy(
            f"another process keeps {path} locked",
            hint="look for a long transaction of another program on this file, or raise `patience`",
        )
    for kind, said, hint in _HINTS:
        if isinstance(error, kind):
            return StoreError(f"{path} {said} ({error})", hint=hint)
    return StoreError(f"SQLite failed on {path}: {type(error).__name__}: {error}")


def translate(error: BaseException, path: str) -> BaseException:
    """`error` as the port promises it: the driver's own errors never leave the store."""
    if isinstance(error, AmendsError):
        return error
    if is_data_error(error):
        return StoreError(f"a value cannot be stored: {error}; nothing was changed")
    return explain(error, path) if isinstance(error, apsw.Error) else error
