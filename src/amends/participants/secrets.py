"""Secrets stay out of messages, and so out of journals, logs and dashboards.

Two rules.  Text from outside (a reply's body, a library's message) is passed on only after each secret
that this client sends has been replaced in it.  And in a body that is passed on, the values of fields
whose names speak of secrets are replaced, whoever made them.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import weakref
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

MASK = "[secret]"
SHORTEST = 4
"""Shorter values are words, not secrets: replacing them would spoil every message."""

_NAMES = re.compile(
    r"auth(?!or(?!i))|cookie|token|secret|passw|passphrase|api[-_]?key|signature|credential|session[-_]?id|private[-_]?key"
    r"|\bpwd\b|\bpin\b|\bcvv?\b|\bcvc\b",
    re.IGNORECASE,
)
_SCHEMES = re.compile(r"(?:basic|bearer|digest|negotiate|token|apikey)\s+(.+)", re.IGNORECASE | re.DOTALL)


def speaks_of_secrets(name: str) -> bool:
    """Does a header or field of that name hold a secret?"""
    return bool(_NAMES.search(name))


class Secrets:
    """The secrets of one client, and how to hide them."""

    def __init__(
        self, headers: Mapping[str, str] | None = None, url: str = "", also: Iterable[str] = ()
    ) -> None:
        self._values: set[str] = set()
        _known.add(self)
        for value in also:
            self.add(value)
        self.add_headers(headers or {})
        parts = urlsplit(url)
        for part in (parts.username, parts.password):
            self.add(unquote(part or ""))

    def add(self, value: str) -> None:
        """One more secret."""
        if len(value) >= SHORTEST:
            self._values.add(value)

    def and_headers(self, headers: Mapping[str, str]) -> Secrets:
        """These, and those among the headers of one request."""
        more = Secrets()
        more._values = set(self._values)
        more.add_headers(headers)
        return more

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """The secrets among request headers: the whole value, and what is inside."""
        for name, value in headers.items():
            if not speaks_of_secrets(name):
                continue
            self.add(value)
            if "cookie" in name.lower():
                for pair in value.split(";"):
                    self.add(pair.partition("=")[2].strip())
            elif found := _SCHEMES.fullmatch(value):
                self.add(found[1])
                if value.lower().startswith("basic"):
                    self._add_basic(found[1])

    def _add_basic(self, encoded: str) -> None:
        try:
            plain = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return  # not what it says it is; the encoded form is hidden already
        self.add(plain)
        self.add(plain.partition(":")[2])

    def hide(self, text: str) -> str:
        """The text without them."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        return text

    def clean(self, value: Any) -> Any:
        """A JSON value without them, and without the values of fields that speak of secrets."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {
                self.hide(key): MASK if _is_secret(key, inner) else self.clean(inner)
                for key, inner in value.items()
            }
        return value


_known: weakref.WeakSet[Secrets] = weakref.WeakSet()
_PARAMETER = re.compile(r"([?&])([^=&#\s]+)=([^&#\s\"']*)")


class Hiding(logging.Filter):
    """For a library that logs each request with its whole address: it names none of the secrets in use."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for secrets in list(_known):
            text = secrets.hide(text)
        record.msg, record.args = _PARAMETER.sub(_masked, text), ()
        return True


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}={MASK}" if speaks_of_secrets(unquote(found[2])) else found[0]


def _is_secret(name: str, value: Any) -> bool:
    return speaks_of_secrets(name) and isinstance(value, (str, int, float)) and not isinstance(value, bool)
