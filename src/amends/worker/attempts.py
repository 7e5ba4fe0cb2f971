"""Attempts: running the functions of steps and compensations, and reporting how they ended.

**Theory of operation.**  One attempt per (execution, action, direction) runs at a time.  It is
known by that key and not by the instance that asked for it, because an instance may be discarded
and loaded again while its attempt runs on: the loaded one adopts it.  An attempt *ends* exactly
once, with a value or an exception, and only when its code has really ended: a coroutine that was
cancelled has finished its `finally`, a thread has returned (threads cannot be stopped, so a `def`
step that timed out is waited for; if it comes back with a value, the value counts). That is what
makes it safe to compensate afterwards (promise 7).

Directly before its function is called an attempt passes a `Gate`. What is turned away has not begun, and does
not end: it leaves without a trace, and its execution is told to look again.

`async def` functions run as tasks, `def` functions in threads; both see `amends.current()`.  A task
started from a plain callback runs at once up to its first wait (`eager`): one that waits for nothing
has ended when `start` returns, without a turn of the loop and without a timer.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import msgspec

from ..clock import Clock
from ..definition.context import CURRENT, Current
from ..definition.step import in_thread
from ..eager import start_eagerly
from .conclusions import Interrupted, TimedOut

_log = logging.getLogger("amends.worker")

_set_current = CURRENT.set
PROBE = "probe"
"""The third of the key of an attempt that asks what became of an action."""

_AT_ONCE = 0.001
"""What is due sooner (seconds) is due now: a clock may be less precise than its timers."""

Key = tuple[str, str, str]


class Gate(Protocol):
    """What may stand before the begin of an attempt (see `holds`)."""

    def shut(self, of: tuple[str, str], /) -> bool:
        """Must nothing of this namespace and saga begin? Asked in the attempt's own thread."""
        ...

    def turned_away(self, uid: str, /) -> None:
        """An attempt of this execution was kept from beginning."""
        ...


class Open:
    """A gate that is never shut."""

    def shut(self, _: tuple[str, str]) -> bool:
        """Never."""
        return False

    def turned_away(self, _: str) -> None:
        """Nobody is."""


class TurnedAway(Exception):
    """The gate was shut: nothing has begun."""


class Attempt(msgspec.Struct, eq=False):
    """One running (or queued) call of a step's or compensation's function.

    of: the namespace and saga of its execution, for the gate.  begun: a thread calls the function (since
    `begun_at`; until then its time does not run).  barred: it must not any more.
    """

    key: Key
    function: Callable[[], Any]
    current: Current
    ended: Callable[[Current, Any, BaseException | None], None]
    is_async: bool
    timeout: float | None = None
    heartbeat: float | None = None
    limit: int | None = None
    limit_name: str = ""
    task: asyncio.Future[Any] | None = None
    timer: asyncio.TimerHandle | None = None
    stop: BaseException | None = None
    started: bool = False
    beat_at: float = 0.0
    of: tuple[str, str] = ("", "")
    begun: bool = False
    begun_at: float = 0.0
    barred: bool = False

    def bar(self) -> None:
        """If it waits for a thread, it does not begin in it. (A task begins at once.)"""
        self.barred = not (self.is_async or self.begun)


