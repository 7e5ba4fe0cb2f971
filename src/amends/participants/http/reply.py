"""A participant's reply, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload
from urllib.parse import urljoin

import msgspec

from ... import codec
from ...errors import PayloadError
from ..failures import UnknownOutcome, UnreadableReply
from ..secrets import Secrets

T = TypeVar("T")

LONGEST_PASSED_ON = 2000
OPERATION = ("operation-location", "azure-asyncoperation")
_TELLING = ("detail", "title", "message", "error", "error_description", "reason", "code")


class Accepted(msgspec.Struct, frozen=True):
    """A request that the participant accepted and will do later; may be a step's result.

    `address`: where to ask.  `operation`: the address speaks of the operation, by a ``status``; else it
    becomes the result.  `retry_after`: seconds, or None.
    """

    address: str
    operation: bool = False
    retry_after: float | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the participant answered: `status`, `headers` (names in lower case), `content`.

    `retry_after`: seconds, or None.  `cached`: it came out of the client's cache.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    secrets: Secrets
    url: str
    retry_after: float | None = None
    cached: bool = False

    def __repr__(self) -> str:
        return f"<reply to {self.method} {self.path}: {self.status}>"

    @overload
    def read(self, type: type[T], /) -> T: ...
    @overload
    def read(self, type: Any = Any, /) -> Any: ...
    def read(self, type: Any = Any, /) -> Any:
        """The JSON body as a value of `type` (as a step's annotation would be read).

        Raises `UnreadableReply`, which is final: the participant did act.
        """
        try:
            return codec.decoder(type).decode(self.content, "the reply")
        except PayloadError as error:
            said = self.secrets.hide(error.message)
        kind = self.headers.get("content-type", "no content type")
        raise UnreadableReply(
            f"{self.method} {self.path}: {said} ({self.status}, {kind}, {len(self.content):,} bytes)",
            hint="read it as a type that fits, or as it is: reply.read()",
        )

    def accepted(self) -> Accepted:
        """Where to ask for the result of a request that was only accepted (202).

        Raises `UnknownOutcome` when the reply does not say.
        """
        for name in (*OPERATION, "location"):
            if name in self.headers:
                where = urljoin(self.url, self.headers[name])
                return Accepted(where, name in OPERATION, self.retry_after)
        raise UnknownOutcome(
            f"{self.method} {self.path}: {self.status} without an address to ask",
            hint="expected the header Location or Operation-Location; for a callback wait for a Signal",
        )

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def passable(self) -> Any:
        """The JSON body, without secrets, if it is short enough to be journaled; else None."""
        if "json" not in self.headers.get("content-type", "") or len(self.content) > LONGEST_PASSED_ON:
            return None
        try:
            return self.secrets.clean(msgspec.json.decode(self.content))
        except msgspec.DecodeError:
            return None

    def reason(self) -> str:
        """What the body says about why, in a few words; empty when it says nothing."""
        body = self.passable()
        if not isinstance(body, dict):
            return ""
        found = next((body[name] for name in _TELLING if isinstance(body.get(name), str)), "")
        return found[:200]
