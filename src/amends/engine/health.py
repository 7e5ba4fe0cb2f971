"""Health and readiness over HTTP, for whatever starts workers again or sends them traffic.

Two questions, two paths.  ``/live``: does the process get anything done?  It is answered by the event loop
that does the work, so a loop that is stuck does not answer at all, and that is the answer; a database that is
away is no reason to start a worker again.  ``/ready``: does it serve the store right now?  (Not while it
opens, stands by, has lost its incarnation, or drains.)  200 is yes, 503 is no; the body says the state as
JSON.

It is not a web server: one request a connection, nothing is read but the first line, and nothing is told that
must be kept secret.  Bind it to an address that only the prober can reach all the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Refused

if TYPE_CHECKING:
    from .engine import Engine

_log = logging.getLogger("amends.engine")
PATIENCE = 5.0  # seconds in which a request must be there
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered. `state`: in a word; `more`: for people."""

    live: bool
    ready: bool
    state: str
    more: dict[str, Any] = {}


Look = Callable[[], Report]


def report_of(engine: Engine) -> Report:
    """Of an engine in this process, on its event loop."""
    state, stats = engine.state, engine.stats()
    more: dict[str, Any] = {"process": os.getpid()}
    more |= {name: stats[name] for name in ("resident", "attempts") if name in stats}
    return Report(live=True, ready=state == "working", state=state, more=more)


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` taken apart (``[::1]:8080`` for IPv6; port 0: any free one). Raises `Refused`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Refused(
            f"{text!r} is no address for health checks; expected HOST:PORT",
            hint="127.0.0.1:8080, or 0.0.0.0:8080 where a prober comes from outside",
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


@asynccontextmanager
async def health(address: str, look: Look) -> AsyncIterator[None]:
    """Answer probes while inside, and say where. Raises `Refused` when the address cannot be bound."""
    host, port = parse_address(address)
    try:
        server = await asyncio.start_server(lambda r, w: _answer(r, w, look), host, port, limit=4096)
    except OSError as error:
        raise Refused(
            f"cannot listen on {address} for health checks: {error.strerror or error}",
            hint="another process may have the port; choose another, or 0 for any",
        ) from error
    try:
        bound = server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        _log.info("health checks: http://%s:%d/live and /ready", shown, bound[1])
        yield
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Look) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            line = await reader.readline()
            while (await reader.readline()).strip():
                pass
            writer.write(response(line, look()))
            await writer.drain()
    except (TimeoutError, OSError, ValueError):  # a prober that hung up, or is none
        writer.transport.abort()
    else:
        writer.close()


def response(line: bytes, report: Report) -> bytes:
    """The answer to a request's first line."""
    method, _, rest = line.decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    answers = {"/live": report.live, "/ready": report.ready}
    if path not in answers:
        status = 404
    elif method not in {"GET", "HEAD"}:
        status = 405
    else:
        status = 200 if answers[path] else 503
    content: dict[str, Any] = {"state": report.state, **report.more}
    if status in {404, 405}:
        content = {"expected": "GET /live or GET /ready"}
    body = msgspec.json.encode(content) + b"\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
