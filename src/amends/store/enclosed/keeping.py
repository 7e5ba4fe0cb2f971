"""Data keys in memory: bounded, and each for no longer than the ring says without asking the store again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Protocol

from ...clock import Clock
from ...encryption.codec import DataKey
from ...encryption.keyring import KeyRing
from ...encryption.masters import NotWrappedHere
from ..port import Key, KeyQuery
from .hands import Found, Gone, error_of


class KeyStore(Protocol):
    """Where the wrapped keys are."""

    async def add_key(self, key: Key) -> Key:
        """See `port.KeySide`."""
        ...

    async def keys(self, query: KeyQuery) -> list[Key]:
        """See `port.KeySide`."""
        ...


class Keeping:
    """The data keys of one store. Without a ring there are none: whatever is asked for is `Gone`."""

    def __init__(self, store: KeyStore, ring: KeyRing | None, clock: Clock) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._known: OrderedDict[str, DataKey] = OrderedDict()
        self._subjects: dict[tuple[str, str], str] = {}
        self._swept = clock.monotonic()

    def fresh(self, key: Found) -> bool:
        """May it be used without asking the store?"""
        return not isinstance(key, DataKey) or key.until > self._clock.monotonic()

    def at_hand(self, namespace: str, subject: str) -> DataKey | None:
        """A subject's key, if it is known and fresh."""
        key = self._known.get(self._subjects.get((namespace, subject), ""))
        return key if key is not None and self.fresh(key) else None

    def known_to(self, id: str) -> dict[str, Found]:
        """The key of that id, if it is known and fresh."""
        key = self._known.get(id)
        return {id: key} if key is not None and self.fresh(key) else {}

    def drop(self, id: str) -> None:
        """It was forgotten."""
        self._known.pop(id, None)

    async def by_ids(self, ids: Collection[str]) -> dict[str, Found]:
        """Keys by their ids. Raises `KeyUnavailable`, `StoreError`."""
        ring = self._ring
        if ring is None:
            return {id: Gone(id, "no_codec") for id in ids}
        found: dict[str, Found] = {}
        for id in ids:
            key = self._known.get(id)
            if key is not None and self.fresh(key):
                found[id] = key
        asked = [id for id in ids if id not in found]
        if asked:
            until = self._clock.monotonic() + ring.lifetime
            stored = {k.id: k for k in await self._store.keys(KeyQuery(ids=asked, limit=len(asked)))}
            for id in asked:
                found[id] = await self._unwrapped(ring, id, stored.get(id), until)
            self._sweep(ring)
        return found

    async def of_subject(self, namespace: str, subject: str, now: float) -> DataKey | None:
        """A subject's key, made when it has none; None without a ring. Raises `Unopened` for one that this
        process cannot unwrap, `KeyUnavailable`, `StoreError`."""
        ring = self._ring
        if ring is None:
            return None
        known = self.at_hand(namespace, subject)
        if known is not None:
            return known
        until = self._clock.monotonic() + ring.lifetime
        stored = await self._store.keys(KeyQuery(namespace=namespace, subjects=[subject], limit=1))
        record = stored[0] if stored else await self._made(ring, namespace, subject, now)
        found = await self._unwrapped(ring, record.id, record, until)
        if not isinstance(found, DataKey):
            why = found.why if isinstance(found, Gone) else "no_key"
            raise error_of(why, f"the key {record.id} of {subject or 'all that name no subject'}")
        self._subjects[namespace, subject] = record.id
        return found

    async def _made(self, ring: KeyRing, namespace: str, subject: str, now: float) -> Key:
        id, secret = ring.fresh()
        wrapped = await ring.wrap(id, secret)
        key = Key(
            id=id,
            namespace=namespace,
            subject=subject,
            wrapped=wrapped,
            master=ring.master.name,
            created_at=now,
        )
        return await self._store.add_key(key)

    async def _unwrapped(self, ring: KeyRing, id: str, record: Key | None, until: float) -> DataKey | Gone:
        """The key of a record; one that was known is only as fresh again (its secret never changes)."""
        if record is None or record.wrapped is None:
            self._known.pop(id, None)
            return Gone(id, "no_key" if record is None else "forgotten")
        key = self._known.get(id)
        if key is None:
            try:
                key = DataKey(id, await ring.unwrap(id, record.wrapped, record.master), until)
            except NotWrappedHere:
                return Gone(id, "no_master")
            key = self._known.setdefault(id, key)
        key.until = max(key.until, until)
        self._known.move_to_end(id)
        return key

    def _sweep(self, ring: KeyRing) -> None:
        """Drop what is too much, and (once in a lifetime) what was not asked for again."""
        while len(self._known) > ring.capacity:
            self._known.popitem(last=False)
        now = self._clock.monotonic()
        if now - self._swept >= ring.lifetime:
            self._swept = now
            for id in [id for id, key in self._known.items() if key.until < now]:
                del self._known[id]
            self._subjects = {who: id for who, id in self._subjects.items() if id in self._known}
