"""The same commands in every process, whatever strings and addresses hash to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PROCESSES = 10


def digests(seed: int, *options: str) -> dict[str, str]:
    """Digests of all programs, from a process with that hash seed and its memory scattered by it."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.kernel.parity", "digest", "--shake", str(seed), *options],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def gather(seeds: range, *options: str) -> list[dict[str, str]]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda seed: digests(seed, *options), seeds))


@pytest.mark.slow
def test_all_processes_issue_the_same_commands() -> None:
    first, *others = gather(range(1, PROCESSES + 1))
    assert len(first) >= 70
    for other in others:
        assert {name for name in first if first[name] != other[name]} == set()


@pytest.mark.slow
def test_hashing_by_address_would_be_noticed() -> None:
    first, *others = gather(range(21, 25), "--by-address")
    assert any(first[name] != other[name] for other in others for name in first)
