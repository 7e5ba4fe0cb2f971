"""Errors for what a saga must not do: they show the wrong line and the right one."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import sys
from typing import Any, NoReturn

from ..errors import ForeignCall

_HINTS = {
    "run_in_executor": "a plain `def` step runs in a thread: put the blocking call into one",
    "call_soon_threadsafe": "other threads reach a saga by signals: handle.send(signal, value)",
    "create_connection": "open connections in a step (or hold a client as a Resource)",
    "create_subprocess_exec": "start the process in a step",
}


def teach(what: str, right: str) -> ForeignCall:
    """An error for `what`, with the user's own line."""
    line, place = _user_line()
    message = f"{what} cannot be replayed, so saga code may not use it"
    if line:
        message += f"\n    {place}\n        wrong:  {line}"
        message += "\n        right:  put it into an `async def` marked @step, and await that"
    return ForeignCall(message, hint=right)


def _user_line() -> tuple[str, str]:
    """The nearest line of code outside asyncio and amends."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if "/asyncio/" not in name and "/amends/" not in name and not name.startswith("<"):
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            return line, f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "", ""


def _refusal(name: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise teach(f"loop.{name}()", _HINTS.get(name, "do it in a @step and await the step"))

    async def refuse_async(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise teach(f"loop.{name}()", _HINTS.get(name, "do it in a @step and await the step"))

    original = getattr(asyncio.AbstractEventLoop, name)
    chosen: Any = refuse_async if inspect.iscoroutinefunction(original) else refuse
    chosen.__name__ = name
    return chosen


def forbid(loop: type) -> None:
    """Give `loop` a teaching refusal for each method of an event loop that it does not have itself."""
    for name in dir(asyncio.AbstractEventLoop):
        if not name.startswith("_") and name not in vars(loop):
            setattr(loop, name, _refusal(name))
