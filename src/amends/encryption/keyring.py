"""The ring of master keys, and how long what they open may be kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..errors import DefinitionError, KeyUnavailable
from ..ids import noise
from .envelope import KEY_ID
from .masters import LENGTH, Master, NotWrappedHere


class KeyRing:
    """The master key that wraps new keys, and those before it that may still have wrapped old ones.

    lifetime: for how long (seconds or timedelta) a data key is used without asking the store again whether it
    was forgotten.  capacity: how many data keys are kept in memory.  Raises `DefinitionError`.
    """

    def __init__(
        self,
        master: Master,
        *,
        previous: Sequence[Master] = (),
        lifetime: float | timedelta = 30.0,
        capacity: int = 10_000,
    ) -> None:
        for each in (master, *previous):
            if not isinstance(each, Master):
                raise DefinitionError(
                    f"KeyRing() takes master keys, got {type(each).__name__}",
                    hint="KeyRing(MasterKey.from_environment())",
                )
        self.master = master
        self._masters = {each.name: each for each in (*previous, master)}
        if len(self._masters) < 1 + len(previous):
            raise DefinitionError(
                "two master keys of a ring have one name", hint="give each a name of its own"
            )
        self.lifetime = lifetime.total_seconds() if isinstance(lifetime, timedelta) else float(lifetime)
        self.capacity = capacity
        if not self.lifetime > 0 or capacity < 1:
            raise DefinitionError("KeyRing(lifetime=…, capacity=…) are more than nothing")

    def has(self, name: str) -> bool:
        """Is that master key on the ring?"""
        return name in self._masters

    def fresh(self) -> tuple[str, bytes]:
        """Id and secret of a new data key."""
        return noise(KEY_ID).hex(), noise(LENGTH)

    async def wrap(self, id: str, secret: bytes) -> bytes:
        """A data key as the store keeps it. Raises `KeyUnavailable`."""
        try:
            return await self.master.wrap(secret, _bound(id))
        except Exception as error:
            raise _unavailable(self.master.name, error) from error

    async def unwrap(self, id: str, wrapped: bytes, master: str) -> bytes:
        """A data key. Raises `KeyUnavailable`, `NotWrappedHere` (also without that master key)."""
        found = self._masters.get(master)
        if found is None:
            raise NotWrappedHere(f"no master key {master} on the ring")
        try:
            secret = await found.unwrap(wrapped, _bound(id))
        except NotWrappedHere:
            raise
        except Exception as error:
            raise _unavailable(master, error) from error
        if len(secret) != LENGTH:
            raise NotWrappedHere(f"what {master} unwraps is no data key")
        return secret

    def __repr__(self) -> str:
        return f"<key ring {', '.join(self._masters)}>"


def _bound(id: str) -> bytes:
    return f"amends data key {id}".encode()


def _unavailable(name: str, error: Exception) -> KeyUnavailable:
    return KeyUnavailable(
        f"the master key {name} cannot be used now: {type(error).__name__}: {error}",
        hint="is the key management service up, and may this process use the key?",
    )
