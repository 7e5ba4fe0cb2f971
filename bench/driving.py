"""What both sides' measuring processes share: the load loop, the clocks, the memory reading.

Standard library only: it also runs inside the peer's own environment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass
class Window:
    """A measured stretch of work: wall seconds, CPU seconds of this process, seconds of each execution."""

    seconds: float = 0.0
    cpu: float = 0.0
    each: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        gc.collect()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


async def in_flight(count: int, width: int, one: Callable[[int], Awaitable[object]], window: Window) -> None:
    """Run `one(0) … one(count - 1)`, `width` of them at any time, each start waiting for an end."""
    numbers = iter(range(count))
    each = window.each

    async def lane() -> None:
        for number in numbers:
            began = time.perf_counter()
            await one(number)
            each.append(time.perf_counter() - began)

    await asyncio.gather(*(lane() for _ in range(width)))


def resident_kib() -> int:
    """Memory of this process that is in RAM, in KiB, after a garbage collection."""
    gc.collect()
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") // 1024
    except FileNotFoundError:
        said = subprocess.run(
            ["/bin/ps", "-o", "rss=", "-p", str(os.getpid())],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(said.stdout)


def answer(result: dict[str, Any]) -> None:
    """Print a measurement's result: one line of JSON, at once."""
    print(json.dumps(result), flush=True)


def asked() -> tuple[str, dict[str, Any]]:
    """The measurement this process was started for, and its parameters."""
    return sys.argv[1], json.loads(sys.argv[2])
