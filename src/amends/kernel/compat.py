"""One `wait_for` for all Python versions.

Python 3.11's `asyncio.wait_for` runs what it waits for in a task of its own; from 3.12 on it does not.  A journal records task paths, so
the two would not replay each other.  On 3.11 the function (the object itself, so that every ``from asyncio import wait_for`` is reached) first asks whether it runs in
a saga; if so it uses the newer way, else it does just what it did.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

_original: Any = asyncio.wait_for
_installed = sys.version_info >= (3, 12)


async def saga_wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:
    """`asyncio.wait_for` without a task of its own."""
    if timeout is not None and timeout <= 0:
        return await _now_or_never(awaitable)
    async with asyncio.timeout(timeout):
        return await awaitable


async def _now_or_never(awaitable: Awaitable[T]) -> T:
    """No time at all: take the result if it is there, else cancel."""
    task = asyncio.ensure_future(awaitable)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    try:
        return task.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def dispatch(awaitable: Awaitable[Any], timeout: float | None) -> Any:
    """The new body of 3.11's function: which way to go."""
    if getattr(asyncio.get_running_loop(), "amends_port", None) is not None:
        return await saga_wait_for(awaitable, timeout)
    return await _original(awaitable, timeout)


async def _entry(fut, timeout):  # type: ignore[no-untyped-def]
    from amends.kernel.compat import dispatch as _dispatch  # noqa: PLC0415 - runs in asyncio's namespace

    return await _dispatch(fut, timeout)


def install() -> None:
    """Make 3.11 agree with later versions (does nothing on those, or when done already)."""
    global _installed, _original  # noqa: PLW0603 - a patch is process-wide
    if _installed:
        return
    _installed = True
    function: Any = asyncio.wait_for
    _original = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
    function.__code__ = _entry.__code__


install()
