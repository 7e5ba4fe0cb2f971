"""The process that gets killed: ``python -m tests.acceptance.worker FOLDER SETTINGS`` (settings as JSON)."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from amends import Engine, Limits, Settings

from .book import Book
from .sabotage import SABOTAGES
from .shop import SAGAS


def store_url(folder: Path) -> str:
    """What the folder's file `url` says; without one, a file in the folder."""
    named = folder / "url"
    return named.read_text() if named.exists() else f"sqlite:///{folder / 'sagas.db'}"


def settings(given: dict[str, Any]) -> Settings:
    # deaths: what is there each time a worker dies is set aside as its likely cause; here nothing is.
    # linger: those that wait leave memory soon.  grace: nothing here goes on once its caller is dead.
    chosen = {"grace": 0.2, "linger": 0.05, **given}
    return Settings(limits=Limits(deaths=1000), **chosen)


async def serve(folder: Path, given: dict[str, Any]) -> None:
    """Work until SIGTERM. Says "open" when it is ready and "working" once it serves the store.

    `store` among what is given are options of the store's URL, `url` another one; `everything`: it knows the newest
    saga, too, `release`: it has the sagas of that release; `sabotage`: a safeguard to switch off.
    """
    url = given.pop("url", "") or store_url(folder)
    if options := given.pop("store", ""):
        url += f"{'&' if '?' in url else '?'}{options}"
    if sabotage := given.pop("sabotage", ""):
        SABOTAGES[sabotage]()
    if given.pop("everything", False):
        importlib.import_module("tests.acceptance.newest")
    sagas: list[Any] = SAGAS
    if release := given.pop("release", 0):
        sagas = importlib.import_module(f"tests.acceptance.releases.release_{release}").SAGAS
    engine = Engine(url, sagas=sagas, resources=[Book(folder)], settings=settings(given))
    async with engine:
        telling = asyncio.create_task(tell(engine))
        await engine.serve()
        telling.cancel()


async def tell(engine: Engine) -> None:
    os.write(1, b"open\n")  # by now `serve` listens for SIGTERM
    while not engine.working:
        await asyncio.sleep(0.005)
    os.write(1, b"working\n")


def follow_parent() -> None:
    """End when the process that started us is gone: then nobody holds the other end of our input."""
    while os.read(0, 1):
        pass
    os._exit(3)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(process)d %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=follow_parent, daemon=True).start()
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))
