"""Headers, rows and messages as they come out of the database.

Checksums are the worker's business, but damage must stay where it is: one row that is no longer text would
make the driver fail a whole query.  So each query has a twin that fetches text as bytes (`damaged_…`), used
only after the first failed; what is no UTF-8 is replaced, so that the worker's checksum or decoder refuses
that execution and no other.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw

from ...kernel.entries import Row
from ..port import Claim, Header, Message
from .sql import load

HEADER = Header.__struct_fields__
_TEXTS = frozenset(name for name, kind in Header.__annotations__.items() if "str" in kind)
COLUMNS = ", ".join(f'"{name}"' for name in HEADER)
DAMAGED_COLUMNS = ", ".join(f'CAST("{name}" AS BLOB)' if name in _TEXTS else f'"{name}"' for name in HEADER)

SQL = load("read.sql", header=COLUMNS, damaged_header=DAMAGED_COLUMNS)
UNREADABLE = Row(0, 0.0, "unreadable", "unreadable", -1)

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
_DAMAGE = (UnicodeError, apsw.CorruptError)


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


def histories(
    db: apsw.Connection, nums: Sequence[int]
) -> tuple[dict[int, list[Row]], dict[int, list[tuple[int, str, str | None]]]]:
    """Journals and inboxes of the executions with these numbers."""
    rows: dict[int, list[Row]] = {num: [] for num in nums}
    inbox: dict[int, list[tuple[int, str, str | None]]] = {num: [] for num in nums}
    try:
        key = (json.dumps(nums),)
        _sort(db.execute(SQL["rows"], key), db.execute(SQL["inbox"], key), rows, inbox)
        for journal in rows.values():  # by the index they come in order, but SQL does not promise it
            journal.sort(key=_position)
    except _DAMAGE:
        for num in nums:
            rows[num], inbox[num] = _damaged_history(db, num)
    return rows, inbox


_position = operator.attrgetter("position")


def _sort(
    found: Iterable[tuple[Any, ...]],
    waiting: Iterable[tuple[Any, ...]],
    rows: dict[int, list[Row]],
    inbox: dict[int, list[tuple[int, str, str | None]]],
) -> None:
    for num, position, now, events, commands, checksum in found:
        if type(events) is str and type(commands) is str and type(now) is float:
            rows[num].append(Row(position, now, events, commands, checksum))
        else:
            rows[num].append(UNREADABLE)
    for num, *rest in waiting:
        inbox[num].append(tuple(rest))


def _damaged_history(db: apsw.Connection, num: int) -> tuple[list[Row], list[tuple[int, str, str | None]]]:
    rows: dict[int, list[Row]] = {num: []}
    inbox: dict[int, list[tuple[int, str, str | None]]] = {num: []}
    try:
        found = [mend(values) for values in db.execute(SQL["damaged_rows"], (num,))]
        waiting = [mend(values) for values in db.execute(SQL["damaged_inbox"], (num,))]
        _sort(found, waiting, rows, inbox)
    except _DAMAGE:  # a page of the file itself: an empty journal would look like a fresh start
        rows[num] = [UNREADABLE]
    return rows[num], inbox[num]


def claim(db: apsw.Connection, incarnation: int, now: float, limit: int) -> list[tuple[int, Claim]]:
    """Take due executions, in the caller's transaction. Returns each with its number."""
    found = fetch(db, "due", (now, limit))
    nums = [values[len(HEADER)] for values in found]
    db.execute(SQL["take"], (incarnation, json.dumps(nums)))
    rows, inbox = histories(db, nums)
    claims = []
    for values in found:
        num, lost, deaths, death_head = values[len(HEADER) :]
        head = header(values)
        head.owner, head.wake_at = incarnation, None
        journal = rows[num]
        reached = journal[-1].position + 1 if journal else 0
        messages = [message(head.uid, *rest) for rest in inbox[num]]
        deaths = deaths if death_head == reached else 0
        claims.append((num, Claim(head, journal, messages, lost=bool(lost), deaths=deaths)))
    return claims
