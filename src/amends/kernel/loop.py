"""A small deterministic event loop on which saga code runs.

**Theory of operation.**  Saga code is ordinary asyncio code.  asyncio asks little of a loop: a
queue of callbacks, timers, futures and tasks.  This loop gives just that, with nothing behind it
that could differ from one replay to the next: callbacks run first in, first out; time is the time
of the activation; a timer is a journaled command; tasks and futures hash by creation number, so
that code which iterates a set of them (a TaskGroup's abort does) visits them in the same order in
each process.  Everything else a loop can do would leave the saga, and raises `ForeignCall`.

The loop runs only inside ``with loop:``, from a plain callback of the real loop, never inside one
of its tasks.  A dead loop runs nothing and accepts nothing, whatever the garbage collector closes
later.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from asyncio import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, Protocol

import msgspec

from ..errors import ForeignCall, Overrun
from .discard import GONE, STUBBORN, Evicted, discard, throw_out
from .foreign import Surface, explained, forbid, homemade_task, teach


class Timers(Protocol):
    """Who keeps the loop's timers (they are durable commands)."""

    def start_timer(self, handle: Timer) -> None:
        """Begin to wait for `handle.due`."""
        ...

    def cancel_timer(self, handle: Timer) -> None:
        """It is no longer wanted."""
        ...


class Callback(msgspec.Struct, eq=False):
    """A scheduled callback (what `call_soon` returns)."""

    callback: Callable[..., Any] | None
    args: tuple[Any, ...]
    context: Context

    def cancel(self) -> None:
        """Do not run it."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Will it not run?"""
        return self.callback is None


class Timer(Callback, eq=False):
    """A callback that runs when a durable timer fires (what `call_at` returns)."""

    due: float
    loop: SagaLoop
    id: str = ""

    def when(self) -> float:
        """When it is due, in the loop's time."""
        return self.due

    def cancel(self) -> None:
        """Withdraw the durable timer."""
        if self.callback is not None:
            super().cancel()
            if self.id:
                self.loop.timers.cancel_timer(self)


class SagaFuture(asyncio.Future[Any]):
    """A future that hashes by creation number."""

    __slots__ = ("number",)

    number: int

    def __hash__(self) -> int:
        return self.number


class SagaTask(asyncio.Task[Any]):
    """A task that hashes by creation number and knows its place in the saga.

    `path` prefixes the ids of what it creates, `sequence` counts them; `scope` is the savepoint it
    is in; a `shielded` task may act after a cancel.
    """

    __slots__ = (
        "chance",
        "message",
        "number",
        "path",
        "pending",
        "requests",
        "scope",
        "sequence",
        "shielded",
    )

    number: int
    path: str
    sequence: int
    scope: str
    shielded: bool
    chance: Any
    requests: int
    pending: bool
    message: Any

    def __hash__(self) -> int:
        return self.number

    def next_id(self) -> str:
        """The id of the next thing this task creates."""
        self.sequence += 1
        return f"{self.path}{self.sequence}"

    def exception(self) -> BaseException | None:
        error = super().exception()
        return error if error is None else explained(error)

    # Cancel requests are counted here, as 3.13 counts them: one that the running task makes itself arrives
    # when its step has ended, unless it was taken back. (Up to 3.12 asyncio delivers it all the same.)

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self.requests += 1
        loop: Any = self.get_loop()
        if asyncio.current_task(loop) is self:
            self.message = msg
            if not self.pending:
                self.pending = True
                loop._cancelled_themselves.append(self)
            return True
        return super().cancel(msg)

    def cancelling(self) -> int:
        return self.requests

    def uncancel(self) -> int:
        if self.requests:
            self.requests -= 1
            self.pending = self.pending and self.requests > 0
        return self.requests

    def deliver_cancel(self) -> None:
        """The step in which the task cancelled itself has ended."""
        if self.pending:
            self.pending = False
            super().cancel(self.message)


class Stage:
    """What asyncio keeps per thread, saved once for many loops that are entered one after the other.

    While it is open, leaving a loop restores nothing: only the kernel may run before the next loop is
    entered, or the stage left.
    """

    __slots__ = ("_hooks", "_outer", "open")

    def __init__(self) -> None:
        self.open = False

    def __enter__(self) -> None:
        self._outer = _get_running_loop()
        self._hooks = sys.get_asyncgen_hooks()
        self.open = True

    def __exit__(self, *_: object) -> None:
        self.open = False
        sys.set_asyncgen_hooks(*self._hooks)
        _set_running_loop(self._outer)


