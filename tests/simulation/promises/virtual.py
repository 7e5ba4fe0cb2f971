"""Virtual time: an event loop that never waits, and the clock and executor that go with it.

When nothing is ready, the loop's time jumps to the next timer.  A test with a retry after ten minutes or a
sleep of three days thus takes no longer than its Python does, and no machine is too slow for it.  While a
thread works (a `def` step), time stands still, unless the test lets it pass (`impatient`).
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

EPOCH = 1_800_000_000.0
_A_MOMENT = 0.001


class _Selector(selectors.DefaultSelector):
    """Looks at real sockets (threads report through one), but lets virtual time pass instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        loop = self.loop
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if loop.threads and not (loop.impatient and timeout is not None):
            return super().select(None)
        if timeout is None:
            raise RuntimeError("deadlock: nothing is scheduled, and nothing runs")
        found = super().select(_A_MOMENT) if loop.threads else found
        if not found:
            loop.moment += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. `moment` is its time in seconds; `threads` counts those at work."""

    def __init__(self) -> None:
        self.moment = 0.0
        self.threads = 0
        self.impatient = False
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.moment

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _future: object) -> None:
        self.threads -= 1


class VirtualClock:
    """The clock of a virtual loop (stands still before the loop is there)."""

    loop: VirtualLoop | None = None

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return 0.0 if self.loop is None else self.loop.moment


class LoopExecutor:
    """Runs the SQLite store's jobs on the event loop instead of in a thread of its own."""

    def submit(self, job: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(job)

    def stop(self) -> None:
        """Nothing to stop."""
