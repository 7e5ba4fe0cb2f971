"""Rows of the database as the values of the port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...kernel.entries import Row
from ..port import ATTENTION, AuditRecord, Header, Message, Query, beyond
from ..where.sql import Dialect, condition, source
from ..where.terms import ALL
from .literals import MARK, get, maybe_texts, put

FIELDS = (
    "uid", "id", "saga", "input", "created_at", "namespace", "partition", "version", "status", "cause",
    "owner", "inbox_seq", "wake_at", "root", "parent", "parent_action", "depth", "deadline", "attributes",
    "result", "detail", "updated_at", "finished_at",
)  # fmt: skip
HEADER = ", ".join(f'e."{name}"' for name in FIELDS)


class History(NamedTuple):
    """An execution as it stands in the database."""

    header: Header
    rows: list[Row]
    inbox: list[Message]


def header(values: tuple[Any, ...]) -> Header:
    """A header from the columns of HEADER."""
    return Header(**dict(zip(FIELDS, map(_text, values), strict=True)))


def history(values: tuple[Any, ...]) -> tuple[int, History]:
    """Number and history of an execution, from a row of the statement `load`."""
    head = header(values[: len(FIELDS)])
    num, *columns = values[len(FIELDS) :]
    positions, nows, events, commands, checksums, seqs, told, keys = (column or () for column in columns)
    rows = [
        Row(position, now, _text(happened), _text(asked), checksum)
        for position, now, happened, asked, checksum in zip(
            positions, nows, events, commands, checksums, strict=True
        )
    ]
    inbox = [
        Message(head.uid, _text(event), _text(key or ""), seq)
        for seq, event, key in zip(seqs, told, keys, strict=True)
    ]
    return num, History(head, rows, inbox)


def message(values: tuple[Any, ...]) -> Message:
    """A message from a row of the statement `news`."""
    uid, seq, event, key = values
    return Message(_text(uid), _text(event), _text(key or ""), seq)


def audit(values: tuple[Any, ...]) -> AuditRecord:
    """An audit record from a row of the statement `audited`."""
    return AuditRecord(*map(_text, values))


def _text(value: Any) -> Any:
    return get(value) if isinstance(value, str) and MARK in value else value


# ---------------------------------------------------------------- queries

_PLAIN = (
    ("saga", "e.saga = %(saga)s"),
    ("parent", "e.parent = %(parent)s AND e.parent <> ''"),
    ("after", "e.uid < %(after)s"),
)
_TIMES = (
    ("created_from", "e.created_at >= %(created_from)s"),
    ("created_until", "e.created_at < %(created_until)s"),
    ("finished_from", "e.finished_at >= %(finished_from)s"),
    ("finished_until", "e.finished_at < %(finished_until)s"),
)


def select(query: Query, schema: str, columns: str = HEADER) -> tuple[str, Mapping[str, Any]]:
    """The statement of a query and its parameters. The words are ours, every value travels as a parameter."""
    terms, values = _terms(query)
    tables, order = f"{schema}.executions AS e", "e.uid"
    if query.where != ALL:
        say = _dialect(schema, values)
        if (begin := source(query.where, say)) is not None:
            if begin.ordered:
                tables, order = (
                    f"{schema}.attributes AS d JOIN {tables} ON e.uid = d.execution_uid",
                    "d.execution_uid",
                )
                terms.append(begin.condition)
                terms += ["d.execution_uid < %(after)s"] if query.after else []
            else:
                found = f"SELECT execution_uid FROM {schema}.attributes WHERE {begin.condition}"  # noqa: S608
                terms.append(f"e.uid IN ({found})")
        terms.append(condition(query.where, say))
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    sql = f"SELECT {columns} FROM {tables} {where} ORDER BY {order} DESC LIMIT %(limit)s::bigint"  # noqa: S608
    return sql, values


def _dialect(schema: str, values: dict[str, Any]) -> Dialect:
    def mark(value: Any) -> str:
        name = f"w{len(values)}"
        values[name] = put(value) if isinstance(value, str) else value
        return f"%({name})s::{'text' if isinstance(value, str) else 'float8'}"

    return Dialect(f"{schema}.attributes", "e.", mark)


def _terms(query: Query) -> tuple[list[str], dict[str, Any]]:
    terms: list[str] = []
    values: dict[str, Any] = {"limit": query.limit}
    if query.namespace:
        terms.append("e.namespace = %(namespace)s")
        values["namespace"] = put(query.namespace)
    if list(query.statuses) == [ATTENTION]:
        terms.append("e.status = 'attention'")  # in words, so that the partial index serves
    elif query.statuses:
        terms.append("e.status = ANY (%(statuses)s::text[])")
        values["statuses"] = maybe_texts(query.statuses)
    if query.root:  # children by their index; the root itself by its uid
        terms.append("((e.root = %(root)s AND e.parent <> '') OR (e.uid = %(root)s AND e.root = %(root)s))")
        values["root"] = put(query.root)
    if query.id_prefix:
        terms.append("e.id >= %(prefix)s")
        values["prefix"] = put(query.id_prefix)
        if (past := beyond(query.id_prefix)) is not None:
            terms.append("e.id < %(beyond)s")
            values["beyond"] = put(past)
    for name, term in _PLAIN:
        if value := getattr(query, name):
            terms.append(term)
            values[name] = put(value)
    for name, term in _TIMES:
        if (moment := getattr(query, name)) is not None:
            terms.append(term)
            values[name] = moment
    return terms, values
