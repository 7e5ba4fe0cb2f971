"""``amends worker --processes N``: several worker processes under one parent.

**Theory of operation.**  The parent imports no module of the user's and touches no store.  Each child is an
ordinary ``amends worker`` in a session of its own, so that the keyboard's Ctrl-C reaches the parent alone.
A pipe leads from each child to the parent: a line a second with the child's report, from the event loop that
does the work.  The parent knows by it who is ready and who is stuck; the child knows by a broken pipe that
its parent is gone, and drains.

    starting ── first report "working" ─► ready ── ends ─► waiting ── back-off ─► starting
       └── ends with USAGE or REFUSED: no start can help; all drain, and that is the parent's exit code

The back-off doubles from `FIRST` to `LONGEST` seconds and begins anew after a child has lived `GOOD` seconds.
SIGTERM or SIGINT is passed on once as SIGTERM, and the parent waits for all drains; a second one is passed on
as well, which ends them at once.  The parent ends with 0, or with what the first child ended with that did
not drain.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence

import msgspec

from ..clock import Clock, SystemClock
from ..engine.health import Look, Report
from .exits import Exit

_log = logging.getLogger("amends.cli")
FIRST, LONGEST, GOOD = 0.5, 30.0, 60.0
SILENT = 15.0
"""Seconds without a report after which a child counts as stuck."""
SLOW_START = 120.0
"""The same before its first report: it imports the user's module, opens resources, migrates the schema."""
BEAT = 1.0
PIPE = "AMENDS_SUPERVISOR"
"""The environment variable that names the child's end of the pipe."""
_HOPELESS = (Exit.USAGE, Exit.REFUSED)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Child:
    """One place in the row of processes; who takes it changes with every restart."""

    def __init__(self, number: int, command: Sequence[str], clock: Clock) -> None:
        self.number = number
        self._clock = clock
        self.process: asyncio.subprocess.Process | None = None
        self.report: Report | None = None
        self.restarts = 0
        self._command = command
        self._heard = 0.0

    @property
    def silent(self) -> bool:
        """Does it run, and has nothing been heard of it for long?"""
        patience = SLOW_START if self.report is None else SILENT
        return self.process is not None and self._clock.monotonic() - self._heard > patience

    async def live(self, stopping: asyncio.Event) -> int:
        """Start it, listen to it, and wait for its end. Its exit code (negative: the signal that ended it).

        If all were told to stop while it was started, it is told, too.
        """
        ours, theirs = os.pipe()
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, PIPE: str(theirs)},
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._heard = self._clock.monotonic()
        if stopping.is_set():
            self.send(signal.SIGTERM)
        listening = asyncio.create_task(self._listen(ours))
        try:
            return await self.process.wait()
        finally:
            self.process = self.report = None
            listening.cancel()

    async def _listen(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        with os.fdopen(pipe, "rb", 0) as file:
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
            try:
                while line := await reader.readline():
                    self.report = msgspec.json.decode(line, type=Report)
                    self._heard = self._clock.monotonic()
            finally:
                transport.close()

    def send(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class Supervisor:
    """See the module's theory of operation. command: that of a single worker."""

    def __init__(self, command: Sequence[str], processes: int, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.children = [Child(number, command, self._clock) for number in range(1, processes + 1)]
        self.exit = 0
        self._stopping = asyncio.Event()

    def report(self) -> Report:
        """Of all: ready when one serves, live unless one is stuck."""
        said = [child.report for child in self.children]
        ready = sum(each is not None and each.ready for each in said)
        state = "draining" if self._stopping.is_set() else f"{ready} of {len(said)} ready"
        each = [
            {
                "process": child.process.pid if child.process else None,
                "state": "stuck" if child.silent else child.report.state if child.report else "starting",
                "restarts": child.restarts,
            }
            for child in self.children
        ]
        live = not any(child.silent for child in self.children)
        return Report(
            live=live, ready=ready > 0 and not self._stopping.is_set(), state=state, more={"workers": each}
        )

    async def run(self) -> int:
        """Keep all alive until told to stop; then wait for their drains. The exit code."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signal, number)
        await asyncio.gather(*(self._keep(child) for child in self.children))
        return self.exit

    def _signal(self, number: int) -> None:
        if not self._stopping.is_set():
            running = sum(child.process is not None for child in self.children)
            _log.info("%s: %d worker(s) drain; again to stop at once", signal.Signals(number).name, running)
            self.stop()
            return
        self.exit = self.exit or 128 + number
        for child in self.children:
            child.send(signal.SIGTERM)

    def stop(self) -> None:
        """Let all drain, and start nothing again."""
        self._stopping.set()
        for child in self.children:
            child.send(signal.SIGTERM)

    async def _keep(self, child: Child) -> None:
        pause = FIRST
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            code = await child.live(self._stopping)
            if self._stopping.is_set():
                if code not in {
                    0,
                    -signal.SIGTERM,
                }:  # killed by it before it could hear it: nothing was begun
                    self.exit = self.exit or _shown(code)
                return
            if code in _HOPELESS:
                self.exit = code
                _log.error("worker %d cannot work (exit code %d); stopping", child.number, code)
                self.stop()
                return
            child.restarts += 1
            if self._clock.monotonic() - began > GOOD:
                pause = FIRST
            _log.error("worker %d ended (%s); again in %g s", child.number, _why(code), pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            except TimeoutError:
                pause = min(2 * pause, LONGEST)


def _shown(code: int) -> int:
    return 128 - code if code < 0 else code


def _why(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Reporting:
    """The child's side: tells the parent once a second, and says when there is no parent any more."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        os.set_blocking(pipe, False)
        os.set_inheritable(pipe, False)

    async def until_orphaned(self, look: Look) -> None:
        """Returns when the parent is gone."""
        while self.tell(look()):  # noqa: ASYNC110 - the beat of the heart
            await asyncio.sleep(BEAT)

    def tell(self, report: Report) -> bool:
        """False: nobody listens."""
        try:
            os.write(self._pipe, msgspec.json.encode(report) + b"\n")
        except BlockingIOError:
            return True  # a parent that is slow to read
        except OSError:
            return False
        return True


def of_this_process() -> Reporting | None:
    """To the supervisor that started this process, if one did."""
    pipe = os.environ.pop(PIPE, "")
    return Reporting(int(pipe)) if pipe.isdigit() else None
