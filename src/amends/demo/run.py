"""The process that watches: it starts orders, cancels a few, kills the worker now and then, and waits.

It never works on an order itself (it is a `Client`), so only the next worker can finish what a
killed one left.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from amends import Client, Handle, Refused, Status

from ..clock import Clock, SystemClock
from .shop import Order, orders, place_order
from .worker import READY, store_url

ENDED = ("completed", "compensated", "partially_compensated", "terminated")
PATIENCE = 30.0  # seconds in which at least one order must end, or a worker start


class WorkerFailed(Exception):
    """The worker process ended by itself."""


class Worker:
    """The worker process: started, killed, started again. Its log goes into the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "worker.log"
        self.number = 0
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> int:
        """Start it and wait until it works; returns its process id."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "amends.demo.worker", str(self.folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        if await self.process.stdout.readline() != READY:
            await self.process.wait()
            raise WorkerFailed(f"the worker did not start; its last words:\n{self.last_words()}")
        self.number += 1
        return self.process.pid

    async def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed, no connection is closed properly."""
        assert self.process is not None
        self._still_there()
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM, as a deploy does: it lets running steps end and gives everything back."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def check(self) -> None:
        """Raise `WorkerFailed` if it ended without being told to."""
        assert self.process is not None
        self._still_there()

    def _still_there(self) -> None:
        if self.process is not None and self.process.returncode is not None:
            code = self.process.returncode
            raise WorkerFailed(f"the worker ended by itself ({code}); its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


class Run:
    """One run of the demo. `main` does it all; afterwards `statuses` says how amends sees the orders."""

    def __init__(self, folder: Path, count: int, seed: int, kills: int, clock: Clock | None = None) -> None:
        self.folder = folder
        self.wanted = orders(count, seed)
        self.kills = kills
        self.worker = Worker(folder)
        self.statuses: dict[str, Status] = {}
        self._chance = random.Random(seed)
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._handles: dict[str, Handle[str]] = {}
        self._too_late = 0
        self._seen = 0
        self._moved = 0.0

    async def main(self) -> None:
        """Start, kill, watch, until every order has ended. Raises `WorkerFailed`, TimeoutError (it hangs)."""
        try:
            async with Client(store_url(self.folder)) as client:
                self._say(f"worker 1 (process {await self._start_worker()}) is ready")
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._customers(client, group))
                    group.create_task(self._watch())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            await self.worker.stop()
        late = f"; {self._too_late} of the cancels came after the end" if self._too_late else ""
        self._say(f"all {len(self.wanted)} orders have ended{late}")

    async def _customers(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Send the orders in, one after the other, whether a worker lives or not."""
        pause = min(0.05, 4 / len(self.wanted))
        for order in self.wanted:
            handle = await client.start(place_order(order), id=order.number)
            self._handles[order.number] = handle
            if order.trouble == "cancelled":
                group.create_task(self._change_mind(order, handle))
            await asyncio.sleep(pause)

    async def _change_mind(self, order: Order, handle: Handle[str]) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.5))
        try:
            await handle.cancel("the customer changed their mind")
        except Refused:  # it has ended meanwhile
            self._too_late += 1

    async def _watch(self) -> None:
        """Show how it goes, and kill a worker each time another share of the orders has ended."""
        killed, next_line = 0, 0.0
        while (ended := len(self._ended())) < len(self.wanted):
            await self._look()
            self.worker.check()
            share = len(self.wanted) * (killed + 1) // (self.kills + 1)
            if killed < self.kills and ended >= share:
                killed += 1
                await self._replace_worker(killed)
            if self._hangs(ended):
                raise TimeoutError
            if self._elapsed() >= next_line:
                self._progress()
                next_line = self._elapsed() + 0.5
            await asyncio.sleep(0.05)
        self._progress()

    async def _look(self) -> None:
        """Ask amends about the orders that had not ended yet."""
        ended = self._ended()
        for number, handle in list(self._handles.items()):
            if number not in ended:
                self.statuses[number] = await handle.status()

    async def _replace_worker(self, killed: int) -> None:
        busy = len(self._handles) - len(self._ended())
        await self.worker.kill()
        self._say(
            f"SIGKILL for worker {self.worker.number}, {busy} orders under way ({killed} of {self.kills})"
        )
        pid = await self._start_worker()
        self._say(f"worker {self.worker.number} (process {pid}) goes on")

    async def _start_worker(self) -> int:
        async with asyncio.timeout(PATIENCE):
            pid = await self.worker.start()
        self._moved = self._elapsed()
        return pid

    def _hangs(self, ended: int) -> bool:
        """Has no order ended for long, with a worker there?"""
        if ended != self._seen:
            self._seen, self._moved = ended, self._elapsed()
        return self._elapsed() - self._moved > PATIENCE

    def _ended(self) -> set[str]:
        return {number for number, status in self.statuses.items() if status.status in ENDED}

    def unfinished(self) -> list[str]:
        """Orders that have not ended."""
        ended = self._ended()
        return [order.number for order in self.wanted if order.number not in ended]

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._began

    def _progress(self) -> None:
        count = Counter(status.status for status in self.statuses.values())
        said = ", ".join(f"{count[name]} {name}" for name in sorted(count))
        self._say(f"started {len(self._handles)}: {said or 'none seen yet'}")

    def _say(self, text: str) -> None:
        print(f"{self._elapsed():6.1f} s  {text}", flush=True)


def compare(statuses: dict[str, Status], wanted: Sequence[Order], delivered: set[str]) -> list[str]:
    """Where amends and the books disagree: completed must be delivered, and compensated must not."""
    found = []
    for order in wanted:
        status = statuses[order.number]
        if status.status not in ("completed", "compensated"):
            found.append(f"{order.number}: amends says {status.status} ({status.cause})")
        elif (status.status == "completed") != (order.number in delivered):
            found.append(f"{order.number}: amends says {status.status}, the books say otherwise")
    return found


def summary(statuses: dict[str, Status], wanted: Sequence[Order]) -> str:
    """How the orders ended, by what they met."""
    count: Counter[tuple[str, str]] = Counter()
    for order in wanted:
        count[order.trouble, statuses[order.number].status] += 1
    troubles = dict.fromkeys(order.trouble for order in sorted(wanted, key=lambda order: order.trouble))
    ends = sorted({end for _, end in count})
    lines = [f"  {'what the order met':24}" + "".join(f"{end:>14}" for end in ends)]
    lines += [f"  {t:24}" + "".join(f"{count[t, end]:>14}" for end in ends) for t in troubles]
    return "\n".join(lines)
