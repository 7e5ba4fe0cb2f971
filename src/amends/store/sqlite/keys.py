"""The keys of envelopes, in the file. (What is in them is not for it to know: `amends.encryption`.)"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw

from ..port import AuditRecord, Key, KeyQuery, Rewrap
from .commit import audit_values
from .core import Core
from .sql import load
from .worker_side import CONTROL

T = TypeVar("T")
_SQL = load("keys.sql")
_AUDIT = CONTROL.bulk("audit")


class KeyPart(Core):
    """Keys of envelopes."""

    async def add_key(self, key: Key) -> Key:
        """Add a key, unless its subject has one; returns the one that it has."""

        def work(db: apsw.Connection) -> Key:
            given = (key.id, key.namespace, key.subject, key.wrapped, key.master, key.created_at)
            db.execute(_SQL["add"], given)
            return _key(db.execute(_SQL["of"], (key.namespace, key.subject)).fetchall()[0])

        return await self._writer.soon(lambda db: _overwriting(db, lambda: work(db)))

    async def keys(self, query: KeyQuery) -> list[Key]:
        """Keys that match, by id."""
        name, given = _asked(query)
        return [_key(row) for row in self._read(lambda db: db.execute(_SQL[name], given).fetchall())]

    async def rewrap(self, changes: Sequence[Rewrap]) -> list[str]:
        """Replace wrapped keys, each only if it is as it was, in one transaction."""

        def work(db: apsw.Connection) -> list[str]:
            given = [(each.id, each.was, each.wrapped, each.master) for each in changes]
            return [id for values in given for (id,) in db.execute(_SQL["rewrap"], values)]

        done = await self._writer.run(lambda db: _overwriting(db, lambda: work(db)))
        await self.tidy()
        return sorted(done)

    async def forget(self, namespace: str, subject: str, audit: AuditRecord) -> str | None:
        """Delete a subject's key, with its name: overwritten, also in the log as soon as that is emptied (at
        once by a worker that serves this store object; else when the worker is next idle)."""

        def work(db: apsw.Connection) -> str | None:
            found = db.execute(_SQL["of"], (namespace, subject)).fetchall()
            if not found:
                return None
            id = str(found[0][0])
            db.execute(_SQL["forget"], (id, audit.at))
            record = AuditRecord(audit.at, f"key {id}", audit.by, audit.action, audit.reason, audit.detail)
            _AUDIT.run(db.execute, list(audit_values(record)))
            return id

        forgotten = await self._writer.run(lambda db: _overwriting(db, lambda: work(db)))
        await self.tidy()
        return forgotten


def _overwriting(db: apsw.Connection, work: Callable[[], T]) -> T:
    """What is deleted or moved meanwhile is overwritten with zeros, not only taken off the list."""
    before = db.pragma("secure_delete")
    db.pragma("secure_delete", 1)
    try:
        return work()
    finally:
        db.pragma("secure_delete", before)


def _asked(query: KeyQuery) -> tuple[str, tuple[Any, ...]]:
    page = (query.after, query.limit)
    if query.ids:
        return "by_ids", (query.namespace, json.dumps(list(query.ids)), *page)
    if query.subjects:
        return "by_subjects", (query.namespace, json.dumps(list(query.subjects)), *page)
    if query.living or query.master_not:
        return "living", (query.namespace, query.after, query.master_not, query.limit)
    return "every", (query.namespace, *page)


def _key(values: Sequence[Any]) -> Key:
    return Key(**dict(zip(Key.__struct_fields__, values, strict=True)))
