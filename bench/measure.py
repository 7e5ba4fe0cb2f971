"""What a scenario reports: lines of figures, and bars that ratios must meet.

A shared machine changes its speed from one minute to the next, so a ratio is formed within each round
(its contestants ran one after the other) and the median of the rounds' ratios is what meets the bar; the
smallest and the largest are printed beside it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Line:
    """One figure of one contestant: a value per round."""

    who: str
    what: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Bar:
    """A figure that must be at least (or at most) `limit`; `values` holds one per round."""

    what: str
    values: tuple[float, ...]
    limit: float
    at_least: bool = True
    unit: str = "x"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def passed(self) -> bool:
        return self.median >= self.limit if self.at_least else self.median <= self.limit


@dataclass
class Report:
    """The outcome of one scenario. `configurations`: what each contestant said it ran with."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    configurations: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def line(self, who: str, what: str, unit: str, values: Sequence[float]) -> None:
        self.lines.append(Line(who, what, unit, tuple(values)))

    def at_least(self, what: str, values: Sequence[float], limit: float, unit: str = "x") -> None:
        self.bars.append(Bar(what, tuple(values), limit, True, unit))

    def at_most(self, what: str, values: Sequence[float], limit: float, unit: str = "x") -> None:
        self.bars.append(Bar(what, tuple(values), limit, False, unit))


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round: the first over the second."""
    return [a / b for a, b in zip(above, below, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; `share` between 0 and 1. NaN for no values."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and max of durations, in milliseconds."""
    return {
        "count": len(seconds),
        "p50_ms": percentile(seconds, 0.5) * 1e3,
        "p99_ms": percentile(seconds, 0.99) * 1e3,
        "max_ms": max(seconds, default=math.nan) * 1e3,
    }