class Attempts:
    """All attempts of one worker, within its limits."""

    def __init__(self, clock: Clock, *, steps: int, threads: int) -> None:
        self._clock = clock
        self._limit = steps
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._by_name: dict[str, int] = {}
        self.waiting: deque[Attempt] = deque()
        self._followers: dict[Key, Callable[[], None]] = {}
        self.running: dict[Key, Attempt] = {}
        self.gate: Gate = Open()
        self.closed = False

    def __len__(self) -> int:
        return len(self.running) + len(self.waiting)

    def adopt(self, key: Key) -> bool:
        """Is such an attempt under way (or queued) already?"""
        return key in self.running or (len(self.waiting) > 0 and any(a.key == key for a in self.waiting))

    def is_barred(self, key: Key) -> bool:
        """Does it wait for a thread in which it will not begin?"""
        return key in self.running and self.running[key].barred

    def orphan(self) -> None:
        """The worker has lost what it owned. What has not begun does not begin any more: by now another may
        own the execution, and may have done or given up what it was for. (Probes only ask.)
        """
        self.withdraw([attempt for attempt in self.waiting if attempt.key[2] != PROBE])
        self._followers.clear()
        for attempt in self.running.values():
            attempt.bar()

    def hold_back(self, uid: str) -> None:
        """One is to stand still: what has not begun is taken back, or turned away in its thread."""
        mine = [each for each in (*self.waiting, *self.running.values()) if each.key[0] == uid]
        held = [each for each in mine if each.key[2] != PROBE]
        self.withdraw(held)
        for attempt in held:
            attempt.bar()

    def follow(self, key: Key, then: Callable[[], None]) -> bool:
        """Call `then` once that attempt has ended; False when there is none."""
        if not self.adopt(key):
            return False
        self._followers[key] = then
        return True

    def executions(self) -> set[str]:
        """The uids of executions with an attempt that runs or is queued."""
        return {key[0] for key in self.running} | {attempt.key[0] for attempt in self.waiting}

    def only_queued(self) -> dict[str, list[Attempt]]:
        """Queued attempts by execution, of executions of which nothing runs and nobody waits for an end.

        A queued probe is part of an attempt that ran.
        """
        probes = [attempt.key for attempt in self.waiting if attempt.key[2] == PROBE]
        busy = {key[0] for key in (*self.running, *self._followers, *probes)}
        found: dict[str, list[Attempt]] = {}
        for attempt in self.waiting:
            if attempt.key[0] not in busy:
                found.setdefault(attempt.key[0], []).append(attempt)
        return found

    def withdraw(self, attempts: list[Attempt]) -> None:
        """Take queued attempts out of the queue, as if they had never been asked for."""
        gone = set(map(id, attempts))
        if gone:
            self.waiting = deque(attempt for attempt in self.waiting if id(attempt) not in gone)

    def start(self, attempt: Attempt) -> None:
        """Run it now, or as soon as the limits allow."""
        if len(self.running) >= self._limit or (attempt.limit is not None and not self._allowed(attempt)):
            self.waiting.append(attempt)
            return
        self.running[attempt.key] = attempt
        if attempt.limit is not None:
            self._by_name[attempt.limit_name] = self._by_name.get(attempt.limit_name, 0) + 1
        if attempt.timeout is not None:
            attempt.current.deadline_at = self._clock.now() + attempt.timeout
        context = self._context.copy()
        if attempt.heartbeat is not None:
            attempt.beat_at = self._clock.monotonic()
            told = attempt.current._beat
            attempt.current._beat = lambda progress: self._beat(attempt, progress, told)
        if attempt.is_async:
            attempt.task = task = start_eagerly(
                self._drive(attempt), self._loop, context, attempt.current.step
            )
            if task.done():
                return
        else:
            attempt.started = True
            attempt.current._cancelled = threading.Event()
            context.run(_set_current, attempt.current)
            attempt.task = self._loop.run_in_executor(
                self._thread_pool(), context.run, self._in_thread, attempt
            )
            attempt.task.add_done_callback(lambda done: self._done(attempt, done))
        seconds = attempt.timeout
        if attempt.heartbeat is not None:
            seconds = attempt.heartbeat if seconds is None else min(seconds, attempt.heartbeat)
        if seconds is not None:
            attempt.timer = self._loop.call_later(seconds, self._check_time, attempt, seconds)

    def stop(self, key: Key, reason: BaseException) -> bool:
        """Ask an attempt to end early; False when there is none. A queued one ends at once."""
        attempt = self.running.get(key)
        if attempt is not None:
            self._stop(attempt, reason)
            return True
        for queued in self.waiting:
            if queued.key == key:
                self.waiting.remove(queued)
                if isinstance(reason, Interrupted):
                    reason.began = False
                queued.ended(queued.current, None, reason)
                self._go_ahead(queued)
                return True
        return False

    async def close(self, grace: float) -> None:
        """Wait at most `grace` seconds for what runs; queued attempts, also those that wait for a thread,
        are dropped (they were never dispatched); queued probes end with `Interrupted`.
        """
        self.closed = True
        probes = [attempt for attempt in self.waiting if attempt.key[2] == PROBE]
        self.waiting.clear()
        for probe in probes:
            probe.ended(probe.current, None, Interrupted("no time to ask"))
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        ends = self._clock.monotonic() + grace
        while tasks := [a.task for a in self.running.values() if a.task is not None and not a.task.done()]:
            left = ends - self._clock.monotonic()
            if left <= 0:
                break
            await asyncio.wait(tasks, timeout=left)  # noqa: TID251 - the sets are not used
            await asyncio.sleep(0)
        for attempt in self.running.values():
            _log.warning(
                "%s still runs after %.1f s; it counts as lost and will be recovered", attempt.key, grace
            )

    # ------------------------------------------------------------ running

    def _allowed(self, attempt: Attempt) -> bool:
        return attempt.limit is None or self._by_name.get(attempt.limit_name, 0) < attempt.limit

    def _thread_pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="amends-step")
        return self._pool

    def _beat(self, attempt: Attempt, progress: Any, told: Callable[[Any], None] | None) -> None:
        attempt.beat_at = self._clock.monotonic()
        if told is not None:
            told(progress)

    def _check_time(self, attempt: Attempt, waited: float) -> None:
        """The timer rang: is it the timeout, a silent heartbeat, or too early?"""
        now, total, heartbeat = self._clock.monotonic(), attempt.timeout, attempt.heartbeat
        if not attempt.is_async:  # its time begins with its thread
            waited = now - attempt.begun_at if attempt.begun else 0.0
        left = []
        if total is not None:
            left.append(total - waited)
            if left[-1] < _AT_ONCE:
                self._stop(attempt, TimedOut(f"no result after {total:g} s"))
                return
        if heartbeat is not None:
            begun = attempt.is_async or attempt.begun
            left.append(heartbeat - (now - attempt.beat_at if begun else 0.0))
            if left[-1] < _AT_ONCE:
                self._stop(attempt, TimedOut(f"no heartbeat for {heartbeat:g} s"))
                return
        wait = min(left)
        attempt.timer = self._loop.call_later(wait, self._check_time, attempt, waited + wait)

    def _stop(self, attempt: Attempt, reason: BaseException) -> None:
        if attempt.stop is None:
            attempt.stop = reason
        if attempt.current._cancelled is not None:
            attempt.current._cancelled.set()
            if isinstance(reason, TimedOut):
                _log.warning(
                    "%s: %s; its thread cannot be stopped, waiting for it to return",
                    attempt.current.step,
                    reason,
                )
        elif attempt.task is not None and attempt.started:
            attempt.task.cancel()

    async def _drive(self, attempt: Attempt) -> None:
        """The task of an `async def` attempt. It reports its own end, which saves a turn of the loop."""
        attempt.started = True
        _set_current(attempt.current)
        value, error = None, attempt.stop
        if error is None:
            if self._kept_off(attempt):
                self._turn_away(attempt)
                return
            try:
                value = await attempt.function()
            except asyncio.CancelledError:
                error = attempt.stop or Interrupted("the attempt was cancelled")
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # noqa: BLE001 - SystemExit too: a step must not end the worker
                stopped = attempt.stop is not None and isinstance(raised, TimeoutError)
                error = attempt.stop if stopped else raised
        self._finish(attempt, value, error)

    def _in_thread(self, attempt: Attempt) -> Any:
        """In the thread of a plain function, once there is one. Raises `TurnedAway`."""
        if attempt.barred or self._kept_off(attempt):
            raise TurnedAway
        if attempt.stop is not None:  # given up while it waited for its thread
            if isinstance(attempt.stop, Interrupted):
                attempt.stop.began = False
            raise attempt.stop
        if attempt.timeout is not None or attempt.heartbeat is not None:
            attempt.begun_at = attempt.beat_at = self._clock.monotonic()
            if attempt.timeout is not None:
                attempt.current.deadline_at = self._clock.now() + attempt.timeout
        attempt.begun = True
        return in_thread(attempt.function)

    def _kept_off(self, attempt: Attempt) -> bool:
        """The gate. (A probe belongs to an attempt that ran.)"""
        return self.gate.shut(attempt.of) and attempt.key[2] != PROBE

    def _done(self, attempt: Attempt, task: asyncio.Future[Any]) -> None:
        """A thread has returned."""
        if task.cancelled() and self.closed and attempt.key[2] != PROBE:
            del self.running[attempt.key]  # it never got its thread
            if attempt.timer is not None:
                attempt.timer.cancel()
        elif task.cancelled():
            self._finish(attempt, None, attempt.stop or Interrupted("the attempt was cancelled"))
        elif isinstance(error := task.exception(), TurnedAway):
            self._turn_away(attempt)
        elif error is not None:
            self._finish(attempt, None, error)
        else:
            self._finish(attempt, task.result(), None)

    def _turn_away(self, attempt: Attempt) -> None:
        self._leave(attempt)
        self.gate.turned_away(attempt.key[0])
        self._make_way(attempt)

    def _finish(self, attempt: Attempt, value: Any, error: BaseException | None) -> None:
        self._leave(attempt)
        attempt.ended(attempt.current, value, error)
        self._make_way(attempt)

    def _leave(self, attempt: Attempt) -> None:
        del self.running[attempt.key]
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.limit is not None:
            self._by_name[attempt.limit_name] -= 1

    def _make_way(self, attempt: Attempt) -> None:
        if self._followers:
            self._go_ahead(attempt)
        if self.waiting:
            self._loop.call_soon(self._begin_waiting)

    def _go_ahead(self, attempt: Attempt) -> None:
        then = self._followers.pop(attempt.key, None)
        if then is not None:
            then()

    def _begin_waiting(self) -> None:
        """Start queued attempts, oldest first, as far as the limits allow."""
        skipped: deque[Attempt] = deque()
        while self.waiting and len(self.running) < self._limit:
            attempt = self.waiting.popleft()
            if self._allowed(attempt):
                self.start(attempt)
            else:
                skipped.append(attempt)
        self.waiting.extendleft(reversed(skipped))
