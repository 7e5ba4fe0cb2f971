"""Interleaved rounds: A B C, A B C, A B C. What drifts on a shared machine then drifts for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .probe import ProbeFailed, folder

Result = dict[str, Any]
Contestant = Callable[[Path], Result]
"""Runs one round in the given folder (shared by the contestants of that round) and returns its result."""


def interleave(
    rounds: int, contestants: Mapping[str, Contestant], out: dict[str, str] | None = None
) -> dict[str, list[Result]]:
    """Every contestant once per round, in the given order. Raises `ProbeFailed`.

    With `out`, one that fails or hangs is out of all rounds, and noted there with the reason; the others
    go on. Whose absence means that nothing can be compared is for the caller to say.
    """
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(rounds):
        with folder() as shared:
            for name in list(results):
                try:
                    results[name].append(contestants[name](shared))
                except ProbeFailed as error:
                    if out is None:
                        raise
                    out[name] = str(error).strip()
                    del results[name]
    return results


def column(results: list[Result], key: str) -> list[float]:
    """One figure of every round."""
    return [float(result[key]) for result in results]
