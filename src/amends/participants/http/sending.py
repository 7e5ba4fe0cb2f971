"""One request over the wire, and whether it left.

**Theory of operation.**  A failure has one of two meanings: the request was *certainly not sent*, or nobody
knows.  The line between them is the moment at which the first byte of the request is handed to the
connection.  The HTTP library tells of that moment (its `trace` hook), so that every failure before it,
whatever its kind, is known for what it is: no free connection in the pool, a name that does not resolve, a
refused port, a refused certificate, time that ran out during any of these.  From that moment on every
failure is unknown, also one while writing: a participant may act on a request of which it got the headers.

A transport that does not trace (a test's ASGI transport) is believed only where the kind of its
failure leaves no doubt.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from ...errors import AmendsError, NotSent
from ..failures import UnknownOutcome
from ..secrets import Secrets
from .library import httpx2

_log = logging.getLogger("amends.participants")

BEFORE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
SETUP_SHARE = 0.9
"""The part of its time that a request waits for a free connection, or for one to come about: the library then
says so itself, and has closed what it opened (cut off amid a TLS handshake it would leave the socket behind).
"""


class Wire:
    """Watches a request on its way."""

    def __init__(self) -> None:
        self.traced = False
        self.sent = False

    async def watch(self, name: str, info: object) -> None:
        """The library's `trace` hook."""
        self.traced = True
        if name.endswith("send_request_headers.started"):
            self.sent = True

    def certainly_not_sent(self, error: BaseException) -> bool:
        """Was the request never handed to a connection?"""
        return isinstance(error, BEFORE) or (self.traced and not self.sent)


class TooLong(Exception):
    """The reply is longer than the client reads."""


async def send(
    session: httpx2.AsyncClient, request: httpx2.Request, *, seconds: float, longest: int, secrets: Secrets
) -> tuple[httpx2.Response, bytes]:
    """Send it and read the whole reply. Raises `NotSent` or `UnknownOutcome`, never with a secret in it."""
    wire = Wire()
    request.extensions = {**request.extensions, "trace": wire.watch}
    try:
        async with asyncio.timeout(seconds):
            response = await session.send(request, stream=True)
            try:
                return response, await _read(response, longest)
            finally:
                await response.aclose()
    except (httpx2.HTTPError, httpx2.StreamError, TooLong, OSError) as error:
        failure = _failure(request, wire, error, seconds, longest, secrets)
    # Raised out here, so that no context with the library's own text (headers, bodies) goes along.
    raise failure


async def _read(response: httpx2.Response, longest: int) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > longest:
            raise TooLong
    return bytes(content)


def _failure(
    request: httpx2.Request, wire: Wire, error: Exception, seconds: float, longest: int, secrets: Secrets
) -> AmendsError:
    what = f"{request.method} {place(request, secrets)}"
    if wire.certainly_not_sent(error):
        said = secrets.hide(str(error)) if isinstance(error, BEFORE) else ""
        why = _WORDS.get(type(error), "no connection in time" if isinstance(error, TimeoutError) else "")
        why = ": ".join(filter(None, (why or f"no connection ({type(error).__name__})", said)))
        return NotSent(f"{what}: not sent, {why}")
    if isinstance(error, TimeoutError):
        return UnknownOutcome(f"{what}: no reply within {seconds:.3g} s")
    if isinstance(error, TooLong):
        return UnknownOutcome(
            f"{what}: the reply is longer than {longest:,} bytes", hint="HttpClient(longest_reply=…)"
        )
    return UnknownOutcome(f"{what}: the connection broke after the request was sent ({type(error).__name__})")


_WORDS: dict[type[BaseException], str] = {
    httpx2.ConnectError: "no connection",
    httpx2.ConnectTimeout: "no connection in time",
    httpx2.PoolTimeout: "no free connection in the pool",
    httpx2.UnsupportedProtocol: "not an address for HTTP",
}


def place(request: httpx2.Request, secrets: Secrets) -> str:
    """Where a request goes, for messages: without its query, which may hold anything."""
    url: Any = request.url
    port = f":{url.port}" if url.port else ""
    return secrets.hide(f"{url.host}{port}{url.path}")


def phrase(status: int) -> str:
    """A status in words."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
