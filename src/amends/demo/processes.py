"""The demo's child processes: started, killed, started again, and never left behind.

A child leads a session of its own, so that Ctrl-C reaches only the demo, which then ends its children
in order.  Should the demo itself be killed, each child sees the end of its standard input and goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

READY = b"ready\n"
TIMEOUT = 1.0  # seconds in which a service must answer
PATIENCE = 30.0  # seconds in which a process must be ready, or gone


class Setup(msgspec.Struct, frozen=True):
    """What the children need to know, handed over as JSON on their command line.

    doomed: may an order fail for good (see `services.faults`)?  timeout: of one request, in seconds.
    """

    folder: str
    seed: int
    doomed: bool
    ports: dict[str, int]
    timeout: float = TIMEOUT

    def url(self, service: str) -> str:
        """Where a service listens."""
        return f"http://127.0.0.1:{self.ports[service]}"


class ProcessFailed(Exception):
    """A child process ended by itself, or did not start."""


class Process:
    """A child process: ``python -m MODULE ARGUMENTS``. Its standard error goes to a log in `folder`."""

    def __init__(self, name: str, folder: Path, module: str, *arguments: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts = 0
        self._command = (sys.executable, "-m", module, *arguments)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it says that it is ready. Raises `ProcessFailed`."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                said = await self._process.stdout.readline()
        except TimeoutError:
            raise ProcessFailed(
                f"{self.name} was not ready in {PATIENCE:.0f} s{self._last_words()}"
            ) from None
        if said != READY:
            await self._process.wait()
            raise ProcessFailed(f"{self.name} did not start{self._last_words()}")
        self.starts += 1

    async def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed, no connection is closed properly."""
        self.check()
        process, self._process = self._process, None  # so that nobody takes its end for a failure
        assert process is not None
        process.kill()
        await process.wait()

    async def stop(self) -> None:
        """SIGTERM, as a deploy does; SIGKILL if that is not heard."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def check(self) -> None:
        """Raise `ProcessFailed` if it ended without being told to."""
        if self._process is not None and self._process.returncode is not None:
            code = self._process.returncode
            raise ProcessFailed(f"{self.name} ended by itself (exit code {code}){self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        return "; the end of its log:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


def hold_port() -> socket.socket:
    """A free port of this machine, kept from others while a service that listens on it is restarted.

    It is bound and never listens: connections are refused while the service is away.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


# ---------------------------------------------------------------- in the child


def ready() -> None:
    """Tell the parent that work can begin."""
    os.write(sys.stdout.fileno(), READY)


def follow_parent() -> None:
    """End when the parent is gone: then nobody holds the other end of our standard input."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
