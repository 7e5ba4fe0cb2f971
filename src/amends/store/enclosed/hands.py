"""The two hands through which payloads pass: one encloses, one opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...encryption import envelope
from ...encryption.codec import Codec, DataKey
from ...encryption.envelope import Refused, missing_raw, missing_text
from ...errors import Unopened


@dataclass(frozen=True)
class Gone:
    """A data key that cannot be had, and why (one of `envelope.WHY`)."""

    id: str
    why: str


Found = DataKey | Gone | None
"""What there is to enclose with; None: nothing, the codec only compresses."""


def error_of(why: str, about: str) -> Unopened:
    """Why it cannot be opened, and what to do."""
    said, do = envelope.WHY.get(why, envelope.WHY["refused"])
    return Unopened(f"{about}: {said}", hint=do)


class Closing:
    """Encloses what belongs to one execution. What cannot be enclosed any more is left out, never stored
    open."""

    def __init__(self, codec: Codec, uid: str, key: Found) -> None:
        self._codec = codec
        self._uid = uid
        self._key = key

    def raw(self, place: str, data: bytes) -> bytes:
        """The envelope of a payload."""
        if isinstance(self._key, Gone):
            return data if envelope.why_of(data) else missing_raw(self._key.why, self._key.id)
        enclosed = self._codec.enclose(data, self._uid, place, self._key)
        return data if enclosed is None else envelope.as_raw(enclosed)

    def text(self, place: str, text: str) -> str:
        """The envelope of a text."""
        if isinstance(self._key, Gone):
            return text if text.startswith(envelope.TEXT_MARK) else missing_text(self._key.why)
        enclosed = self._codec.enclose(text.encode("utf-8", "surrogatepass"), self._uid, place, self._key)
        return text if enclosed is None else envelope.as_text(enclosed)


class Opening:
    """Opens what belongs to one execution. `missing`: keys that it was not given and must be; `trouble`: why
    something did not open (its place then has a placeholder), and with which key."""

    def __init__(self, codec: Codec, uid: str, keys: Mapping[str, Found], missing: set[str]) -> None:
        self._codec = codec
        self.uid = uid
        self._keys = keys
        self._missing = missing
        self.trouble: Gone | None = None

    def raw(self, place: str, data: bytes) -> bytes:
        """What is in the envelope of a payload."""
        if not data.startswith(envelope.RAW_MARK):
            return data
        try:
            enclosed = envelope.of_raw(data)
            found = None if not enclosed else self._open(enclosed, place)
        except Refused:
            found = Gone("", "refused")
        if found is None:  # it is a placeholder already
            self.trouble = Gone("", envelope.why_of(data) or "refused")
            return data
        if isinstance(found, Gone):
            self.trouble = found
            return missing_raw(found.why, found.id)
        return found

    def text(self, place: str, text: str) -> str:
        """What is in the envelope of a text."""
        if not text.startswith(envelope.TEXT_MARK):
            return text
        try:
            enclosed = envelope.of_text(text)
            found = Gone("", "refused") if not enclosed else self._open(enclosed, place)
        except Refused:
            if text.removeprefix(envelope.TEXT_MARK).strip() in envelope.WHY:
                return text
            found = Gone("", "refused")
        if isinstance(found, Gone):
            self.trouble = found
            return missing_text(found.why)
        return found.decode("utf-8", "surrogatepass")

    def _open(self, enclosed: bytes, place: str) -> bytes | Gone:
        sealed = envelope.taken_apart(enclosed)
        key = self._keys.get(sealed.key) if sealed.key else None
        if sealed.key and key is None:
            self._missing.add(sealed.key)
            return Gone(sealed.key, "no_key")
        return key if isinstance(key, Gone) else self._codec.open(sealed, self.uid, place, key)
