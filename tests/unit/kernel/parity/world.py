"""What the programs of the table are made of: a trace, a step, and the table itself.

A program is an ordinary ``async def`` written against asyncio.  It runs on the real loop and on ours; what it
does with `say` must be the same in both.  A step awaited outside of a saga just runs, so `work` is the same
name in both worlds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from amends import saga, step
from amends.kernel.discard import Discarded

START = 1000.0
"""The loop's time at the start of each program; a tick is one unit of it."""


class Boom(Exception):
    """What a step raises when told to."""


class Bang(Exception):
    """Another one."""


KINDS: dict[str, type[Exception]] = {"boom": Boom, "bang": Bang}


class Trace:
    """Where `say` writes, and what steps were begun."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.begun: list[tuple[float, str]] = []


_now: list[Trace] = [Trace()]


@contextmanager
def writing_to(trace: Trace) -> Iterator[Trace]:
    """Send all that programs say to `trace` for a while."""
    _now.append(trace)
    try:
        yield trace
    finally:
        _now.pop()


def tick() -> float:
    """The loop's time since the start, in ticks."""
    return round(asyncio.get_running_loop().time() - START, 3)


def say(*words: Any) -> None:
    """Write a line into the trace, with the time."""
    _now[-1].said.append([tick(), *words])


def begun(at: float, name: str) -> None:
    """Note that a step was begun."""
    _now[-1].begun.append((round(at, 3), name))


def withdrawn(at: float, name: str) -> None:
    """It was stopped in the very instant in which it began: a saga would not have sent it off."""
    _now[-1].begun.remove((round(at, 3), name))


@step(name="parity.work", raises=(Boom, Bang))
async def work(name: str, ticks: float = 1, fail: str = "") -> str:
    """A step that takes some ticks and returns its name, or fails (``fail="boom: no luck"``).

    Its code runs on the real loop only.  To stop it takes a turn of its own, as in a saga, where it is settled first; unless it
    has not been sent off yet.
    """
    loop: Any = asyncio.get_running_loop()
    start = tick()
    begun(start, name)
    turn = loop.turn
    try:
        await asyncio.sleep(ticks)
    except asyncio.CancelledError:
        if loop.turn == turn:
            withdrawn(start, name)
        else:
            await loop.a_turn_of_its_own()
        raise
    if fail:
        raise failure(fail)
    return name


def failure(text: str) -> Exception:
    """The exception that a step's `fail` asks for."""
    kind, _, message = text.partition(": ")
    return KINDS[kind](message)


def shape(error: BaseException) -> Any:
    """An exception as plain data: type, message, parts, and what it was raised from."""
    if isinstance(error, BaseExceptionGroup):
        return [type(error).__name__, error.message, [shape(part) for part in error.exceptions]]
    said = [type(error).__name__, str(error)]
    if error.__cause__ is not None:
        said.append(f"from {type(error.__cause__).__name__}")
    return said


# ---------------------------------------------------------------- the table

Body = Callable[[], Awaitable[Any]]


NEVER = (99, 0)
"""No Python does this as the kernel does."""


class Program(msgspec.Struct, frozen=True):
    """One program of the table.

    cancel_at: somebody cancels it from outside at that tick.  signals: what is sent to it, and when.  real:
    does it make sense on the real loop too?  since: the first Python whose own asyncio does what the kernel
    does everywhere, and why others do not.
    """

    name: str
    body: Body
    cancel_at: float | None = None
    signals: tuple[tuple[float, str, Any], ...] = ()
    real: bool = True
    since: tuple[int, int] = (3, 11)
    why: str = ""
    saga: Any = None


TABLE: dict[str, Program] = {}


async def observed(body: Body) -> Any:
    """Run a program's body and say how it ended."""
    try:
        value = await body()
    except (Discarded, GeneratorExit):
        raise
    except BaseException as error:
        say("raised", shape(error))
        raise
    say("returned", value)
    return value


def program(body: Body | None = None, **options: Any) -> Any:
    """Put a function into the table (and make a saga of it)."""

    def declare(given: Body) -> Body:
        name = given.__name__

        async def run() -> Any:
            return await observed(given)

        assert name not in TABLE, f"two programs are called {name}"
        TABLE[name] = Program(name, given, saga=saga(name=f"parity.{name}")(run), **options)
        return given

    return declare if body is None else declare(body)
