"""Starting, killing and watching worker processes. Everything waits for events, with one far deadline."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amends import Client, Engine, Handle, Status
from amends.engine.crashes import VARIABLE

from .book import Book
from .worker import store_url

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds without which a test counts as hung
FINAL = frozenset({"completed", "compensated", "partially_compensated", "terminated"})


class Process:
    """One worker process. kennel: who forks it; otherwise it is started."""

    def __init__(
        self,
        folder: Path,
        number: int,
        settings: dict[str, Any],
        crash_at: str = "",
        kennel: Any = None,
        **environment: str,
    ) -> None:
        self.out, self.log = folder / f"worker-{number}.out", folder / f"worker-{number}.log"
        self.crash_at = crash_at
        self.popen: Any
        with self.out.open("wb") as out, self.log.open("wb") as log:
            if kennel is not None:
                self.popen = kennel.start(self.out, self.log, settings)
                return
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.worker", str(folder), json.dumps(settings)],
                cwd=ROOT,
                env={**os.environ, VARIABLE: crash_at, **environment},
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=log,
            )

    def said(self, word: str) -> bool:
        """Has it printed that line? Fails when it has ended meanwhile."""
        if word in self.out.read_text().split():
            return True
        assert self.popen.poll() is None, f"the worker ended by itself:\n{self.log.read_text()[-3000:]}"
        return False

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        code: int = self.popen.wait(PATIENCE)
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        return code


class Shop:
    """One test's folder: the book, the store, and the workers started so far."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        if url:
            (folder / "url").write_text(url)
        self.book = Book(folder)
        self.url = store_url(folder)
        self.workers: list[Process] = []
        self.kennel: Any = None
        self.environment: dict[str, str] = {}
        self.kills = 0

    def start_worker(self, *, wait: str = "working", crash_at: str = "", **settings: Any) -> Process:
        """Start a worker and wait until it says so ("open": it may stand by; "": do not wait).

        `crash_at`: where it kills itself (see amends.engine.crashes), `store`: options of the store's URL.
        """
        number = len(self.workers) + 1
        process = Process(self.folder, number, settings, crash_at, self.kennel, **self.environment)
        self.workers.append(process)
        if wait:
            until(lambda: process.said(wait), f"the worker to be {wait}")
        return process

    def kill(self, process: Process) -> None:
        """SIGKILL; the mark stands in the book once the process is gone."""
        assert process.popen.poll() is None, f"it ended by itself:\n{process.log.read_text()[-3000:]}"
        process.popen.kill()
        process.end()
        self.kills += 1
        self.book.mark("kill", process.popen.pid)

    async def crashed(self, process: Process) -> None:
        """Wait until it has killed itself where it was told to; the mark stands in the book then."""
        await until_so(lambda: process.popen.poll() is not None, f"the worker to be at {process.crash_at}")
        name = process.crash_at.partition(":")[0]
        said = process.log.read_text()
        assert process.end() == -signal.SIGKILL, said[-3000:]
        assert f"amends: crash point {name}\n" in said
        self.kills += 1
        self.book.mark("kill", process.popen.pid)

    def stop(self, process: Process) -> int:
        """SIGTERM, and its exit code."""
        process.popen.terminate()
        return process.end()

    def close(self) -> None:
        for process in self.workers:
            process.popen.kill()  # does nothing to one that has ended
            process.end()
        self.book.close()

    def complaints(self, *expected: str) -> list[str]:
        """What workers logged as errors or broke off with, other than what is expected."""
        said = [line for process in self.workers for line in process.log.read_text().splitlines()]
        bad = [line for line in said if any(word in line for word in (" ERROR ", "Traceback", " CRITICAL "))]
        return [line for line in bad if not any(text in line for text in expected)]

    def all_statuses(self) -> dict[str, Status]:
        """Every execution that the store knows, children too (when no worker is left)."""

        async def look() -> dict[str, Status]:
            async with Engine(self.url) as engine:
                return {status.id: status for status in await engine.list(limit=10_000)}

        return asyncio.run(look())


@contextmanager
def shop_in(folder: Path, url: str = "") -> Iterator[Shop]:
    shop = Shop(folder, url)
    try:
        yield shop
    finally:
        shop.close()


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


async def until_so(condition: Callable[[], Any], what: str) -> None:
    """The same in a coroutine."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.005)


async def reaches(handle: Handle[Any], *statuses: str) -> Status:
    """Wait until its status is one of these."""
    deadline = time.monotonic() + PATIENCE
    while (status := await handle.status()).status not in statuses:
        assert status.status not in {*FINAL, "attention"}, f"{handle.id} is not {statuses}: {status}"
        assert time.monotonic() < deadline, f"waited in vain for {handle.id} to be {statuses}: {status}"
        await asyncio.sleep(0.05)
    return status


async def all_end(handles: Sequence[Handle[Any]]) -> dict[str, Status]:
    """Wait until all have ended; their statuses, as a client sees them."""
    found = {handle.id: await reaches(handle, *FINAL) for handle in handles}
    assert len(found) == len(handles)
    return found


async def journaled(handles: Sequence[Handle[Any]]) -> dict[str, str]:
    """Every action whose end stands in the journal: its key (with direction) and how it ended."""
    ends = {"completed": "do", "failed": "do", "undone": "undo"}
    found: dict[str, str] = {}
    for handle in handles:
        uid, run = (await handle.status()).uid, -1
        for row in await handle.history():
            for event in row["events"]:
                if event["type"] == "started":
                    run = event["run"]
                elif event["type"] in ends:
                    key = f"{uid}/{run}/{event['id']}/{ends[event['type']]}"
                    found[key] = event.get("outcome", "done")
    return found


async def start_all(client: Client, wanted: dict[str, Any]) -> list[Handle[Any]]:
    """Start sagas by their ids."""
    handles: list[Handle[Any]] = []
    items = list(wanted.items())
    for begin in range(0, len(items), 50):
        part = items[begin : begin + 50]
        handles += await asyncio.gather(*(client.start(call, id=id) for id, call in part))
    return handles
