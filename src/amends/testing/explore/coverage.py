"""Saga coverage: which outcomes of which steps were exercised, over all explorations of a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .report import Report

FORWARD = ("succeeds", "is rejected", "fails", "loses the reply", "is stopped")
UNDO = ("undo after success", "undo after unknown", "undo with nothing", "undo, failing", "undo, repeated")


class Covered(msgspec.Struct, kw_only=True):
    """A step: how often each outcome was exercised, and which were not."""

    step: str
    counts: dict[str, int]
    missed: list[str]

    @property
    def share(self) -> float:
        """Exercised outcomes, as a fraction of all."""
        wanted = len(self.missed) + sum(1 for name in self.counts if name in (*FORWARD, *UNDO))
        return 1 - len(self.missed) / wanted if wanted else 1.0


_listeners: list[Callable[[Report], None]] = []


def listen(listener: Callable[[Report], None]) -> Callable[[], None]:
    """Tell `listener` of each report from now on; the result stops that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def record(report: Report) -> None:
    """A report was made."""
    for listener in _listeners:
        listener(report)
