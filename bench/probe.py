"""Run one measurement in a process of its own, which prints one JSON object as its last line.

Every contestant (amends, the peer, the raw limit) is measured so: a fresh process, the same machine state,
no garbage of the one before it, and the clock is read inside, after start-up and warm-up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "bench" / ".scratch"
"""On the disk of the checkout, because a temporary folder in memory would make every fsync free."""


class ProbeFailed(RuntimeError):
    """A measurement's process ended without a result."""


def command(module: str, what: str, parameters: Mapping[str, Any], python: str = "") -> list[str]:
    """The argument list of a measurement's process."""
    return [python or sys.executable, "-m", module, what, json.dumps(parameters)]


def probe(
    module: str, what: str, *, python: str = "", timeout: float = 300, **parameters: Any
) -> dict[str, Any]:
    """Run `python -m module what {parameters}` to its end and return what it printed. Raises
    `ProbeFailed`."""
    try:
        done = subprocess.run(
            command(module, what, parameters, python),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeFailed(f"{module} {what} {parameters} did not end within {timeout:g} s") from error
    if done.returncode != 0:
        raise ProbeFailed(f"{module} {what} {parameters}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return last_line(done.stdout)


def last_line(text: str) -> dict[str, Any]:
    """The JSON object on the last line of a measurement's output."""
    result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return result


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one round's files, removed at its end."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as made:
        yield Path(made)
