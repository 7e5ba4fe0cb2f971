"""A participant on a real socket that fails exactly where it is told to.

`Participant` speaks HTTP/1.1 by hand, so that a connection can be refused, reset before or after the effect, cut
in the middle of a reply, or answered with garbage.  It keeps books: what was asked, and what was done.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[["Line", Request], Awaitable[None]]


class Line:
    """The server's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.open = True

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """RST, not FIN: the peer sees a broken connection."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def close(self) -> None:
        self.open = False
        self.writer.close()


def reply(
    status: int = 200, body: Any = None, headers: dict[str, str] | None = None, *, raw: bytes | None = None
) -> bytes:
    """A reply's bytes."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}"]
    if raw is None and body is not None:
        lines.append("content-type: application/json")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def answers(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Script:
    async def play(line: Line, request: Request) -> None:
        await line.write(reply(status, body, headers))

    return play


async def reset(line: Line, request: Request) -> None:
    line.reset()


async def hangs_up(line: Line, request: Request) -> None:
    line.close()


async def half(line: Line, request: Request) -> None:
    await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    line.close()


async def garbage(line: Line, request: Request) -> None:
    await line.write(b"\x00\x01 220 smtp.example ESMTP\r\n")
    line.close()


async def silent(line: Line, request: Request) -> None:
    """Answers never: until the peer has gone."""
    await line.reader.read()


@dataclass
class Participant:
    """Plays the script, one item per request; the last one repeats."""

    script: list[Script] = field(default_factory=lambda: [answers(200, {})])
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _lines: set[Line] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def play(self, *script: Script) -> None:
        self.script = list(script)
        self.requests.clear()

    async def start(self, **options: Any) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, **options)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for _ in range(4):  # a connection that has come just now is served some turns of the loop later
            await asyncio.sleep(0)
        for line in list(self._lines):
            line.close()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self._lines.add(line)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while line.open and (request := await _read(reader)) is not None:
                self.requests.append(request)
                item = self.script[min(len(self.requests), len(self.script)) - 1]
                await item(line, request)
        except (ConnectionError, asyncio.IncompleteReadError):
            line.open = False
        finally:
            self._lines.discard(line)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def participant(*script: Script, **options: Any) -> AsyncIterator[Participant]:
    """A participant that runs for the length of the block."""
    made = Participant(list(script) or [answers(200, {})])
    await made.start(**options)
    try:
        yield made
    finally:
        if made._server is not None:
            await made.stop()


def refused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def keys(requests: Iterable[Request]) -> list[str]:
    return [request.headers.get("idempotency-key", "") for request in requests]
