"""Calls that are not yet under way: what `StepCall` and `SagaCall` have in common.

A call is a coroutine, so that `create_task`, `gather` and `TaskGroup` take it as it is, and like one it is
awaited once.  One that saga code drops without awaiting did nothing; Python's own warning for that is
given, too.  An execution that is merely discarded (evicted, or at its end) warns of nothing, and neither does
a replay: there the code was told, or had no say.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from ..errors import Refused

R = TypeVar("R")


class Call(Coroutine[Any, Any, R]):
    """See the module's head. Subclasses set the slots themselves (a call a step: every frame counts)."""

    __slots__ = ("_driver", "_loop", "_used")

    _driver: Generator[Any, Any, R] | None
    _loop: Any
    _used: bool

    def _again(self) -> Refused:
        """The error of who awaits it a second time."""
        return Refused(
            f"{self!r} was awaited before; a call is one action, and is awaited once",
            hint="call it again for another action, or keep the first result (asyncio.create_task(…) "
            "makes something that can be awaited by many)",
        )

    def send(self, value: Any) -> Any:
        if self._driver is None:
            self._driver = self.__await__()
        return self._driver.send(value)

    def throw(self, *exc: Any) -> Any:
        if self._driver is None:  # like a coroutine that never started: nothing is issued
            self._used = True
            self._driver = _closed()
        return self._driver.throw(*exc)

    def close(self) -> None:
        self._used = True
        if self._driver is not None:
            self._driver.close()

    def __del__(self) -> None:
        if self._used:
            return
        loop = self._loop
        port = getattr(loop, "amends_port", None)
        if port is not None and not loop.dead and not port.replaying:
            message = f"{self!r} was never awaited: nothing was done"
            warnings.warn(message, RuntimeWarning, stacklevel=2, source=self)


def _closed() -> Generator[Any, Any, Any]:
    """What a call turns into that was thrown into before it started."""
    yield
