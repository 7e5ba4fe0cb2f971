"""One run: services, a worker, customers, and the one who kills; until every order has ended.

The run itself works on no order (it is a `Client`), so only the next worker can finish what a killed
one left.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import msgspec

from amends import Client, Status

from .board import ENDED, Board
from .customers import Customers
from .processes import Process, Setup, hold_port
from .screen import Screen
from .services import SERVICES
from .services.books import store_url
from .services.injector import RELEASE

PATIENCE = 60.0  # seconds in which at least one order must end
LOOK = 0.1  # seconds between looks at what has become of the orders
AT_ONCE = 60  # orders looked at each time: they end roughly in the order of their coming


class Hung(Exception):
    """No order has ended for long."""


class Run:
    """See the module's head. Afterwards `statuses` says how amends sees the orders, `board` what happened."""

    def __init__(
        self, folder: Path, customers: Customers, board: Board, screen: Screen, *, seed: int, doomed: bool
    ) -> None:
        self.statuses: dict[str, Status] = {}
        self._folder = folder
        self._customers = customers
        self.board = board
        self._screen = screen
        self._held: list[socket.socket] = [hold_port() for _ in SERVICES]
        ports = {name: held.getsockname()[1] for name, held in zip(SERVICES, self._held, strict=True)}
        self._setup = Setup(str(folder.absolute()), seed, doomed, ports)
        handed = msgspec.json.encode(self._setup).decode()
        self._services = {
            name: Process(name, folder, "amends.demo.services", name, handed) for name in SERVICES
        }
        self._worker = Process("worker", folder, "amends.demo.worker", handed)
        self._chance = random.Random(seed)

    async def main(self) -> None:
        """Do it all. Raises `ProcessFailed`, `Hung`."""
        try:
            await self._start_all()
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(Client(store_url(self._folder)))
                await self._until_all_ended(client)
            self.board.seconds = self.board.elapsed
            await self._come_to_rest()
        except ExceptionGroup as group:
            raise _first(group) from None
        finally:
            await asyncio.gather(*(process.stop() for process in (self._worker, *self._services.values())))
            for held in self._held:
                held.close()
        self.board.read_notes(self._folder)
        self._screen.refresh(self.board)

    async def _start_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for process in (*self._services.values(), self._worker):
                group.create_task(self._start(process))
        for name in SERVICES:
            port = self._setup.ports[name]
            self._screen.event(f"{name} listens on port {port} (process {self._services[name].pid})")
        self._screen.event(f"worker 1 is at work (process {self._worker.pid})")

    async def _start(self, process: Process) -> None:
        await process.start()
        self.board.pids[process.name] = process.pid

    async def _until_all_ended(self, client: Client) -> None:
        async with asyncio.TaskGroup() as group:
            ordering = group.create_task(self._customers.order(client))
            showing = group.create_task(self._show())
            trouble = group.create_task(self._make_trouble())
            await self._watch()
            await ordering
            await trouble  # a service that was killed is there again when the last requests are delivered
            showing.cancel()

    async def _watch(self) -> None:
        """Look what has become of the orders, until all have ended."""
        loop = asyncio.get_running_loop()
        ended, moved = 0, loop.time()
        while ended < self.board.total:
            await self._look()
            for process in (self._worker, *self._services.values()):
                process.check()
            if self.board.ended != ended:
                ended, moved = self.board.ended, loop.time()
            if loop.time() - moved > PATIENCE:
                raise Hung(
                    f"no order has ended for {PATIENCE:.0f} s; not ended: {', '.join(self._open()[:5])}"
                )
            await asyncio.sleep(LOOK)

    def _open(self) -> list[str]:
        found = self.statuses
        return [n for n in self._customers.handles if n not in found or found[n].status not in ENDED]

    async def _look(self) -> None:
        """Ask amends about the oldest orders that had not ended yet, and some of the others."""
        numbers = self._open()
        some = self._chance.sample(numbers[AT_ONCE:], min(20, len(numbers[AT_ONCE:])))
        for number in (*numbers[:AT_ONCE], *some):
            self.statuses[number] = await self._customers.handles[number].status()
        self.board.started = len(self._customers.handles)
        self.board.statuses = Counter(status.status for status in self.statuses.values())

    async def _show(self) -> None:
        while True:
            self.board.read_notes(self._folder)
            self._screen.refresh(self.board)
            await asyncio.sleep(0.25)

    # ------------------------------------------------------------ trouble

    async def _make_trouble(self) -> None:
        """Kill the worker and restart the services at moments of the run that the seed decides."""
        services = self._chance.sample(list(self._services.values()), len(self._services))
        victims = [*self._spread([self._worker] * self.board.kills), *self._spread(services)]
        for moment, process in sorted(victims, key=lambda victim: victim[0]):
            while self.board.progress < moment:  # noqa: ASYNC110 - a figure, with no event to wait for
                await asyncio.sleep(LOOK / 2)
            await self._kill(process)

    def _spread(self, victims: Sequence[Process]) -> list[tuple[float, Process]]:
        """Each with a moment, as a share of the run: by chance, but not all at once."""
        share = 0.9 / max(1, len(victims))
        return [((n + self._chance.random()) * share, victim) for n, victim in enumerate(victims)]

    async def _kill(self, process: Process) -> None:
        board = self.board
        open_orders = len(self._open())
        await process.kill()
        if process is self._worker:
            board.killed += 1
            which = f"worker {process.starts}"
            self._screen.event(
                f"SIGKILL for {which}, {open_orders} orders under way ({board.killed} of {board.kills})",
                loud=True,
            )
        else:
            self._screen.event(f"SIGKILL for the {process.name} service", loud=True)
        await self._start(process)
        if process is self._worker:
            self._screen.event(f"worker {process.starts} (process {process.pid}) goes on from the journal")
        else:
            board.restarted += 1
            self._screen.event(f"{process.name} is back (process {process.pid})")

    async def _come_to_rest(self) -> None:
        """Nothing may be on its way when the books are read: let go of what the services still hold."""
        self._screen.event("every order has ended; what is late is delivered, all stop")
        async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            for name in SERVICES:
                await client.post(self._setup.url(name) + RELEASE)


def _first(error: Exception) -> Exception:
    """What went wrong first, out of however many task groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
