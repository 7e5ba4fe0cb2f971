"""The process of one service: ``python -m amends.demo.services NAME SETUP``, where SETUP is JSON."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvicorn

from ..processes import Setup, follow_parent, ready
from .app import service
from .books import Books, book_path
from .faults import Plan
from .injector import Injector


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        ready()


def serve(name: str, setup: Setup) -> None:
    """Answer requests until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again, after it has stopped for it
    books = Books(book_path(Path(setup.folder), name))
    plan = Plan(setup.seed, doomed=setup.doomed)
    app = Injector(service(name, books, plan.refusal), books, plan, setup.timeout)
    config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    with _listening(setup.ports[name]) as bound:
        asyncio.run(_Server(config).serve(sockets=[bound]))
    books.close()


def _listening(port: int) -> socket.socket:
    """A socket on the port that the demo holds for this service, see `processes.hold_port`."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


if __name__ == "__main__":
    follow_parent()
    serve(sys.argv[1], msgspec.json.decode(sys.argv[2], type=Setup))
