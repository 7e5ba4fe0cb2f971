"""What clients and the dashboard do with the store: create, send, find, read, unpark."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import apsw

from ...errors import Refused
from ...kernel.entries import Row
from ..enlisting import Enlistment
from ..port import ATTENTION, AuditRecord, Header, History, Message, Query, beyond
from ..where.sql import Dialect, condition, source
from ..where.terms import ALL
from . import archive, reading
from .commit import audit_values
from .core import Core
from .enlisting import enlistment
from .mail import Mail
from .worker_side import CONTROL, state

_AUDIT = CONTROL.bulk("audit")

_PLAIN = (
    ("saga", "saga = ?"),
    ("parent", "parent = ? AND parent <> ''"),
    ("after", "uid < ?"),
)
_TIMES = (
    ("created_from", "created_at >= ?"),
    ("created_until", "created_at < ?"),
    ("finished_from", "finished_at >= ?"),
    ("finished_until", "finished_at < ?"),
)


class ClientPart(Core):
    """The client's side of the port."""

    async def create(self, header: Header) -> bool:
        """Add an unowned execution, due now. False: that (namespace, id) exists; nothing changed."""
        return await self._mail().create(header)

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """Put messages into inboxes and wake their receivers, with the audit records: all or nothing."""
        await self._mail().send(messages, audit)

    async def unpark(self, uid: str, audit: AuditRecord) -> None:
        """Make an execution parked by `park` claimable again, with its status before."""

        def work(db: apsw.Connection) -> None:
            num, _, parked = state(db, uid)
            if parked is None:
                raise Refused(
                    f"execution {uid} is not parked",
                    hint="send it a message instead; look at its status first",
                )
            db.execute(CONTROL["unpark"], (num, audit.at))
            _AUDIT.run(db.execute, list(audit_values(audit)))

        await self._writer.soon(work)
        self._wrote()

    async def enlistment(self) -> Enlistment:
        """How an execution is created on a connection of the caller's."""
        return enlistment(self.path, is_open=self._writer.refusal is None)

    def _mail(self) -> Mail:
        loop = asyncio.get_running_loop()
        mail = self._mails.get(loop)
        if mail is None:
            mail = self._mails[loop] = Mail(self._writer, self._inline_rows, self._wrote)
        return mail

    def _wrote(self) -> None:
        self._generation += 1

    async def find(self, namespace: str, id: str) -> Header | None:
        """The execution of that id, or None."""
        found = self._fetch("by_id", (namespace, id))
        return reading.header(found[0]) if found else None

    async def headers(self, query: Query) -> list[Header]:
        """Headers that match, newest first."""
        sql, parameters = _select(query, reading.COLUMNS)
        try:
            found = self._read(lambda db: db.execute(sql, parameters).fetchall())
        except UnicodeError:
            sql, parameters = _select(query, reading.DAMAGED_COLUMNS)
            found = self._read(lambda db: [reading.mend(row) for row in db.execute(sql, parameters)])
        return [reading.header(values) for values in found]

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """A consistent copy of an execution, its journal and its waiting inbox; changes nothing."""

        found = self._fetch("num", (uid,))
        if not found:
            return None
        num = found[0][0]
        histories: dict[int, reading.History] = self._read(lambda db: reading.load(db, [num]))
        history = histories.get(num)
        if history is None or history.header.uid != uid:  # pruned in between (a number may come again)
            return None
        return history

    async def audited(self, uid: str) -> list[AuditRecord]:
        """The audit records of an execution, oldest first."""
        return [AuditRecord(*values) for values in self._fetch("audited", (uid,))]

    async def prune(self, uids: Sequence[str], before: float) -> list[str]:
        """Delete roots that are over, with all that is nested in them, in one transaction."""
        return await self._writer.run(lambda db: archive.prune(db, uids, before))

    async def restore(self, histories: Sequence[History]) -> bool:
        """Add executions with all that is kept of them, all or none."""
        try:
            await self._writer.run(lambda db: archive.restore(db, histories))
        except archive.Taken:
            return False
        self._wrote()
        return True


def _select(query: Query, columns: str) -> tuple[str, list[Any]]:
    """SQL and parameters of a query. The words are ours, every value travels as a parameter."""
    terms: list[str] = []
    values: list[Any] = []

    def must(term: str, *parameters: object) -> None:
        terms.append(term)
        values.extend(parameters)

    if (
        query.namespace
    ):  # `+`: not by the index of ids, which would have to sort a whole namespace for one page
        must("namespace = ?" if query.id_prefix else "+namespace = ?", query.namespace)
    if list(query.statuses) == [ATTENTION]:
        must("status = 'attention'")  # in words, so that the partial index serves
    elif query.statuses:
        must(f"status IN ({', '.join('?' * len(query.statuses))})", *query.statuses)
    if query.root:  # children by their index; the root itself by its uid
        must("((root = ? AND parent <> '') OR (uid = ? AND root = ?))", query.root, query.root, query.root)
    if query.id_prefix:
        must("id >= ?", query.id_prefix)
        if (past := beyond(query.id_prefix)) is not None:
            must("id < ?", past)
    given = [(term, getattr(query, name) or None) for name, term in _PLAIN]
    given += [(term, getattr(query, name)) for name, term in _TIMES]
    for term, value in given:
        if value is not None:
            must(term, value)
    if query.where == ALL:
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        sql = f"SELECT {columns} FROM amends_executions{where} ORDER BY uid DESC LIMIT ?"  # noqa: S608  # see above
        return sql, [*values, query.limit]
    return _select_where(query, columns, terms, values)


def _select_where(query: Query, columns: str, terms: list[str], values: list[Any]) -> tuple[str, list[Any]]:
    """The same with a condition, which may begin at the index of attributes (CROSS JOIN: in that order)."""
    first: list[Any] = []
    last: list[Any] = []
    tables, order = "amends_executions", "uid"
    if (begin := source(query.where, _dialect(first))) is not None:
        if begin.ordered:
            tables, order = f"amends_attributes CROSS JOIN {tables} ON uid = execution_uid", "execution_uid"
            terms = [begin.condition, *terms]
            if query.after:
                terms.append("execution_uid < ?")
                values = [*values, query.after]
        else:
            found = f"SELECT execution_uid FROM amends_attributes WHERE {begin.condition}"  # noqa: S608  # as above
            terms = [f"uid IN ({found})", *terms]
    terms = [*terms, condition(query.where, _dialect(last))]
    sql = f"SELECT {columns} FROM {tables} WHERE {' AND '.join(terms)} ORDER BY {order} DESC LIMIT ?"  # noqa: S608
    return sql, [*first, *values, *last, query.limit]


def _dialect(values: list[Any]) -> Dialect:
    def mark(value: object) -> str:
        values.append(value)
        return "?"

    return Dialect("amends_attributes", "", mark)
