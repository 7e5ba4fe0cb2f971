"""Headers, rows and messages as they come out of the database.

Checksums are the worker's business, but damage must stay where it is: one row that is no longer text would
make the driver fail a whole query.  So each query has a twin that fetches text as bytes (`damaged_…`), used
only after the first failed; what is no UTF-8 is replaced, so that the worker's checksum or decoder refuses
that execution and no other.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from ...kernel.entries import Row
from ..port import Header, Message
from .sql import load as load_sql

HEADER = Header.__struct_fields__
_TEXTS = frozenset(name for name, kind in Header.__annotations__.items() if "str" in kind)
COLUMNS = ", ".join(f'"{name}"' for name in HEADER)
DAMAGED_COLUMNS = ", ".join(f'CAST("{name}" AS BLOB)' if name in _TEXTS else f'"{name}"' for name in HEADER)

_WALK = load_sql("read.sql")["walk"]
SQL = load_sql("read.sql", header=COLUMNS, damaged_header=DAMAGED_COLUMNS, walk=_WALK)
UNREADABLE = Row(0, 0.0, "unreadable", "unreadable", -1)

_DAMAGE = (UnicodeError, apsw.CorruptError)
_position = operator.attrgetter("position")


class History(NamedTuple):
    """An execution with its journal and its waiting inbox, at one moment."""

    header: Header
    rows: list[Row]
    inbox: list[Message]


def fetch(db: apsw.Connection, name: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of a query; of its twin, with damaged text repaired, if the first fails on damage."""
    try:
        return db.execute(SQL[name], parameters).fetchall()
    except UnicodeError:
        return [mend(values) for values in db.execute(SQL[f"damaged_{name}"], parameters)]


def mend(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Bytes as text, whatever they are."""
    return tuple(value.decode(errors="replace") if isinstance(value, bytes) else value for value in values)


def header(values: Sequence[Any]) -> Header:
    """A header from the columns of HEADER."""
    return Header(**dict(zip(HEADER, values, strict=False)))


def message(uid: str, seq: int, event: str, key: str | None) -> Message:
    """A message from its columns."""
    return Message(uid, event, key or "", seq)


def load(db: apsw.Connection, nums: Sequence[int]) -> dict[int, History]:
    """The executions with these numbers. Not inside a write transaction: after reading a damaged page SQLite
    commits nothing any more."""
    try:
        return _at_one_moment(db, nums, "")
    except _DAMAGE:
        return {num: _damaged(db, num) for num in nums}


def _at_one_moment(db: apsw.Connection, nums: Sequence[int], twin: str) -> dict[int, History]:
    key = (json.dumps(nums),)
    db.execute("BEGIN")
    try:
        heads = _query(db, f"{twin}by_num", key)
        rows = _query(db, f"{twin}rows", key)
        inbox = _query(db, f"{twin}inbox", key)
    finally:
        db.execute("ROLLBACK")
    found = {values[-1]: History(header(values), [], []) for values in heads}
    for num, *row in rows:
        found[num].rows.append(_row(*row))
    for num, *rest in inbox:
        found[num].inbox.append(message(found[num].header.uid, *rest))
    for history in found.values():  # by the index they come in order, but SQL does not promise it
        history.rows.sort(key=_position)
    return found


def _query(db: apsw.Connection, name: str, key: tuple[str]) -> list[tuple[Any, ...]]:
    found = db.execute(SQL[name], key).fetchall()
    return [mend(values) for values in found] if name.startswith("damaged_") else found


def _row(position: int, now: float, events: str, commands: str, checksum: int) -> Row:
    if type(events) is str and type(commands) is str and type(now) is float:
        return Row(position, now, events, commands, checksum)
    return UNREADABLE


def _damaged(db: apsw.Connection, num: int) -> History:
    try:
        return _at_one_moment(db, [num], "damaged_")[num]
    except apsw.Error:  # a page of the file itself: an empty journal would look like a fresh start
        (values,) = _query(db, "damaged_by_num", (json.dumps([num]),))
        return History(header(values), [UNREADABLE], [])
