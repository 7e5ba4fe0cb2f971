"""Where the figures were taken: interpreter, cores, disk flush. No names of machines or people."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from .measure import percentile
from .probe import folder


def describe() -> dict[str, Any]:
    """What a reader needs to judge the absolute figures."""
    with folder() as scratch:
        flush = flush_seconds(scratch / "flush")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
        "fsync_p50_ms": percentile(flush, 0.5) * 1e3,
        "fsync_p99_ms": percentile(flush, 0.99) * 1e3,
    }


def wanted_and_stolen() -> tuple[int, int]:
    """Ticks in which somebody here wanted a processor, and those of them in which the host of this (virtual)
    machine had given it to others; since the start. Zeros where the system does not say."""
    try:
        told = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except FileNotFoundError:
        return 0, 0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, told[1:9])
    return user + nice + system + irq + softirq + steal, steal


def flush_seconds(path: Path, times: int = 200) -> list[float]:
    """How long the disk under the checkout takes to append 4 KiB durably. Under 0.05 ms, doubt that it
    does."""
    each = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            each.append(time.perf_counter() - began)
    return each
