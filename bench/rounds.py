"""Interleaved rounds: A B C, A B C, A B C. What drifts on a shared machine then drifts for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from .probe import ProbeFailed, folder

Result = dict[str, Any]
Contestant = Callable[[Path], Result]
"""Runs one round in the given folder (shared by the contestants of that round) and returns its result."""


def interleave(
    rounds: int,
    contestants: Mapping[str, Contestant],
    needed: Collection[str] | None = None,
    out: dict[str, str] | None = None,
) -> dict[str, list[Result]]:
    """Every contestant once per round, in the given order. Raises `ProbeFailed`.

    With `needed` (default: all), any other that fails or hangs is out of all rounds, and noted in `out`
    with the reason; the others go on.
    """
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(rounds):
        with folder() as shared:
            for name in list(results):
                try:
                    results[name].append(contestants[name](shared))
                except ProbeFailed as error:
                    if needed is None or name in needed:
                        raise
                    del results[name]
                    if out is not None:
                        out[name] = str(error).strip()
    return results


def column(results: list[Result], key: str) -> list[float]:
    """One figure of every round."""
    return [float(result[key]) for result in results]