NO_STAGE = Stage()
_NEVER = float("inf")
LATEST = 2e11
"""When (seconds since the epoch: in the year 8307) what is never due is due: a journal has no infinity."""
_set_hooks = sys.set_asyncgen_hooks
_SHIELD = asyncio.shield.__code__
_cancel_future = asyncio.Future.cancel
_new_task = SagaTask.__new__
_init_task = asyncio.Task.__init__


class SagaLoop(Surface):
    """See the module's theory of operation."""

    def __init__(self, port: Any, timers: Timers, budget: int = 100_000, stage: Stage = NO_STAGE) -> None:
        self.amends_port = port
        self.stage = stage
        self.timers = timers
        self.budget = budget
        self.now = 0.0
        self.dead = False
        self.entered = False
        self.prefix = ""
        self.tasks: list[SagaTask] = []
        self._ready: deque[Callback] = deque()
        self._overdue: list[Timer] = []
        self._cancelled_themselves: list[SagaTask] = []
        self._created = 0  # `Program` gives each execution numbers of its own
        self._spawned = 0  # apart: how many futures there are is asyncio's business, and may change
        self._orphans = 0
        self._prune_at = 64
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] | None = None
        self._outer: Any = None
        self._hooks: Any = ()

    def number_from(self, start: int) -> None:
        """Count tasks and futures from here.

        asyncio keeps all tasks of a process in one set: executions that all count from 1 would
        collide there.  `start` leaves the low bits alone, which decide the order within small sets.
        """
        self._created = self._spawned = start

    # ------------------------------------------------------------ running

    def __enter__(self) -> None:
        """Make this the running loop of the thread for a while (plain, because it is on every
        activation's way).
        """
        if not self.stage.open:
            self._outer = _get_running_loop()
            self._hooks = sys.get_asyncgen_hooks()
        _set_running_loop(self)
        _set_hooks(self._adopt_generator, self._finalize)
        self.entered = True

    def __exit__(self, *_: object) -> None:
        self.entered = False
        if not self.stage.open:
            _set_hooks(*self._hooks)
            _set_running_loop(self._outer)

    def _adopt_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._generators is None:
            self._generators = weakref.WeakSet()
        self._generators.add(generator)

    @property
    def waiting(self) -> bool:
        """Is any callback ready to run?"""
        return bool(self._ready or self._overdue)

    def drain(self) -> None:
        """Run callbacks, one round after the other, until none is left. Raises `Overrun` past the budget.

        As asyncio has it, timers that are due join at the beginning of a round.
        """
        ready, cancelled = self._ready, self._cancelled_themselves
        left = self.budget
        while ready or self._overdue:
            if self._overdue:
                ready.extend(self._overdue)
                self._overdue.clear()
            count = len(ready)
            left -= count
            if left < 0:
                raise Overrun(
                    f"one activation ran more than {self.budget} callbacks",
                    hint="look for a loop that awaits only asyncio.sleep(0); await a step or a timer in it",
                )
            while count:
                count -= 1
                item = ready.popleft()
                if item.callback is None:
                    continue
                try:
                    item.context.run(item.callback, *item.args)
                except (KeyboardInterrupt, Overrun):
                    raise
                except BaseException as error:  # noqa: BLE001 - a callback's error is nobody's; a task keeps its own
                    text = f"{type(error).__name__} in a callback of saga code"
                    self.call_exception_handler({"message": text, "exception": error})
                if cancelled:
                    cancelled.pop().deliver_cancel()

    def kill(self) -> None:
        """Drop everything: nothing runs any more, and code that unwinds can do nothing (see `discard`)."""
        if not self._generators and all(task.done() for task in self.tasks):
            self._end_quietly()
            return
        if not self.dead:
            self.dead = True
            self.amends_port = Evicted(self, self.amends_port)
        self._ready.clear()
        self._overdue.clear()
        stubborn, thrown_out = len(STUBBORN), []
        with self._thread_taken():
            while self.tasks:
                tasks, self.tasks = self.tasks, []
                for task in tasks:
                    if not task.done():
                        task._log_destroy_pending = False  # type: ignore[attr-defined]
                        discard(task.get_coro())
                        thrown_out.append(task)
            while self._generators:
                discard(self._generators.pop().aclose(), closing=True)
        if len(STUBBORN) == stubborn:
            _let_go(thrown_out)
            self._end_quietly()

    def _end_quietly(self) -> None:
        """Nothing is left to throw out: forget everything, so that no cycle of references remains."""
        self.dead = True
        self.amends_port = self.timers = GONE
        self._ready.clear()
        self._overdue.clear()
        self.tasks.clear()

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an abandoned async generator, now and here (any thread), in a limbo where it cannot
        command anything.
        """
        limbo = self
        if not self.dead:
            limbo = type(self)(self.amends_port, self.timers)
            limbo.now = self.now
            limbo.dead = True
            limbo.amends_port = Evicted(limbo, self.amends_port)
        with limbo._thread_taken():
            awaited, error = throw_out(generator.aclose(), closing=True)
        if error is not None or awaited:
            text = f"{generator!r} was abandoned, and closing it " + ("awaits" if awaited else "failed")
            hint = "; use contextlib.aclosing: what the garbage collector closes can await nothing in a saga"
            self.call_exception_handler({"message": text + hint, "exception": error})

    @contextmanager
    def _thread_taken(self) -> Iterator[None]:
        """Be the running loop of this thread, wherever it is (`__enter__` does it for activations)."""
        outer, hooks = _get_running_loop(), sys.get_asyncgen_hooks()
        _set_running_loop(self)
        sys.set_asyncgen_hooks(self._adopt_generator, self._finalize)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(outer)

    # ------------------------------------------------------------ what asyncio asks of a loop

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Callback:
        item = Callback(callback, args, copy_context() if context is None else context)
        if not self.dead:
            self._ready.append(item)
        return item

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Callback:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Callback:
        if when == _NEVER:
            when = LATEST
        timer = Timer(callback, args, copy_context() if context is None else context, when, self)
        if self.dead:
            return timer
        if when > self.now:
            self.timers.start_timer(timer)
        else:
            self._overdue.append(timer)
        return timer

    def fire(self, timer: Timer) -> None:
        """Queue the callback of a timer that came due."""
        timer.id = ""
        self._ready.append(timer)

    def time(self) -> float:
        return self.now

    def create_future(self) -> SagaFuture:
        self._created += 1
        future = SagaFuture(loop=self)
        future.number = self._created
        return future

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> SagaTask:
        parent = asyncio.current_task(self)
        if isinstance(parent, SagaTask):
            place = parent.next_id()
            scope, shielded = parent.scope, parent.shielded
        elif parent is not None:
            coro.close()
            raise homemade_task()
        else:
            self._orphans += 1
            place, scope, shielded = f"{self.prefix}c{self._orphans}", "", False
        task = self.spawn(coro, f"{place}.", name or f"task-{place}", context)
        task.scope = scope
        task.shielded = shielded or _called_by_shield()
        return task

    def spawn(
        self,
        coro: Coroutine[Any, Any, Any],
        path: str,
        name: str,
        context: Context | None,
    ) -> SagaTask:
        """A task at a given place (its number must exist before asyncio hashes it)."""
        self._spawned += 1
        task = _new_task(SagaTask)
        task.number = self._spawned
        task.path = path
        task.sequence = 0
        task.scope = ""
        task.shielded = False
        task.chance = None
        task.requests = 0
        task.pending = False
        task.message = None
        _init_task(task, coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        if len(self.tasks) >= self._prune_at:
            self.tasks = [t for t in self.tasks if not t.done()]
            self._prune_at = max(64, 2 * len(self.tasks))
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what asyncio would only log (an exception nobody retrieved), unless replaying or dead."""
        if not self.dead:
            self.amends_port.report(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def __repr__(self) -> str:
        return f"<saga loop {'dead' if self.dead else 'alive'}>"


def _let_go(tasks: list[Any]) -> None:
    """Nobody waits for tasks whose code has ended, nor they for anything: no cycle of references remains."""
    for task in tasks:
        if isinstance(task._fut_waiter, asyncio.Future):
            _cancel_future(task._fut_waiter)
        _cancel_future(task)


def _called_by_shield() -> bool:
    """Was `create_task` reached through ``asyncio.shield(…)``? (It wraps what it shields in a task.)"""
    frame = sys._getframe(2)
    for _ in range(3):
        if frame.f_code is _SHIELD:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


forbid(SagaLoop)

__all__ = ["Callback", "ForeignCall", "SagaFuture", "SagaLoop", "SagaTask", "Stage", "Timer", "teach"]
