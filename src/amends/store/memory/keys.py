"""The keys of envelopes, in memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from ..port import AuditRecord, Key, KeyQuery, Rewrap
from .core import Core, check_storable
from .state import State


def _of(state: State, namespace: str, subject: str) -> Key | None:
    for key in state.keys.values():
        if key.wrapped is not None and (key.namespace, key.subject) == (namespace, subject):
            return key
    return None


def add(state: State, key: Key) -> Key:
    """Add a key, unless its subject has one; returns the one that it has."""
    found = _of(state, key.namespace, key.subject)
    if found is None:
        found = state.keys.setdefault(key.id, copy.copy(key))
    return copy.copy(found)


def find(state: State, query: KeyQuery) -> list[Key]:
    """Keys that match, by id."""
    found = [
        copy.copy(key)
        for id, key in sorted(state.keys.items())
        if (not query.namespace or key.namespace == query.namespace)
        and (not query.ids or id in query.ids)
        and (not query.subjects or (key.subject in query.subjects and key.wrapped is not None))
        and (key.wrapped is not None or not (query.living or query.master_not))
        and (not query.master_not or key.master != query.master_not)
        and id > query.after
    ]
    return found[: query.limit]


def rewrap(state: State, changes: Sequence[Rewrap]) -> list[str]:
    """Replace wrapped keys, each only if it is as it was."""
    done = []
    for change in changes:
        key = state.keys.get(change.id)
        if key is not None and key.wrapped == change.was:
            key.wrapped, key.master = change.wrapped, change.master
            done.append(change.id)
    return sorted(done)


def forget(state: State, namespace: str, subject: str, audit: AuditRecord) -> str | None:
    """Delete a subject's key, with its name."""
    key = _of(state, namespace, subject)
    if key is None:
        return None
    key.wrapped, key.master, key.subject, key.forgotten_at = None, "", "", audit.at
    record = copy.copy(audit)
    record.uid = f"key {key.id}"
    state.audit.append(record)
    return key.id


class KeyPart(Core):
    """Keys of envelopes."""

    async def add_key(self, key: Key) -> Key:
        """Add a key, unless its subject has one; returns the one that it has."""
        self._check_open()
        check_storable(key)
        return add(self._state, key)

    async def keys(self, query: KeyQuery) -> list[Key]:
        """Keys that match, by id."""
        self._check_open()
        return find(self._state, query)

    async def rewrap(self, changes: Sequence[Rewrap]) -> list[str]:
        """Replace wrapped keys, each only if it is as it was."""
        self._check_open()
        return rewrap(self._state, changes)

    async def forget(self, namespace: str, subject: str, audit: AuditRecord) -> str | None:
        """Delete a subject's key, with its name."""
        self._check_open()
        check_storable(audit)
        return forget(self._state, namespace, subject, audit)
