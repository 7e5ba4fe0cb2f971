"""Master keys and rings: what wraps data keys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amends.encryption import Codec, KeyRing, Kms, MasterKey
from amends.encryption.environment import codec_from_environment
from amends.encryption.masters import NotWrappedHere
from amends.errors import DefinitionError, KeyUnavailable


def test_what_is_wrapped_is_unwrapped() -> None:
    ring = KeyRing(MasterKey(MasterKey.generate()))
    id, secret = ring.fresh()
    wrapped = asyncio.run(ring.wrap(id, secret))
    assert secret not in wrapped
    assert asyncio.run(ring.unwrap(id, wrapped, ring.master.name)) == secret
    with pytest.raises(NotWrappedHere):  # not even as another key
        asyncio.run(ring.unwrap("00" * 8, wrapped, ring.master.name))
    with pytest.raises(NotWrappedHere):
        asyncio.run(ring.unwrap(id, wrapped, "mk-other"))
    with pytest.raises(NotWrappedHere):
        asyncio.run(ring.unwrap(id, wrapped[:-1], ring.master.name))


def test_former_masters_still_unwrap() -> None:
    old, new = MasterKey(MasterKey.generate()), MasterKey(MasterKey.generate())
    wrapped = asyncio.run(KeyRing(old).wrap("ab" * 8, b"s" * 32))
    ring = KeyRing(new, previous=[old])
    assert asyncio.run(ring.unwrap("ab" * 8, wrapped, old.name)) == b"s" * 32
    with pytest.raises(NotWrappedHere):
        asyncio.run(KeyRing(new).unwrap("ab" * 8, wrapped, old.name))


def test_no_secret_is_shown() -> None:
    text = MasterKey.generate()
    assert text not in repr(MasterKey(text)) + repr(KeyRing(MasterKey(text))) + repr(MasterKey(text).name)
    wrong = text[:-6]
    with pytest.raises(DefinitionError) as raised:
        MasterKey(wrong)
    assert wrong not in str(raised.value)


def test_a_key_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMENDS_MASTER_KEY", "AMENDS_MASTER_KEY_FILE", "AMENDS_PREVIOUS_MASTER_KEYS"):
        monkeypatch.delenv(name, raising=False)
    assert codec_from_environment() is None
    with pytest.raises(DefinitionError, match="AMENDS_MASTER_KEY is not set"):
        MasterKey.from_environment()
    one, two = MasterKey.generate(), MasterKey.generate()
    file = tmp_path / "key"
    file.write_text(f"{one}\n")
    monkeypatch.setenv("AMENDS_MASTER_KEY_FILE", str(file))
    monkeypatch.setenv("AMENDS_PREVIOUS_MASTER_KEYS", f"{two},")
    codec = codec_from_environment()
    assert codec is not None
    assert codec.keys is not None
    assert codec.keys.master.name == MasterKey(one).name
    assert codec.keys.has(MasterKey(two).name)
    with pytest.raises(DefinitionError, match="cannot be read"):
        MasterKey.from_file(tmp_path / "none")


def test_a_service_wraps() -> None:
    held = MasterKey(MasterKey.generate())

    async def away(secret: bytes, bound: bytes) -> bytes:
        raise ConnectionError("no route")

    ring = KeyRing(Kms("kms/1", wrap=held.wrap, unwrap=lambda wrapped, bound: wrapped[:32]))
    wrapped = asyncio.run(ring.wrap("ab" * 8, b"s" * 32))
    assert len(asyncio.run(ring.unwrap("ab" * 8, wrapped, "kms/1"))) == 32
    with pytest.raises(KeyUnavailable, match="no route"):
        asyncio.run(KeyRing(Kms("kms/2", wrap=away, unwrap=away)).wrap("ab" * 8, b"s" * 32))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: KeyRing("secret"),  # type: ignore[arg-type]
        lambda: KeyRing(MasterKey(b"k" * 32), previous=[MasterKey(b"k" * 32)]),
        lambda: KeyRing(MasterKey(b"k" * 32), lifetime=0),
        lambda: Codec(keys=MasterKey(b"k" * 32)),  # type: ignore[arg-type]
        lambda: Kms("", wrap=lambda a, b: a, unwrap=lambda a, b: a),
        lambda: MasterKey(b"short"),
    ],
)
def test_what_cannot_be_a_ring_is_refused(wrong: object) -> None:
    with pytest.raises(DefinitionError):
        wrong()  # type: ignore[operator]
