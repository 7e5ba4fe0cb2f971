"""One asyncio for all Python versions.

**Theory of operation.**  A journal written under one Python is replayed under another, so what saga code
does must not depend on how a version's asyncio is made.  The parts that differ between versions (or between
processes, because they look through a set in the order of addresses) are rerouted: functions by a new body,
so that every ``from asyncio import wait_for`` is reached, methods by a new attribute.  Each first asks
whether it runs in a saga; if not, it does just what it did.  In a saga all versions do what 3.13 does:

    wait_for              3.11 runs what it waits for in a task of its own; all: see `saga_wait_for`
    gather                3.11 makes a trip through the loop for futures that are done already
    as_completed          all: makes tasks in the order of addresses (before 3.13 not until first asked)
    all_tasks             all: a set filled in the order of addresses
    wrap_future           all: refused, its result would come from another thread
    TaskGroup.__aexit__   3.11, 3.12: keeps a cancel request of its own, and loses one from outside
    Semaphore.acquire     3.11, 3.12: wakes one waiter after the other, 3.13 all that it has room for
    Condition.wait        3.11, 3.12: loses a notification whose receiver is cancelled
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from .finishing import Finishing
from .foreign import teach

T = TypeVar("T")

_originals: dict[str, Any] = {}
_DIFFERENT = sys.version_info < (3, 13)
_VERY_DIFFERENT = sys.version_info < (3, 12)


def _in_saga() -> Any:
    """The running loop if it is a saga's."""
    loop = asyncio._get_running_loop()
    return loop if getattr(loop, "amends_port", None) is not None else None


# ---------------------------------------------------------------- functions


async def saga_wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:
    """`asyncio.wait_for` without a task of its own.

    While the saga is being undone its timer is refused; then the coroutine never begins, and is closed.
    """
    if timeout is not None and timeout <= 0:
        return await _now_or_never(awaitable)
    try:
        async with asyncio.timeout(timeout):
            return await awaitable
    finally:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()


