"""Virtual time on an event loop that is there already: asyncio's own, in the middle of a user's test.

The loop's clock is replaced, and its selector by one that never waits.  When nothing is ready, time jumps to
the next timer.  While a function runs in a thread, or a socket may still bring something (`patience`), time
stands still.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from ..errors import Refused
from .simulation import Stuck

_RESOLUTION = 1e-6
"""Timers so near (seconds) ring together: far in the future floats are no finer, and time must get on."""


class TimeSkip:
    """Takes over the time of a loop, and gives it back. `offset` is how many seconds have been skipped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, patience: float) -> None:
        selector = getattr(loop, "_selector", None)
        if selector is None or not hasattr(selector, "select"):
            raise Refused(
                f"amends.testing.world() cannot skip time on {type(loop).__module__}.{type(loop).__name__}",
                hint="run the test on asyncio's own event loop",
            )
        self._loop: Any = loop
        self._selector: Any = selector
        self._patience = patience
        self._threads = 0
        self._moment = loop.time()
        self._saved: dict[str, Any] = {}

    def moment(self) -> float:
        """The loop's time, in seconds."""
        return self._moment

    def start(self) -> None:
        """From now on time is virtual."""
        replaced: dict[str, Any] = {
            "time": self.moment,
            "_clock_resolution": _RESOLUTION,
            "_selector": _Selector(self),
            "run_in_executor": self._counting(self._loop.run_in_executor),
        }
        for name, value in replaced.items():
            self._saved[name] = self._loop.__dict__.get(name, _ABSENT)
            setattr(self._loop, name, value)

    def stop(self) -> None:
        """Time is real again. (Timers that are still set ring when that much real time has passed.)"""
        for name, value in self._saved.items():
            if value is _ABSENT:
                delattr(self._loop, name)
            else:
                setattr(self._loop, name, value)
        self._saved.clear()

    def _counting(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def run_in_executor(executor: Any, function: Callable[..., Any], *arguments: Any) -> Any:
            self._threads += 1
            future = run(executor, function, *arguments)
            future.add_done_callback(self._returned)
            return future

        return run_in_executor

    def _returned(self, _future: object) -> None:
        self._threads -= 1

    def select(self, timeout: float | None) -> Any:
        """What the sockets say; or else time jumps over `timeout` seconds."""
        found = self._selector.select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self._threads:
            return self._selector.select(None)
        if self._waits_for_sockets() and (found := self._selector.select(self._patience)):
            return found
        if timeout is None:
            raise Stuck(
                "nothing can happen any more: no timer is set, and nothing runs",
                hint="the test waits for something that nobody brings: a signal, a message, a future",
            )
        self._moment = max(self._moment + timeout, math.nextafter(self._moment, math.inf))
        return found

    def _waits_for_sockets(self) -> bool:
        """Are there sockets besides the loop's own?"""
        registered: Any = getattr(self._selector, "get_map", dict)()
        return self._patience > 0 and len(registered or ()) > 1


_ABSENT = object()


class _Selector:
    """The loop's selector, but that `select` does not wait."""

    def __init__(self, skip: TimeSkip) -> None:
        self._skip = skip

    def select(self, timeout: float | None = None) -> Any:
        return self._skip.select(timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._skip._selector, name)
