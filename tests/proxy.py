"""A TCP proxy in front of a PostgreSQL that writes down what passes, and can stall or cut the line."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Trace:
    """The messages of one connection, in order: (">" or "<", the message's kind, its body)."""

    messages: list[tuple[str, str, bytes]] = field(default_factory=list)
    started: bool = False

    def since(self, mark: int) -> str:
        """Kinds in short, such as ``>BDES<2TDCZ``."""
        out, last = "", ""
        for side, kind, _ in self.messages[mark:]:
            out += kind if side == last else side + kind
            last = side
        return out


class Proxy:
    """Passes connections on to the server that `url` names (a socket's folder, or host and port)."""

    def __init__(self, url: str, port: int = 0) -> None:
        self._at = port
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._folder = query.get("host", [""])[0]
        self._host = parts.hostname or "localhost"
        self._port = parts.port or 5432
        self._database = parts.path
        self._user = parts.username or "postgres"
        self.traces: list[Trace] = []
        self.answers = asyncio.Event()  # unset: the server's answers are held back
        self.answers.set()
        self.before_answer: Callable[[Trace, bytes], bool] | None = None  # True: cut the line instead
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self._at)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return self.url_at(self._server.sockets[0].getsockname()[1])

    def url_at(self, port: int) -> str:
        """What `url` is once it listens there."""
        return (
            f"postgresql://{self._user}@127.0.0.1:{port}{self._database}?sslmode=disable&gssencmode=disable"
        )

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if self._folder:
            there = await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.{self._port}")
        else:
            there = await asyncio.open_connection(self._host, self._port)
        trace = Trace()
        self.traces.append(trace)
        self._writers |= {writer, there[1]}
        try:
            await asyncio.gather(
                self._pump(trace, ">", reader, there[1]), self._pump(trace, "<", there[0], writer)
            )
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers -= {writer, there[1]}
            for each in (writer, there[1]):
                with suppress(OSError):
                    each.close()
            self._tasks.discard(task)

    async def _pump(
        self, trace: Trace, side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                head = b""
                if side == "<" or trace.started:
                    head = await reader.readexactly(1)
                size = await reader.readexactly(4)
                body = await reader.readexactly(struct.unpack("!i", size)[0] - 4)
                trace.started = True
                trace.messages.append((side, head.decode() or "start", body))
                if side == "<":
                    await self.answers.wait()
                    if self.before_answer is not None and self.before_answer(trace, head):
                        self.cut()
                        return
                writer.write(head + size + body)
                await writer.drain()
        finally:
            with suppress(OSError):
                writer.close()