async def _now_or_never(awaitable: Awaitable[T]) -> T:
    """No time at all: take the result if it is there, else cancel."""
    task = asyncio.ensure_future(awaitable)
    if task.done():
        return task.result()
    ended = asyncio.get_running_loop().create_future()

    def release(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    task.add_done_callback(release)
    task.cancel()
    await ended
    try:
        return task.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def wait_for(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    """Which way to go."""
    if _in_saga() is not None:
        return await saga_wait_for(awaitable, timeout)
    return await _originals["wait_for"](awaitable, timeout)


def gather(awaitables: Iterable[Any], return_exceptions: bool) -> Any:
    """The callbacks of futures that are done already are run at once."""
    loop = _in_saga()
    before = 0 if loop is None else len(loop._ready)
    outer = _originals["gather"](*awaitables, return_exceptions=return_exceptions)
    if loop is not None:
        _run_callbacks_of_futures(loop, before)
    return outer


def _run_callbacks_of_futures(loop: Any, since: int) -> None:
    """Run now what was queued for futures since then (steps of tasks have no arguments and wait)."""
    ready = loop._ready
    queued = [ready.pop() for _ in range(len(ready) - since)]
    while queued:
        item = queued.pop()
        if item.args and item.callback is not None:
            item.context.run(item.callback, *item.args)
        else:
            ready.append(item)


def as_completed(awaitables: Any, timeout: float | None) -> Any:
    """Which way to go."""
    if _in_saga() is not None:
        return Finishing(awaitables, timeout)
    return _originals["as_completed"](awaitables, timeout=timeout)


def all_tasks(loop: Any) -> set[asyncio.Task[Any]]:
    """A saga's tasks, put into the set in the order of their creation."""
    loop = _in_saga() if loop is None else loop
    if getattr(loop, "amends_port", None) is None:
        return _originals["all_tasks"](loop)  # type: ignore[no-any-return]
    return {task for task in loop.tasks if not task.done()}


def wrap_future(future: Any, loop: Any) -> Any:
    """A concurrent future ends in another thread."""
    if not asyncio.isfuture(future) and getattr(loop or _in_saga(), "amends_port", None) is not None:
        raise teach("asyncio.wrap_future()", "do it in an `async def` marked @step and await the step")
    return _originals["wrap_future"](future, loop=loop)


# What follows runs in asyncio's own namespace, with the parameters of what it replaces.
# pragma: no mutate start


async def _wait_for(fut, timeout):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import wait_for as reroute  # noqa: PLC0415

    return await reroute(fut, timeout)


def _gather(*coros_or_futures, return_exceptions=False):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import gather as reroute  # noqa: PLC0415

    return reroute(coros_or_futures, return_exceptions)


def _as_completed(fs, *, timeout=None):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import as_completed as reroute  # noqa: PLC0415

    return reroute(fs, timeout)


def _all_tasks(loop=None):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import all_tasks as reroute  # noqa: PLC0415

    return reroute(loop)


def _wrap_future(future, *, loop=None):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import wrap_future as reroute  # noqa: PLC0415

    return reroute(future, loop)


# pragma: no mutate end


def _reroute(name: str, entry: Callable[..., Any]) -> None:
    """Give asyncio's function the body of `entry`, and keep what it was."""
    function: Any = getattr(asyncio, name)
    if not isinstance(function, types.FunctionType) or function.__code__.co_freevars:
        return
    original = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    _originals[name] = original
    function.__code__ = entry.__code__


# ---------------------------------------------------------------- methods


async def _group_exit(self: Any, kind: Any, error: Any, trace: Any) -> Any:
    """Leave the parent's cancel count as it was, and cancel it again if a cancel came from outside."""
    original = _originals["TaskGroup.__aexit__"]
    if _in_saga() is None:
        return await original(self, kind, error, trace)
    takes_it_back = self._parent_cancel_requested
    try:
        return await original(self, kind, error, trace)
    except BaseExceptionGroup:
        parent = self._parent_task
        if self._parent_cancel_requested and not takes_it_back:
            parent.uncancel()
        if parent.cancelling():
            parent.uncancel()
            parent.cancel()
        raise


async def _acquire(self: Any) -> Any:
    """Whoever comes in or is cancelled lets in all that there is room for."""
    original = _originals["Semaphore.acquire"]
    if _in_saga() is None:
        return await original(self)
    try:
        return await original(self)
    finally:
        while self._value > 0 and any(not waiter.done() for waiter in self._waiters or ()):
            self._wake_up_next()


async def _wait(self: Any) -> Any:
    """A waiter that fails (is cancelled) wakes another one in its place."""
    original = _originals["Condition.wait"]
    if _in_saga() is None:
        return await original(self)
    try:
        return await original(self)
    except BaseException:
        if self.locked():
            self.notify(1)
        raise


def _replace(cls: type, name: str, method: Callable[..., Any]) -> None:
    """Put `method` in the place of a class's own, and keep what was there."""
    _originals[f"{cls.__name__}.{name}"] = getattr(cls, name)
    method.__name__ = name
    method.__qualname__ = f"{cls.__name__}.{name}"
    setattr(cls, name, method)


def _number(self: Any) -> int:
    """What `gather` returns hashes by address elsewhere; in a saga by when it was first put into a set."""
    loop = self.get_loop()
    if getattr(loop, "amends_port", None) is None:
        return object.__hash__(self)
    number: int | None = getattr(self, "amends_number", None)
    if number is None:
        loop._created += 1
        number = self.amends_number = loop._created
    return number


def install() -> None:
    """Make all versions agree (does nothing when done already)."""
    if _originals:
        return
    _reroute("wait_for", _wait_for)
    _reroute("as_completed", _as_completed)
    _reroute("all_tasks", _all_tasks)
    _reroute("wrap_future", _wrap_future)
    gathering: Any = getattr(asyncio.tasks, "_GatheringFuture", None)
    if gathering is not None:
        gathering.__hash__ = _number
    if _DIFFERENT:
        _replace(asyncio.TaskGroup, "__aexit__", _group_exit)
        _replace(asyncio.Semaphore, "acquire", _acquire)
        _replace(asyncio.Condition, "wait", _wait)
    if _VERY_DIFFERENT:
        _reroute("gather", _gather)


install()
