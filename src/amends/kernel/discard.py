"""Letting go of saga code that must do nothing more.

**Theory of operation.**  A suspended coroutine cannot just be dropped.  Closing it runs its
`finally` and `__aexit__` blocks, and if nobody closes it the garbage collector does: at any time,
perhaps while the real loop runs, where a step awaited in a `finally` is no longer a command but
*just runs*.  So it is thrown out here and now, on a dead loop whose port is `Evicted`: commands go
nowhere, and what is awaited never comes.  Code that awaits while it unwinds is thrown out at that
await too, until it has ended; what refuses too often is kept for good, because a leak does less
harm than a step that nobody asked for.  (Not by `close()`: that makes a RuntimeError of an await in
a nested `finally`, and drops the nested coroutine as it is.)
"""

from __future__ import annotations

import logging
import random
from asyncio import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..definition.port import Port
    from .loop import SagaLoop

PATIENCE = 100
"""How often code may await something while it is being thrown out."""

STUBBORN: list[Any] = []
"""What would not end."""

_log = logging.getLogger("amends.saga")


class Discarded(BaseException):
    """Thrown into saga code that leaves memory, so that it unwinds. Its steps are not affected; do
    not catch it.
    """


class Evicted:
    """The port of a dead loop: answers questions, drops commands; what is awaited never comes."""

    replaying = True

    def __init__(self, loop: SagaLoop, port: Port) -> None:
        self.now = port.now
        self.current = port.current
        self._loop = loop

    def random(self) -> random.Random:
        """Any would do but those of tasks that still run: when it is drawn, the garbage collector decides."""
        return random.Random(0)

    def run_step(self, *_: Any) -> Future[Any]:
        """Never."""
        return self._loop.create_future()

    run_child = receive = roll_back = pivot = continue_as_new = run_step

    def undo_with(self, *_: Any) -> None:
        """Nothing."""

    leave_savepoint = report = undo_with

    def enter_savepoint(self) -> str:
        """Of no importance."""
        return ""

    def patched(self, change: str) -> bool:
        """Either would do."""
        return False


class Gone:
    """The port and the timers of a loop whose saga has ended: nobody is left who could ask."""

    replaying = True

    def report(self, *_: Any) -> None:
        """Nothing."""

    start_timer = cancel_timer = report


GONE: Any = Gone()


def throw_out(code: Any, *, closing: bool = False) -> tuple[bool, BaseException | None]:
    """End a coroutine (or, `closing`, drive the `aclose()` of an async generator) on a dead, running loop.

    Returns whether it awaited something on the way, and the error it ended with, if that was its own.
    """
    for turn in range(PATIENCE):
        try:
            if closing and not turn:
                code.send(None)
            else:
                code.throw(Discarded("this execution leaves memory"))
        except (Discarded, GeneratorExit, StopIteration, StopAsyncIteration):
            return turn > 0, None
        except BaseException as error:  # noqa: BLE001 - the caller tells whom it concerns
            return turn > 0, error
    _log.warning("%r awaited on and on while it was discarded; it is kept, so that it never runs again", code)
    STUBBORN.append(code)
    return True, None


def discard(code: Any, *, closing: bool = False) -> None:
    """Throw out code whose world has gone; errors of its own are worth a debug line."""
    _, error = throw_out(code, closing=closing)
    if error is not None:
        _log.debug("%r failed while it was discarded", code, exc_info=error)
