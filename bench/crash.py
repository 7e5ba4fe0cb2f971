"""Kill a measuring process in the middle of its work, and time another one that finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import book
from .probe import ROOT, ProbeFailed, command, probe


def kill_at(
    module: str,
    notes: Path,
    dispatched: int,
    parameters: Mapping[str, Any],
    *,
    python: str = "",
    patience: float = 120,
) -> None:
    """Start `module crash`, and kill it with SIGKILL once its book holds that many dispatched actions."""
    process = subprocess.Popen(
        command(module, "crash", parameters, python),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + patience
    try:
        while book.lines(notes) < dispatched:
            if process.poll() is not None:
                said = process.stderr.read().decode() if process.stderr else ""
                raise ProbeFailed(f"{module} crash ended by itself\n{said[-4000:]}")
            if time.monotonic() > deadline:
                raise ProbeFailed(f"{module} crash did not dispatch {dispatched} actions in {patience} s")
            time.sleep(0.002)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(module: str, *, python: str = "", **parameters: Any) -> dict[str, Any]:
    """Run `module recover` and say how long it took, the start of its interpreter included."""
    began = time.perf_counter()
    result = probe(module, "recover", python=python or sys.executable, **parameters)
    return {**result, "total_seconds": time.perf_counter() - began}
