"""Running the functions of steps and compensations to their end, here and now.

In-memory participants wait for nothing, so a coroutine mostly ends at its first send.  One that does wait
(`asyncio.sleep`, a task group) needs a small loop with virtual time.  The first call of each function has
one; if it asked nothing of it, the next calls go without.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any

from ...errors import AmendsError
from ...kernel.loop import SagaLoop, Timer


class NotInMemory(AmendsError):
    """A step waits for something outside of the program, which exploring cannot give."""

    code = "not_in_memory"


class NeedsLoop(Exception):
    """A function waits, so it must be run with a loop: the run begins again."""


class _StepLoop(SagaLoop):
    """The kernel's deterministic loop, without a saga: its timers fire at once, in order of their time."""

    def __init__(self) -> None:
        super().__init__(None, self)
        self._coming: list[tuple[float, int, Timer]] = []
        self._issued = 0
        self._asked = 0

    @property
    def needed(self) -> bool:
        """Was anything asked of it, beyond the first step of the function's own task?"""
        return self._asked > 1

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        self._asked += 1
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        self._asked += 2
        return super().call_at(when, callback, *args, context=context)

    def create_future(self) -> Any:
        self._asked += 2
        return super().create_future()

    def start_timer(self, handle: Timer) -> None:
        """Wait for it in virtual time."""
        self._issued += 1
        handle.id = str(self._issued)
        heapq.heappush(self._coming, (handle.due, self._issued, handle))

    def cancel_timer(self, handle: Timer) -> None:
        """Its callback is gone already."""

    def finish(self, coroutine: Coroutine[Any, Any, Any], what: str) -> Any:
        """Run a coroutine to its end. Raises what it raises, and `NotInMemory`."""
        with self:
            task = self.spawn(coroutine, "1.", what, copy_context())
            self.drain()
            while not task.done():
                if not self._coming:
                    self.kill()
                    raise NotInMemory(
                        f"{what} waits for something outside of the program",
                        hint="explore with participants in memory, or leave them out: then steps are stubbed",
                    )
                due, _, timer = heapq.heappop(self._coming)
                self.now = max(self.now, due)
                if timer.callback is not None:
                    self.fire(timer)
                    self.drain()
        return task.result()


class Caller:
    """Calls functions; knows which of them go without a loop."""

    def __init__(self) -> None:
        self._simple: dict[str, bool] = {}

    def call(self, function: Callable[[], Any], name: str) -> Any:
        """What the function returns, in the end. Raises what it raises, `NeedsLoop`, and `NotInMemory`."""
        made = function()
        if type(made) is not CoroutineType:
            return made
        if self._simple.get(name, False):
            return self._run(made, name)
        loop = _StepLoop()  # type: ignore[abstract]  # `forbid` fills in the rest
        try:
            return loop.finish(made, name)
        finally:
            self._simple.setdefault(name, not loop.needed)

    def _run(self, coroutine: Coroutine[Any, Any, Any], name: str) -> Any:
        try:
            yielded = coroutine.send(None)
            while yielded is None:  # asyncio.sleep(0)
                yielded = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        except RuntimeError as error:
            if not _wants_loop(error):
                raise
        coroutine.close()
        self._simple[name] = False
        raise NeedsLoop


def _wants_loop(error: RuntimeError) -> bool:
    text = str(error)
    return "no running event loop" in text or "inside a task" in text or "parent task" in text
