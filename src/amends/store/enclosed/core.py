"""What all parts of a store with envelopes share: the store behind, the codec, and the keys of executions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...clock import Clock
from ...encryption import envelope
from ...encryption.codec import Codec
from ..port import Header, KeySide, Store
from .hands import Closing, Found
from .keeping import Keeping

T = TypeVar("T")
_REMEMBERED = 10_000
"""Executions of which a client remembers the key."""


class Core:
    """See the package's head. `kept`: the store behind it; `keys`: where the keys are."""

    def __init__(self, kept: Store, codec: Codec, clock: Clock, keys: KeySide | None = None) -> None:
        self.kept = kept
        self.keeping = Keeping(keys or kept, codec.keys, clock)
        self._codec = codec
        self._clock = clock
        self._keys: OrderedDict[str, str] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    def _closing(self, uid: str, key: Found) -> Closing:
        return Closing(self._codec, uid, key)

    async def _key_of(self, uid: str) -> Found:
        """The key of an execution that exists."""
        id = self._keys.get(uid)
        if id is None:
            found = await self.kept.read(uid)
            if found is None:  # the store says so
                return None
            id = self._remember(found[0])
            if not id:
                return await self.keeping.of_subject(found[0].namespace, "", self._clock.now())
        return (await self.keeping.by_ids([id]))[id]

    def _remember(self, header: Header) -> str:
        """The id of the key with which an execution's input was encrypted; empty where it was not."""
        id = key_in(header.input)
        if id:
            self._know_key(header.uid, id)
        return id

    def _know_key(self, uid: str, id: str) -> None:
        self._keys[uid] = id
        if len(self._keys) > _REMEMBERED:
            self._keys.popitem(last=False)

    async def _with_keys(self, work: Callable[[Mapping[str, Found], set[str]], T], ids: Sequence[str]) -> T:
        """Do the work with these keys, and again with those it finds missing."""
        keys = await self.keeping.by_ids({id for id in ids if id})
        while True:
            missing: set[str] = set()
            done = work(keys, missing)
            if not missing:
                return done
            keys |= await self.keeping.by_ids(missing)


def key_in(input: str) -> str:
    """The id of the key with which a payload was encrypted; empty where it was not."""
    try:
        enclosed = envelope.of_raw(input.encode())
        return envelope.taken_apart(enclosed).key if enclosed else ""
    except envelope.Refused:
        return ""
