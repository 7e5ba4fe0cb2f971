"""The codec: what is in an envelope, and the keys that open it. Pure but for the nonces."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from zlib import crc32

from ..errors import DefinitionError
from ..ids import noise
from .envelope import COMPRESSED, ENCRYPTED, HEAD, KEY_ID, NONCE, VERSION, Refused, Sealed
from .keyring import KeyRing
from .library import aead, refusal, zstd

WORTHWHILE = 128
"""Bytes below which nothing is compressed."""
INFLATED = 256 * 1024 * 1024
"""Bytes above which a compressed payload is refused when it is opened."""

_CIPHERS = 1024
_DERIVED = b"amends execution key 1\0"


class DataKey:
    """A subject's key, unwrapped. Executions have keys of their own, derived from it and their uid."""

    __slots__ = ("_ciphers", "_secret", "head", "id", "until")

    def __init__(self, id: str, secret: bytes, until: float) -> None:
        self.id = id
        self.head = bytes.fromhex(id)
        self.until = until
        self._secret = secret
        self._ciphers: dict[str, Any] = {}

    def cipher(self, uid: str) -> Any:
        """The cipher of one execution."""
        found = self._ciphers.get(uid)
        if found is None:
            if len(self._ciphers) >= _CIPHERS:
                self._ciphers.clear()
            key = hmac.new(self._secret, _DERIVED + uid.encode(), hashlib.sha256).digest()
            found = self._ciphers[uid] = aead()(key)
        return found

    def __repr__(self) -> str:
        return f"<data key {self.id}>"


class Codec:
    """What happens to payloads between memory and store: ``Engine(url, codec=Codec(keys=KeyRing(…)))``.

    keys: encrypt with AES-256-GCM, by a key per subject.  compress: with zstd, what is long enough and gets
    shorter.  (Before encryption: the length of what is stored then tells something of the content.)  Give all
    engines and clients of a store the same codec.  Raises `DefinitionError` where its library is missing
    (extra ``encryption``).
    """

    def __init__(
        self,
        *,
        keys: KeyRing | None = None,
        compress: bool = True,
        noise: Callable[[int], bytes] = noise,
    ) -> None:
        if keys is None and not compress:
            raise DefinitionError(
                "a codec without keys that does not compress does nothing",
                hint="Codec(keys=KeyRing(MasterKey.from_environment()))",
            )
        if keys is not None and not isinstance(keys, KeyRing):
            raise DefinitionError(f"Codec(keys=…) takes a KeyRing, got {type(keys).__name__}")
        if compress:
            zstd()
        if keys is not None:
            aead()
        self.keys = keys
        self.compress = compress
        self._noise = noise

    def enclose(self, content: bytes, uid: str, place: str, key: DataKey | None) -> bytes | None:
        """The envelope of a payload; None: it stays as it is (nothing to encrypt with, nothing gained)."""
        flags = 0
        if self.compress and len(content) >= WORTHWHILE:
            shorter = zstd().compress(content)
            if len(shorter) < len(content):
                content, flags = shorter, COMPRESSED
        if key is None:
            if not flags:
                return None
            data = bytes((VERSION, flags)) + content
            return data + crc32(data + _bound(uid, place)).to_bytes(4, "big")
        head = bytes((VERSION, flags | ENCRYPTED)) + key.head
        nonce = self._noise(NONCE)
        body: bytes = key.cipher(uid).encrypt(nonce, content, head + _bound(uid, place))
        return head + nonce + body

    def open(self, sealed: Sealed, uid: str, place: str, key: DataKey | None) -> bytes:
        """What is in an envelope. Raises `Refused` unless it was made with that key for that place."""
        content = _decrypted(sealed, uid, place, key) if key is not None else _checked(sealed, uid, place)
        return _inflated(content) if sealed.flags & COMPRESSED else content

    def __repr__(self) -> str:
        return f"<codec{' zstd' * self.compress}{' AES-GCM' * (self.keys is not None)}>"


def _bound(uid: str, place: str) -> bytes:
    """What an envelope is bound to, besides its head."""
    return f"{uid}\n{place}".encode()


def _decrypted(sealed: Sealed, uid: str, place: str, key: DataKey) -> bytes:
    nonce, body = sealed.body[:NONCE], sealed.body[NONCE:]
    try:
        content: bytes = key.cipher(uid).decrypt(nonce, body, sealed.head + _bound(uid, place))
    except (refusal(), ValueError) as error:
        raise Refused("altered, or made for another place") from error
    return content


def _checked(sealed: Sealed, uid: str, place: str) -> bytes:
    content, sum_ = sealed.body[:-4], sealed.body[-4:]
    if crc32(sealed.head + content + _bound(uid, place)).to_bytes(4, "big") != sum_:
        raise Refused("altered, or made for another place")
    return content


def _inflated(content: bytes) -> bytes:
    inflating = zstd().ZstdDecompressor()
    try:
        data: bytes = inflating.decompress(content, max_length=INFLATED)
    except zstd().ZstdError as error:
        raise Refused("no zstd frame") from error
    if not inflating.eof or inflating.unused_data:
        raise Refused("more than one zstd frame, or a part of one, or too large")
    return data


assert HEAD + KEY_ID == 10  # the layout that `envelope` tells
