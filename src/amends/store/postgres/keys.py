"""The keys of envelopes, in the database. (What is in them is not for it to know: `amends.encryption`.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..port import AuditRecord, Key, KeyQuery, Rewrap
from .link import Rows
from .literals import get, maybe_texts, put
from .worker_side import WorkerPart


class KeyPart(WorkerPart):
    """Keys of envelopes."""

    async def add_key(self, key: Key) -> Key:
        """Add a key, unless its subject has one; returns the one that it has."""
        assert key.wrapped is not None
        values = {
            "id": key.id,
            "namespace": put(key.namespace),
            "subject": put(key.subject),
            "wrapped": key.wrapped.hex(),
            "master": put(key.master),
            "created_at": key.created_at,
        }
        await self._change("add_key", values)
        return (await self.keys(KeyQuery(namespace=key.namespace, subjects=[key.subject])))[0]

    async def keys(self, query: KeyQuery) -> list[Key]:
        """Keys that match, by id."""
        names = query.ids or query.subjects
        kind = "by_ids" if query.ids else "by_subjects" if query.subjects else None
        if kind is None:
            kind = "living" if query.living or query.master_not else "every"
        values = {
            "namespace": put(query.namespace),
            "names": maybe_texts(names),
            "master_not": put(query.master_not),
            "after": query.after,
            "limit": query.limit,
        }
        return [_key(row) for row in await self._read(f"keys_{kind}", **values)]

    async def rewrap(self, changes: Sequence[Rewrap]) -> list[str]:
        """Replace wrapped keys, each only if it is as it was, in one transaction."""
        values = {
            "ids": maybe_texts([each.id for each in changes]),
            "was": maybe_texts([each.was.hex() for each in changes]),
            "wrapped": maybe_texts([each.wrapped.hex() for each in changes]),
            "masters": maybe_texts([each.master for each in changes]),
        }
        return sorted(id for (id,) in await self._change("rewrap_keys", values))

    async def forget(self, namespace: str, subject: str, audit: AuditRecord) -> str | None:
        """Delete a subject's key, with its name."""
        told = {name: put(getattr(audit, name)) for name in ("by", "action", "reason", "detail")}
        values = {"namespace": put(namespace), "subject": put(subject), "at": audit.at, **told}
        found = await self._change("forget_key", values)
        return found[0][0] if found else None

    async def _change(self, name: str, values: Mapping[str, Any]) -> Rows:
        with self._changing("do it again: what was done is found done"):
            return await self._control.fetch(self._sql[name], values)


def _key(row: tuple[Any, ...]) -> Key:
    id, namespace, subject, wrapped, master, created_at, forgotten_at = row
    return Key(
        id=id,
        namespace=get(namespace),
        subject=get(subject),
        wrapped=None if wrapped is None else bytes.fromhex(wrapped),
        master=get(master),
        created_at=created_at,
        forgotten_at=forgotten_at,
    )
