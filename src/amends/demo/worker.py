"""The process that gets killed: ``python -m amends.demo.worker FOLDER`` serves the orders of that folder."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from amends import Engine, Limits, Settings

from .books import Books
from .shop import place_order

READY = b"ready\n"


def store_url(folder: Path) -> str:
    """The store of a run: a SQLite file in its folder."""
    return f"sqlite:///{folder / 'orders.db'}"


async def serve(folder: Path) -> None:
    """Work until SIGTERM."""
    # grace: no participant here goes on for longer once its caller is dead.  deaths: what is there each
    # time a worker dies is set aside as the likely cause of it, and here nothing is.
    settings = Settings(steps=16, grace=0.5, limits=Limits(deaths=1000))
    url = store_url(folder)
    async with Engine(url, sagas=[place_order], resources=[Books(folder)], settings=settings) as engine:
        os.write(sys.stdout.fileno(), READY)
        await engine.serve()


def _follow_parent() -> None:
    """End when the process that started us is gone: then nobody holds the other end of our input."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    threading.Thread(target=_follow_parent, daemon=True).start()
    asyncio.run(serve(Path(sys.argv[1])))
