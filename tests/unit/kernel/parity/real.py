"""The real asyncio loop on virtual time: what CPython itself does with a program.

Only the clock is replaced.  Each timer gets a due time of its own (ties are broken by the order of `call_at`,
a nanotick apart), so that timers fire one at a time, each followed by all that comes of it; time jumps when
nothing is left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable
from typing import Any

from amends.kernel.discard import throw_out

from .world import START, Program, Trace, observed, writing_to

TIE = 1e-9
AT_ONCE = 2e-12
"""Later than now, but before all else that is due at this time."""


class _Jumping(selectors.SelectSelector):
    """Never waits: when the loop would, `idle` decides what happens instead."""

    idle: Callable[[], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.idle()
        return []


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by creation number: a TaskGroup aborts a set of them, else by address."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.idle = self._idle
        super().__init__(selector)
        self.at = START
        self.ties = 0.0
        self.turn = 0
        self.last_turn = START
        self.created: list[asyncio.Task[Any]] = []
        self.awaited: asyncio.Task[Any] | None = None
        self.errors: list[dict[str, Any]] = []
        self._clock_resolution = 5e-13
        self.set_task_factory(self._make)
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def _make(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = NumberedTask.__new__(NumberedTask)
        task.number = len(self.created) + 1
        NumberedTask.__init__(task, coro, loop=loop, **options)
        self.created.append(task)
        return task

    def time(self) -> float:
        return self.at

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        if when > self.at:
            self.ties += TIE
            when += self.ties
        return super().call_at(when, callback, *args, context=context)

    async def a_turn_of_its_own(self) -> None:
        """Come back when all is quiet; not to be cancelled."""
        turn = self.create_future()
        self.last_turn = max(self.at, self.last_turn) + AT_ONCE
        super().call_at(self.last_turn, turn.set_result, None)
        while not turn.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(turn)

    def _idle(self) -> None:
        """All is quiet: end, or jump to the next timer."""
        self.turn += 1
        if self.awaited is None or self.awaited.done() or not self._scheduled:
            self.stop()
        else:
            self.at = self._scheduled[0]._when

    def until_quiet(self, awaited: asyncio.Task[Any] | None) -> None:
        """Run until `awaited` is done (or can never be) and nothing else is ready."""
        self.awaited = awaited
        self.run_forever()


def run_real(program: Program) -> tuple[str, Trace]:
    """Run a program on the real loop: how it ended, and what it said."""
    loop = VirtualLoop()
    try:
        with writing_to(Trace()) as trace:
            main = loop.create_task(observed(program.body), name="saga")
            if program.cancel_at is not None:
                loop.call_at(START + program.cancel_at, main.cancel, "enough")
            loop.until_quiet(main)
            if not main.done():
                return "stuck", trace
            left = [task for task in loop.created if not task.done()]
            for task in left:
                task.cancel("the saga's body has ended")
            for task in left:
                loop.until_quiet(task)
            return "compensated" if main.cancelled() or main.exception() else "completed", trace
    finally:
        _close(loop)


def _close(loop: VirtualLoop) -> None:
    """Throw out what never ended (a deadlock), as the kernel does, and close the loop."""
    asyncio._set_running_loop(loop)
    try:
        with writing_to(Trace()):
            for task in loop.created:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    throw_out(task.get_coro())
    finally:
        asyncio._set_running_loop(None)
        loop.close()
