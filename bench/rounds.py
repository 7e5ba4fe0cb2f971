"""Interleaved rounds: A B C, A B C, A B C. What drifts on a shared machine then drifts for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .probe import folder

Result = dict[str, Any]
Contestant = Callable[[Path], Result]
"""Runs one round in the given folder (shared by the contestants of that round) and returns its result."""


def interleave(rounds: int, contestants: Mapping[str, Contestant]) -> dict[str, list[Result]]:
    """Every contestant once per round, in the given order."""
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(rounds):
        with folder() as shared:
            for name, run in contestants.items():
                results[name].append(run(shared))
    return results


def column(results: list[Result], key: str) -> list[float]:
    """One figure of every round."""
    return [float(result[key]) for result in results]
