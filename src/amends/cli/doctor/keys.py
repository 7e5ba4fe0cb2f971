"""The keys of subjects: can this process unwrap them, and by which master key are they wrapped?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...encryption.codec import Codec
from ...encryption.masters import NotWrappedHere
from ...errors import KeyUnavailable
from ...store.port import Key, KeyQuery, Store
from ..render.text import many
from .finding import Finding, careful, fine, problem

_LOOKED_AT = 5000
_LACKS = "add it to KeyRing(previous=…), or to AMENDS_PREVIOUS_MASTER_KEYS"


async def examine_keys(store: Store, codec: Codec) -> AsyncIterator[Finding]:
    """One of each master key is unwrapped."""
    ring = codec.keys
    if ring is None:
        return
    found = await store.keys(KeyQuery(living=True, limit=_LOOKED_AT))
    by_master: dict[str, list[Key]] = {}
    for key in found:
        by_master.setdefault(key.master, []).append(key)
    if not by_master:
        yield fine("keys", f"none yet; new ones are wrapped by {ring.master.name}")
    for master, keys in sorted(by_master.items()):
        seen = f"{many(len(keys), 'key')} wrapped by {master}"
        first = keys[0]
        assert first.wrapped is not None
        try:
            await ring.unwrap(first.id, first.wrapped, master)
        except NotWrappedHere:
            yield problem("keys", f"{seen}, which is not here: their payloads cannot be read", _LACKS)
        except KeyUnavailable as error:
            yield problem("keys", f"{seen}: {error.message}", error.hint)
        else:
            if master == ring.master.name:
                yield fine("keys", seen)
            else:
                yield careful("keys", f"{seen}, a former one", "amends keys rotate")
