"""Errors for what a saga must not do: they show the wrong line and the right one."""

from __future__ import annotations

import asyncio
import inspect
import linecache
from types import FrameType, TracebackType
from typing import Any, NoReturn

from ..errors import ForeignCall

_STEP = "await my_step(…)"
_THREAD = "await my_step(…)  # a plain `def` marked @step runs in a thread"
_SIGNAL = "await my_signal.receive()  # the other side calls handle.send(my_signal, value)"

_RIGHT = {
    "run_in_executor": (_THREAD, "put the blocking call into a plain `def` marked @step"),
    "set_default_executor": (_THREAD, "plain `def` steps have a thread pool already"),
    "call_soon_threadsafe": (_SIGNAL, "other threads and tasks reach a saga by signals only"),
    "add_signal_handler": (_SIGNAL, "turn the process's signal into a saga's: handle.send(my_signal, value)"),
    "create_connection": (_STEP, "open connections in a step, or hold a client as a Resource"),
    "subprocess_exec": (_STEP, "start the process and wait for it in an `async def` marked @step"),
    "subprocess_shell": (_STEP, "start the process and wait for it in an `async def` marked @step"),
    "getaddrinfo": (_STEP, "look the name up in an `async def` marked @step"),
    "run_until_complete": ("await it", "a saga's code runs in a loop already"),
    "run_forever": ("return", "a saga's code runs in a loop already, and ends when the function returns"),
    "stop": ("return", "a saga ends when its function returns or raises"),
    "close": ("return", "a saga ends when its function returns or raises"),
}
_OTHERWISE = (_STEP, "do it in an `async def` marked @step and await the step")

_HERE = __file__.replace("\\", "/").rpartition("/kernel/")[0] + "/"
_LIBRARY = (asyncio.__file__ or "").replace("\\", "/").rpartition("asyncio/")[0]
_FOREIGN_LOOP = "attached to a different loop"


def teach(what: str, hint: str, right: str = _STEP) -> ForeignCall:
    """An error for `what`, with the user's own line beside the right one."""
    return ForeignCall(_said(what, _line_of_caller(), right), hint=hint)


def homemade_task() -> ForeignCall:
    """An error for code that runs in an ``asyncio.Task(…)``, which has no place in the saga."""
    right = "task = asyncio.create_task(…)"
    return teach("a task made by its class", "make tasks with asyncio.create_task() or a TaskGroup", right)


def _said(what: str, line: tuple[str, str], right: str) -> str:
    message = f"{what} cannot be replayed, so saga code may not use it"
    place, text = line
    if text:
        message += f"\n    {place}\n        wrong:  {text}\n        right:  {right}"
    return message


def _line_of_caller() -> tuple[str, str]:
    """The nearest line of the user's own code; failing that, of code outside asyncio and amends."""
    frame: FrameType | None = inspect.currentframe()
    second = ("", "")
    while frame is not None:
        name = frame.f_code.co_filename
        kind = _kind(name)
        if kind == "own":
            return _line(name, frame.f_lineno)
        if kind == "other" and not second[0]:
            second = _line(name, frame.f_lineno)
        frame = frame.f_back
    return second


def _kind(file: str) -> str:
    """Whose code a file holds: the user's ``own``, some ``other`` library's, or ours (and asyncio's)."""
    file = file.replace("\\", "/")
    if file.startswith((_HERE, "<", _LIBRARY + "asyncio/")):
        return "ours"
    if "/site-packages/" in file or "/dist-packages/" in file or file.startswith(_LIBRARY):
        return "other"
    return "own"


def _line(file: str, number: int) -> tuple[str, str]:
    return f"{file}:{number}", linecache.getline(file, number).strip()


def explained(error: BaseException) -> BaseException:
    """The teaching error for what asyncio says of a future of another loop; any other error as it is."""
    if type(error) is not RuntimeError or _FOREIGN_LOOP not in str(error):
        return error
    line = ("", "")
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _kind(file) == "own":
            line = _line(file, trace.tb_lineno)
        trace = trace.tb_next
    better = ForeignCall(
        _said("a future of another event loop", line, _SIGNAL),
        hint="a result from outside comes as a signal, or from a step that waits for it",
    )
    better.__cause__ = error
    return better


class Surface(asyncio.AbstractEventLoop):
    """What asyncio may ask of any loop and always gets the same answer to."""

    # asyncio asks this for every future: a built-in that answers False costs half of a function.
    get_debug = bool

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_exception_handler(self) -> None:
        return None


def _refusal(name: str) -> Any:
    right, hint = _RIGHT.get(name, _OTHERWISE)

    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise teach(f"loop.{name}()", hint, right)

    async def refuse_async(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise teach(f"loop.{name}()", hint, right)

    original = getattr(asyncio.AbstractEventLoop, name)
    chosen: Any = refuse_async if inspect.iscoroutinefunction(original) else refuse
    chosen.__name__ = name
    return chosen


def forbid(loop: type) -> None:
    """Give `loop` a teaching refusal for each method of an event loop that it does not have itself."""
    for name in dir(asyncio.AbstractEventLoop):
        if not name.startswith("_") and name not in vars(loop) and name not in vars(Surface):
            setattr(loop, name, _refusal(name))
