"""The event loop of a simulated process: never waits, and is driven from outside, a callback at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop
from typing import Any, TypeVar

T = TypeVar("T")

_loops = itertools.count(1)


class NumberedTask(asyncio.Task[T]):
    """A task that hashes by its number, so that sets of tasks are iterated in the same order everywhere."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, T], **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.BaseEventLoop):
    """A loop without sockets and without waiting. `moment` says the time, in seconds.

    It counts as running all the time, so that what needs a running loop can be called from outside.
    Functions for threads run on the loop, one at a time, `thread_delay` seconds after they were handed in.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, moment: Callable[[], float]) -> None:
        super().__init__()
        self._moment = moment
        self._thread_id = threading.get_ident()
        self._numbers = itertools.count()
        self.thread_delay: Callable[[], float] = _at_once
        self.defects: list[str] = []
        self._stopped = False
        self._left: list[asyncio.Task[Any]] = []
        self.set_exception_handler(lambda _loop, context: self._defect(context))

    def time(self) -> float:
        """Virtual seconds."""
        return self._moment()

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """A task that hashes by number."""
        task = NumberedTask(next(self._numbers), coro, loop=self, name=name, context=context)
        if self._stopped:
            self._left.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function meant for a thread: as a callback of this loop, which it does not see running."""
        future: asyncio.Future[T] = self.create_future()

        def job() -> None:
            if future.done():
                return
            if getattr(executor, "_shutdown", False):
                future.cancel()  # the pool was told to drop what has not begun
                return
            outside = _get_running_loop()
            _set_running_loop(None)
            try:
                value = func(*args)
            except BaseException as error:  # noqa: BLE001 - as a thread pool does
                future.set_exception(error)
            else:
                future.set_result(value)
            finally:
                _set_running_loop(outside)

        self.call_later(self.thread_delay(), job)
        return future

    # ------------------------------------------------------------ driven from outside

    @property
    def ready(self) -> deque[asyncio.Handle]:
        """The callbacks that could run now."""
        return self._ready

    def next_due(self) -> float | None:
        """When the next timer is due."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
        return scheduled[0]._when if scheduled else None  # type: ignore[attr-defined]

    def ring(self, moment: float) -> None:
        """Make the callbacks of timers that are due ready."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._when <= moment:  # type: ignore[attr-defined]
            handle = heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]
            if not handle._cancelled:
                self._ready.append(handle)

    def turn(self, place: int) -> None:
        """Run the ready callback at that place."""
        ready = self._ready
        if place:
            handle = ready[place]
            del ready[place]
        else:
            handle = ready.popleft()
        if handle._cancelled:
            return
        outside = _get_running_loop()
        _set_running_loop(self)
        try:
            handle._run()
        finally:
            _set_running_loop(outside)

    def stop_for_good(self) -> None:
        """Nothing of this loop runs any more; what is left stays as it is until `forget`."""
        self._stopped = True
        self._left += asyncio.all_tasks(self)

    def forget(self) -> None:
        """Close what is left. (Code that catches `GeneratorExit` runs, and meets a dead process.)"""
        outside = _get_running_loop()
        _set_running_loop(self)  # what closes looks for its loop
        try:
            for task in self._left if self._stopped else asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                if task.done():  # early releases of Python 3.12 crash in `get_coro` of what ended at once
                    continue
                coroutine: Any = task.get_coro()
                with contextlib.suppress(RuntimeError):  # it waits for something even now
                    coroutine.close()
        finally:
            _set_running_loop(outside)
        self._left.clear()
        self._ready.clear()
        self._scheduled.clear()

    def _defect(self, context: dict[str, Any]) -> None:
        """Somebody's callback failed: for a simulation that is a finding (unless the process is dead)."""
        if self._stopped:
            return
        error = context.get("exception")
        self.defects.append(f"{context.get('message')}: {error!r}")

    def __del__(self) -> None:
        """Nothing has to be closed: there are no sockets and no threads."""

    def _write_to_self(self) -> None:
        """Nobody waits who would have to be woken."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""


def _at_once() -> float:
    return 0.0
