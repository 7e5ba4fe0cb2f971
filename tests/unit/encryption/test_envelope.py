"""Envelopes: what is in them comes out as it was, and only where it was put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.encryption import Codec, KeyRing, MasterKey, envelope
from amends.encryption.codec import WORTHWHILE, DataKey
from amends.encryption.envelope import Refused, as_raw, as_text, of_raw, of_text, taken_apart
from amends.errors import DefinitionError

RING = KeyRing(MasterKey(MasterKey.generate()))
KEY = DataKey("00112233445566ff", bytes(range(32)), 0.0)
CHAINS = {
    "encrypt": (Codec(keys=RING, compress=False), KEY),
    "compress, encrypt": (Codec(keys=RING), KEY),
    "compress": (Codec(), None),
}
CONTENTS = st.binary(max_size=300) | st.binary(min_size=1, max_size=20).map(lambda piece: piece * 40)


def enclosed(codec: Codec, key: DataKey | None, content: bytes, uid: str = "u", place: str = "p") -> bytes:
    made = codec.enclose(content, uid, place, key)
    assert made is not None
    return made


def opened(codec: Codec, key: DataKey | None, data: bytes, uid: str = "u", place: str = "p") -> bytes:
    return codec.open(taken_apart(data), uid, place, key)


@pytest.mark.parametrize("chain", CHAINS)
@given(content=CONTENTS, uid=st.text(max_size=20), place=st.text(max_size=20))
def test_what_is_enclosed_is_opened(chain: str, content: bytes, uid: str, place: str) -> None:
    codec, key = CHAINS[chain]
    made = codec.enclose(content, uid, place, key)
    if made is None:
        assert key is None  # only encryption is never left out
        return
    assert opened(codec, key, made, uid, place) == content
    assert of_raw(as_raw(made)) == made
    assert of_text(as_text(made)) == made


@pytest.mark.parametrize("chain", CHAINS)
@given(data=st.data(), content=st.binary(min_size=1, max_size=20).map(lambda piece: piece * 160))
def test_a_flipped_bit_is_refused(chain: str, data: st.DataObject, content: bytes) -> None:
    codec, key = CHAINS[chain]
    form = bytearray(as_raw(enclosed(codec, key, content)))
    head, tail = len(b'{"$envelope":"'), len(b'"}')
    at = data.draw(st.integers(head, len(form) - tail - 1))
    form[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Refused):
        opened_form(codec, key, bytes(form))


def opened_form(codec: Codec, key: DataKey | None, form: bytes) -> bytes:
    data = of_raw(form)
    if data is None:
        raise Refused("no envelope any more")
    sealed = taken_apart(data)
    if sealed.key != (key.id if key else ""):
        raise Refused("there is no key of that id")
    return codec.open(sealed, "u", "p", key)


@pytest.mark.parametrize("chain", CHAINS)
def test_every_single_byte_counts(chain: str) -> None:
    codec, key = CHAINS[chain]
    made = enclosed(codec, key, b"personal " * 30)
    for at in range(len(made)):
        maimed = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        with pytest.raises(Refused):
            opened(codec, key, maimed)
    for cut in range(len(made)):
        with pytest.raises(Refused):
            opened(codec, key, made[:cut])


@pytest.mark.parametrize("chain", CHAINS)
def test_moved_is_refused(chain: str) -> None:
    codec, key = CHAINS[chain]
    made = enclosed(codec, key, b"personal " * 30, "one", "completed/1/value")
    assert opened(codec, key, made, "one", "completed/1/value")
    for uid, place in (("two", "completed/1/value"), ("one", "completed/2/value"), ("one", "run/1/args")):
        with pytest.raises(Refused):
            opened(codec, key, made, uid, place)


def test_without_associated_data_what_is_moved_would_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard of `test_moved_is_refused`, taken out."""
    monkeypatch.setattr("amends.encryption.codec._bound", lambda uid, place: b"")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_moved_is_refused("encrypt")


def test_executions_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random nonces may meet: under one key that would be fatal, so no two executions share one."""
    monkeypatch.setattr("amends.encryption.codec._bound", lambda uid, place: b"")
    codec = Codec(keys=RING, compress=False)
    with pytest.raises(Refused):
        opened(codec, KEY, enclosed(codec, KEY, b"content", "one"), "two")


def test_nonces_differ() -> None:
    codec = Codec(keys=RING, compress=False)
    assert len({enclosed(codec, KEY, b"same") for _ in range(100)}) == 100


def test_long_and_dull_is_shorter() -> None:
    codec = Codec(keys=RING)
    assert len(enclosed(codec, KEY, b"a" * 10_000)) < 100
    assert Codec().enclose(b"a" * (WORTHWHILE - 1), "u", "p", None) is None


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = enclosed(Codec(), None, b"\0" * 100_000)
    monkeypatch.setattr("amends.encryption.codec.INFLATED", 50_000)
    with pytest.raises(Refused, match="too large"):
        opened(Codec(), None, made)


def test_a_placeholder_says_why() -> None:
    for why in envelope.WHY:
        assert envelope.why_of(envelope.missing_raw(why, "k")) == why
    assert envelope.why_of(b'{"order":1}') is None
    assert envelope.why_of(as_raw(b"x")) == "no_codec"
    assert envelope.why_of(b'{"$envelope":7}') == "refused"


@pytest.mark.parametrize("wrong", ["{}", '{"$envelope":"A"}', '{"$envelope":"AA=="', '{"$envelope":"A==="}'])
def test_what_is_no_envelope_is_refused(wrong: str) -> None:
    if not wrong.startswith('{"$'):
        assert of_raw(wrong.encode()) is None
        return
    with pytest.raises(Refused):
        taken_apart(of_raw(wrong.encode()) or b"")


def test_a_codec_that_does_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="does nothing"):
        Codec(compress=False)
