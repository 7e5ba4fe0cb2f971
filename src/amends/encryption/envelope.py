"""The envelope: its bytes, and the two forms in which it stands in JSON.

    version (1) | flags (1) | key (8) | nonce (12) | AES-GCM of the content, with its tag (16)
    version (1) | flags (1) | zstd frame | crc32 of all before (4)              where nothing is encrypted

A payload's place takes ``{"$envelope":"<base64>"}``; a text's, ``"$envelope:<base64>"``.  What cannot be
opened is shown as ``{"$envelope":"","why":"forgotten","key":"…"}`` and ``"$envelope: forgotten"``: a
*placeholder*.
"""

from __future__ import annotations

import binascii

import msgspec

VERSION = 1
COMPRESSED, ENCRYPTED = 1, 2
NONCE = 12
KEY_ID = 8
HEAD = 2

RAW_MARK = b'{"$envelope":'
TEXT_MARK = "$envelope:"

WHY = {
    "forgotten": (
        "its subject was forgotten: the key was deleted, and nobody can read its payloads any more",
        "it can only be terminated; what its steps did has to be undone by hand",
    ),
    "no_key": (
        "the key of its payloads is not in this store",
        "restore the table of keys from the backup that has it, or terminate it",
    ),
    "no_master": (
        "the key of its payloads is wrapped by a master key that this process does not have",
        "give it: KeyRing(…, previous=[…]), then retry; see `amends keys list`",
    ),
    "no_codec": (
        "its payloads are in envelopes, and this engine has no codec to open them",
        "Engine(…, codec=Codec(keys=KeyRing(…))) with the master key, then retry",
    ),
    "refused": (
        "a payload's envelope does not open: it was altered, or moved here from elsewhere",
        "restore the row from a backup, then retry; or terminate it",
    ),
}
"""Why an envelope does not open: what to say, and what to do."""


class Refused(Exception):
    """These bytes are no envelope that was made for this place."""


class Sealed(msgspec.Struct, frozen=True):
    """An envelope taken apart. `key`: the id of its data key, empty where nothing is encrypted."""

    flags: int
    key: str
    head: bytes
    body: bytes


class _Form(msgspec.Struct):
    envelope: str = msgspec.field(name="$envelope")
    why: str = ""
    key: str = ""


_form = msgspec.json.Decoder(_Form)


def taken_apart(data: bytes) -> Sealed:
    """The parts of an envelope. Raises `Refused`."""
    if len(data) < HEAD or data[0] != VERSION or data[1] not in (1, 2, 3):
        raise Refused("no envelope of a version that is known here")
    flags = data[1]
    if not flags & ENCRYPTED:
        return Sealed(flags, "", data[:HEAD], data[HEAD:])
    end = HEAD + KEY_ID
    if len(data) < end + NONCE + 16:
        raise Refused("an envelope that is cut off")
    return Sealed(flags, data[HEAD:end].hex(), data[:end], data[end:])


def as_raw(data: bytes) -> bytes:
    """An envelope in the place of a payload."""
    return b'{"$envelope":"' + binascii.b2a_base64(data, newline=False) + b'"}'


def as_text(data: bytes) -> str:
    """An envelope in the place of a text."""
    return TEXT_MARK + binascii.b2a_base64(data, newline=False).decode()


def of_raw(raw: bytes) -> bytes | None:
    """The envelope in the place of a payload; None: there is none. Raises `Refused` for a damaged one."""
    if not raw.startswith(RAW_MARK):
        return None
    try:
        return _decoded(_form.decode(raw).envelope)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Refused("no envelope") from error


def of_text(text: str) -> bytes | None:
    """The envelope in the place of a text; None: there is none. Raises `Refused` for a damaged one."""
    return _decoded(text[len(TEXT_MARK) :]) if text.startswith(TEXT_MARK) else None


def _decoded(text: str) -> bytes:
    """Only the one way of writing each: the last letter of base64 has bits to spare."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeError) as error:
        raise Refused("no base64") from error
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise Refused("no base64 as it was written")
    return data


def missing_raw(why: str, key: str) -> bytes:
    """The placeholder of a payload."""
    return msgspec.json.encode({"$envelope": "", "why": why, "key": key})


def missing_text(why: str) -> str:
    """The placeholder of a text."""
    return f"{TEXT_MARK} {why}"


def why_of(raw: bytes | str) -> str | None:
    """Is this payload a placeholder, or an envelope that is still closed, and why? None: it is open."""
    if not raw.startswith(RAW_MARK if isinstance(raw, bytes) else RAW_MARK.decode()):  # type: ignore[arg-type]
        return None
    data = raw.encode() if isinstance(raw, str) else raw
    try:
        form = _form.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        return "refused"
    return form.why or "no_codec"
