"""Virtual time, processes, and which of them runs next. See the package for the theory of operation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from zlib import crc32

from ..errors import AmendsError
from .loops import SimLoop
from .schedule import Fifo, Order

T = TypeVar("T")

_PRIME = 1_000_003
_MASK = (1 << 64) - 1


class Stuck(AmendsError):
    """A simulation cannot go on: nothing is scheduled, or it goes on for ever."""

    code = "stuck_simulation"


class Process:
    """A simulated process: an event loop that can be paused and killed."""

    def __init__(self, simulation: Simulation, name: str, number: int, order: Order) -> None:
        self.simulation = simulation
        self.name = name
        self.number = number
        self.order = order
        self.loop = SimLoop(simulation.time)
        self.alive = True
        self.paused_until = 0.0
        self.on_killed: list[Callable[[], None]] = []

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine in this process."""
        return self.loop.create_task(coroutine)

    def kill(self) -> None:
        """As SIGKILL: no callback of this process runs any more. What it has sent is on its way."""
        if self.alive:
            self.alive = False
            self.loop.stop_for_good()
            self.simulation.note(f"{self.name} killed")
            self.simulation.bury(self)
            for then in self.on_killed:
                then()

    def pause(self, seconds: float) -> None:
        """It does not run for so long; its timers ring afterwards."""
        self.paused_until = max(self.paused_until, self.simulation.now + seconds)
        self.simulation.note(f"{self.name} paused for {seconds:.3f} s")


class Simulation:
    """One run from one seed. `now` is virtual time in seconds since its begin.

    The first process is the outside world: services, network, and whoever drives the run.
    """

    def __init__(self, seed: int | str, *, turns: int = 400_000) -> None:
        self.chance = random.Random(f"simulation {seed}")
        self.now = 0.0
        self.turns = 0
        self.over = False
        self.notes: list[str] | None = None
        self.processes: list[Process] = []
        self.graveyard: list[Process] = []
        self._limit = turns
        self._steps = 0
        self._crc = 0
        self._numbers = 0
        self.outside = self.process("outside", Fifo())

    def time(self) -> float:
        """Virtual seconds since the begin."""
        return self.now

    @property
    def trace(self) -> str:
        """A hash over every callback that ran and everything that was noted."""
        return f"{self._steps:016x}{self._crc:08x}"

    def note(self, text: str) -> None:
        """Write down what happened: into the hash, and (if they are kept) the notes."""
        self._crc = crc32(text.encode(), self._crc)
        if self.notes is not None:
            self.notes.append(f"{self.now:12.4f} {text}")

    def process(self, name: str, order: Order) -> Process:
        """A new process."""
        made = Process(self, name, self._numbers, order)
        self._numbers += 1
        self.processes.append(made)
        return made

    def bury(self, process: Process) -> None:
        """It never runs again."""
        self.processes.remove(process)
        self.graveyard.append(process)

    # ------------------------------------------------------------ running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main`, a coroutine of the outside world, has ended. Raises `Stuck`."""
        task = self.outside.start(main)
        task.add_done_callback(self._end)
        while not self.over:
            self._turn()
        return task.result()

    def _end(self, _task: asyncio.Task[Any]) -> None:
        self.over = True

    def _turn(self) -> None:
        """One callback of one process, or (when none is ready) a jump to the next timer."""
        now = self.now
        able = [p for p in self.processes if p.loop._ready and p.paused_until <= now]
        if not able:
            self._jump()
            return
        process = able[0] if len(able) == 1 else able[int(self.chance.random() * len(able))]
        ready = process.loop._ready
        place = process.order.pick(ready) if len(ready) > 1 else 0
        self._steps = (self._steps * _PRIME + process.number * 97 + place * 7 + len(ready)) & _MASK
        self.turns += 1
        if self.turns > self._limit:
            raise Stuck(f"still running after {self._limit} turns, at {now:.1f} virtual seconds")
        process.loop.turn(place)

    def _jump(self) -> None:
        due = None
        for process in self.processes:
            when = process.loop.next_due()
            if process.paused_until > self.now:
                ready = process.loop._ready or when is not None
                when = process.paused_until if ready else None
            if when is not None and (due is None or when < due):
                due = when
        if due is None:
            raise Stuck(f"nothing can happen any more, at {self.now:.1f} virtual seconds")
        self.now = max(self.now, due)
        for process in self.processes:
            if process.paused_until <= self.now:
                process.loop.ring(self.now)

    def close(self) -> None:
        """Let go of everything."""
        for process in (*self.graveyard, *self.processes):
            process.loop.forget()
        self.processes.clear()
        self.graveyard.clear()

    @property
    def defects(self) -> list[str]:
        """What failed in callbacks of processes, dead or alive."""
        return [text for process in (*self.graveyard, *self.processes) for text in process.loop.defects]
