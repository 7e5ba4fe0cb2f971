"""Signals that end a program which serves. Before and after they are as the program had them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Refused

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_to_stop() -> Iterator[asyncio.Event]:
    """While inside, SIGTERM and SIGINT set the event. Raises `Refused` where signals cannot be heard."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in NUMBERS}
    try:
        for number in NUMBERS:
            loop.add_signal_handler(number, stop.set)
    except (ValueError, RuntimeError) as error:  # also NotImplementedError: not on this platform
        raise Refused(
            "serve() hears SIGTERM and SIGINT, which only the main thread of a program can",
            hint="elsewhere keep the engine open (`async with Engine(…)`) until your own program says stop",
        ) from error
    try:
        yield stop
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            if handler is not None:  # set from Python
                signal.signal(number, handler)
