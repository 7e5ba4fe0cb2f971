"""The bare loop: the least that can drive the same saga coroutines, as the yardstick for replay.

C tasks and C futures of asyncio on a loop that is a deque; a step is answered the moment it is asked for.
No ids, no journal, no encoding, no comparison, no conversion of results, no budget, no guard.
Deliberately not built from amends' own loop, so that a slow loop of ours cannot make ours look good.
"""

from __future__ import annotations

import asyncio
from asyncio import _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any


class Handle:
    """A callback that can be cancelled."""

    __slots__ = ("args", "callback", "context")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None) -> None:
        self.callback = callback
        self.args = args
        self.context = context or copy_context()

    def cancel(self) -> None:
        self.callback = _nothing


def _future(loop: Any) -> asyncio.Future[Any]:
    return asyncio.Future(loop=loop)


def _nothing(*args: object) -> None:
    return None


class BareLoop:
    """Ready callbacks in order, and the futures of the steps that were asked for."""

    def __init__(self) -> None:
        self.amends_port = self
        self.ready: deque[Handle] = deque()
        self.asked: deque[asyncio.Future[Any]] = deque()
        self.replaying = True

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Handle:
        handle = Handle(callback, args, context)
        self.ready.append(handle)
        return handle

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def run_step(self, call: object) -> asyncio.Future[Any]:
        """What awaiting a step comes to (the port of definitions)."""
        future = _future(self)
        self.asked.append(future)
        return future

    def receive(self, name: str, type_: Any) -> asyncio.Future[Any]:
        """A signal that never comes."""
        return _future(self)

    def drain(self) -> None:
        """Run until nothing is ready."""
        ready = self.ready
        while ready:
            handle = ready.popleft()
            handle.context.run(handle.callback, *handle.args)


def drive(body: Coroutine[Any, Any, Any], answer: Any, activations: int) -> None:
    """Run one coroutine for that many activations, each of its steps answered with `answer`; then give it
    up."""
    loop: Any = BareLoop()  # what C tasks ask of a loop, and no more
    _set_running_loop(loop)
    try:
        task: asyncio.Task[Any] = asyncio.Task(body, loop=loop)
        loop.drain()
        for _ in range(activations - 1):
            loop.asked.popleft().set_result(answer)
            loop.drain()
        task.cancel()
        loop.drain()
    finally:
        _set_running_loop(None)
