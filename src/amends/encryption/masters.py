"""Master keys: what data keys are wrapped by. The store never sees one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import inspect
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..errors import DefinitionError
from ..ids import noise
from .envelope import NONCE
from .library import aead, refusal

LENGTH = 32
"""Bytes of a master key and of a data key: AES with 256 bit."""

_HOW = "make one: python -c 'import amends.encryption as e; print(e.MasterKey.generate())'"


class NotWrappedHere(Exception):
    """A wrapped key is not what this master key made (or not for this data key)."""


@runtime_checkable
class Master(Protocol):
    """Wraps data keys. `name` is stored beside each, so that what wraps it can be found again."""

    @property
    def name(self) -> str:
        """Unique among the master keys that were ever used; no secret."""
        ...

    async def wrap(self, secret: bytes, bound: bytes) -> bytes:
        """`secret`, encrypted, with `bound` as associated data."""
        ...

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """What was wrapped. Raises `NotWrappedHere` for what this master key did not wrap with that `bound`;
        any other exception counts as *cannot be reached now*."""
        ...


class MasterKey:
    """A master key that this process holds: 32 bytes, or the text that `generate` gives.

    name: what is stored beside the keys that it wraps (default: its fingerprint).  Raises `DefinitionError`.
    """

    def __init__(self, secret: bytes | str, *, name: str = "") -> None:
        key = _bytes_of(secret)
        self._cipher = aead()(key)
        self._name = name or f"mk-{hashlib.sha256(b'amends master key ' + key).hexdigest()[:12]}"

    @property
    def name(self) -> str:
        """What is stored beside the keys that it wraps."""
        return self._name

    @staticmethod
    def generate() -> str:
        """A new random master key, as text. Keep it where you keep passwords, and not beside backups."""
        return base64.b64encode(noise(LENGTH)).decode()

    @classmethod
    def from_environment(cls, variable: str = "AMENDS_MASTER_KEY", *, name: str = "") -> MasterKey:
        """The key that an environment variable holds. Raises `DefinitionError` when it is not set."""
        found = os.environ.get(variable)
        if not found:
            raise DefinitionError(f"the environment variable {variable} is not set", hint=_HOW)
        return cls(found, name=name)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, name: str = "") -> MasterKey:
        """The key that a file holds, as text. Raises `DefinitionError` when it cannot be read."""
        try:
            return cls(Path(path).read_text(encoding="ascii"), name=name)
        except (OSError, UnicodeError) as error:
            raise DefinitionError(f"the master key cannot be read from {path}: {error}", hint=_HOW) from error

    async def wrap(self, secret: bytes, bound: bytes) -> bytes:
        """A random nonce, and what AES-GCM makes of the secret."""
        nonce = noise(NONCE)
        wrapped: bytes = nonce + self._cipher.encrypt(nonce, secret, bound)
        return wrapped

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """What was wrapped. Raises `NotWrappedHere`."""
        try:
            secret: bytes = self._cipher.decrypt(wrapped[:NONCE], wrapped[NONCE:], bound)
        except (refusal(), ValueError) as error:
            raise NotWrappedHere(f"not wrapped by {self._name}") from error
        return secret

    def __repr__(self) -> str:
        return f"<master key {self._name}>"


Wrapping = Callable[[bytes, bytes], bytes | Awaitable[bytes]]


class Kms:
    """A master key that stays in a key management service.

    wrap, unwrap: functions (``async`` or not; a blocking one holds up the event loop) of the bytes and of the
    associated data to bind them to.  name: of the key there, with its version.
    """

    def __init__(self, name: str, *, wrap: Wrapping, unwrap: Wrapping) -> None:
        if not name:
            raise DefinitionError("a master key needs a name", hint='for example Kms("kms-2026-11", …)')
        self._name = name
        self._wrap = wrap
        self._unwrap = unwrap

    @property
    def name(self) -> str:
        """What is stored beside the keys that it wraps."""
        return self._name

    async def wrap(self, secret: bytes, bound: bytes) -> bytes:
        """As the service does."""
        return await _awaited(self._wrap(secret, bound))

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """As the service does."""
        return await _awaited(self._unwrap(wrapped, bound))

    def __repr__(self) -> str:
        return f"<master key {self._name} of a service>"


async def _awaited(made: bytes | Awaitable[bytes]) -> bytes:
    return await made if inspect.isawaitable(made) else made


def _bytes_of(secret: bytes | str) -> bytes:
    """The 32 bytes. (What was given is never shown: it may be nearly the key.)"""
    if isinstance(secret, str):
        try:
            secret = base64.b64decode(secret.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise DefinitionError("a master key as text is base64", hint=_HOW) from None
    if len(secret) != LENGTH:
        raise DefinitionError(f"a master key has {LENGTH} bytes, got {len(secret)}", hint=_HOW)
    return secret
