"""The keys of subjects: `engine.keys`, `client.keys`. See docs/encryption.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..definition.saga import SagaCall
from ..encryption.codec import Codec
from ..encryption.keyring import KeyRing
from ..encryption.masters import NotWrappedHere
from ..errors import Refused, UnknownName
from ..store.enclosed import Enclosed, as_kept
from ..store.port import AuditRecord, Header, Key, KeyQuery, Rewrap, Store
from .backend import must_be_text, operator
from .bulk import check_batch

if TYPE_CHECKING:
    from .backend import Backend

BATCH = 100


class KeyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A subject's key. `subject` is empty for all executions that name none, and for what was forgotten."""

    id: str
    namespace: str
    subject: str
    master: str
    created_at: datetime
    forgotten_at: datetime | None = None


class RotateBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that are durable under the new master key. `missing`: those under a master key that the ring
    lacks.

    `after`: the last key looked at.
    """

    ids: list[str]
    missing: list[str]
    after: str


class Keys:
    """The keys of one namespace."""

    def __init__(self, backend: Backend, codec: Codec | None) -> None:
        self._backend = backend
        self._codec = codec

    async def list(self, *, subject: str | None = None, after: str = "", limit: int = 100) -> list[KeyStatus]:
        """Keys, by id, also those that were forgotten; `limit` at a time, going on `after` an id.

        subject: only that of this one.  It needs no codec.
        """
        subjects = () if subject is None else (subject,)
        query = KeyQuery(namespace=self._backend.namespace, subjects=subjects, after=after, limit=limit)
        return [_status(key) for key in await self._store.keys(query)]

    async def prepare(self, subject: str) -> str:
        """Make a subject's key, if it has none; returns its id.

        `start` does so by itself, in a transaction of its own. Where you start sagas on a connection of yours
        that holds a lock on the whole file (SQLite), do it before you begin that.
        """
        self._ring()
        store = self._backend.store
        assert isinstance(store, Enclosed)
        now = self._backend.clock.now()
        key = await store.keeping.of_subject(self._backend.namespace, _text(subject), now)
        assert key is not None
        return key.id

    async def forget(self, subject: str, reason: str, *, by: str | None = None) -> str:
        """Delete a subject's key for good: what it encrypted cannot be read any more, by anybody.

        Executions of the subject that have not ended are parked when they next need a payload, and can then
        only be terminated. Audited (under ``key <id>``); returns the key's id.  Workers hear of it within the
        `lifetime` of their key rings.  It needs no codec.

        Raises `UnknownName` when the subject has no key, `Refused` without a reason.
        """
        must_be_text("reason", reason)
        if not reason.strip():
            raise Refused("forget needs a reason: it is audited", hint='reason="request of 26 November"')
        backend = self._backend
        record = AuditRecord(backend.clock.now(), "", by or operator(), "forget", reason)
        id = await self._store.forget(backend.namespace, _text(subject), record)
        if id is None:
            raise UnknownName(
                f"the subject {subject!r} has no key (in the namespace {backend.namespace})",
                hint="it was forgotten before, or named otherwise: see `amends keys list`",
            )
        if isinstance(backend.store, Enclosed):
            backend.store.keeping.drop(id)
        return id

    async def count(self, *, batch: int = 1000) -> int:
        """How many keys `rotate` would look at. Raises `Refused` without a codec with keys."""
        master, after, count = self._ring().master.name, "", 0
        while found := await self._store.keys(KeyQuery(master_not=master, after=after, limit=batch)):
            after, count = found[-1].id, count + len(found)
        return count

    async def rotate(self, *, batch: int = BATCH, after: str = "") -> AsyncIterator[RotateBatch]:
        """Wrap all keys anew that the ring's master key has not wrapped; payloads stay as they are.

        ``async for batch in engine.keys.rotate(): …``: a batch is durable when it comes.  Interrupted, it is
        simply done again: what is done is not looked at twice.  All namespaces of the store.

        Raises `Refused` without a codec with keys, `KeyUnavailable`, `StoreError`.
        """
        check_batch(batch)
        ring = self._ring()
        while True:
            query = KeyQuery(master_not=ring.master.name, after=after, limit=batch)
            found = await self._store.keys(query)
            if not found:
                return
            after = found[-1].id
            changes, missing = await _rewrapped(ring, found)
            ids = await self._store.rewrap(changes) if changes else []
            yield RotateBatch(ids=ids, missing=missing, after=after)

    @property
    def _store(self) -> Store:
        return as_kept(self._backend.store)

    def _ring(self) -> KeyRing:
        if self._codec is None or self._codec.keys is None:
            raise Refused(
                "this needs a codec with keys",
                hint="Engine(…, codec=Codec(keys=KeyRing(MasterKey.from_environment())))",
            )
        return self._codec.keys


async def begin(store: Store, header: Header, call: SagaCall[Any], subject: str | None) -> None:
    """An execution is about to be started: whose are its payloads? Raises `Refused`."""
    if not isinstance(store, Enclosed):
        raise Refused(
            "subject= needs a codec with keys: without one payloads are stored in the clear",
            hint="Engine(…, codec=Codec(keys=KeyRing(MasterKey.from_environment())))",
        )
    ask = call.saga.options.subject
    if subject is None and ask is not None:
        positional, named, _ = call.saga.signature.plan
        given = [getattr(call.args, name) for name in positional]
        subject = ask(*given, **{name: getattr(call.args, name) for name in named})
        if not subject:
            raise Refused(f"{call.saga.name}: subject= of its arguments is {subject!r}; expected a text")
    await store.begin(header, "" if subject is None else _text(subject))


async def _rewrapped(ring: KeyRing, keys: list[Key]) -> tuple[list[Rewrap], list[str]]:
    """The changes to make, and the ids of keys that this ring cannot unwrap."""
    changes, missing = [], []
    for key in keys:
        assert key.wrapped is not None
        try:
            secret = await ring.unwrap(key.id, key.wrapped, key.master)
        except NotWrappedHere:
            missing.append(key.id)
            continue
        wrapped = await ring.wrap(key.id, secret)
        changes.append(Rewrap(key.id, key.wrapped, wrapped, ring.master.name))
    return changes, missing


def _text(subject: str) -> str:
    """A subject that can be stored, and forgotten by its name. Raises `Refused`."""
    must_be_text("a subject", subject)
    if not subject or len(subject) > 500:
        raise Refused(
            f"a subject is a text of at most 500 characters, got {subject[:50]!r}",
            hint='such as "customer-42"',
        )
    return subject


def _status(key: Key) -> KeyStatus:
    return KeyStatus(
        id=key.id,
        namespace=key.namespace,
        subject=key.subject,
        master=key.master,
        created_at=datetime.fromtimestamp(key.created_at, UTC),
        forgotten_at=None if key.forgotten_at is None else datetime.fromtimestamp(key.forgotten_at, UTC),
    )
