"""Settings of a worker, all with defaults that suit one machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import DefinitionError
from ..kernel.limits import Limits


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _seconds(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and least <= value < math.inf


_EXPECTED: Sequence[tuple[Sequence[str], Callable[[Any], bool], str]] = (
    (("steps", "threads", "batch", "claim", "live"), lambda x: _whole(x, 1), "a whole number, at least 1"),
    (("resident",), lambda x: _whole(x, 0), "a whole number, not negative"),
    (("poll", "lease"), lambda x: _seconds(x, 0.001), "seconds, at least 0.001"),
    (("linger", "grace"), lambda x: _seconds(x, 0), "seconds, not negative"),
    (("retention",), lambda x: x is None or _seconds(x, 0), "seconds, not negative, or None"),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works (times in seconds).

    steps: attempts running at once.  threads: of these, `def` steps in threads.  resident: idle
    executions kept in memory.  linger: how long an idle execution stays in memory, and how near a
    timer must be to wait for it in memory.  batch: executions in one commit at most. claim:
    executions claimed at once.  live: executions in memory at once before claiming pauses.  poll:
    ceiling between looks for news from other processes.  grace: how long a drain waits for running
    attempts, and how long after its timeout an attempt that was lost with its worker is believed to
    be still running.
    lease: how long a task of a queue is somebody's without a sign of life.
    shares: weights of namespaces when due executions are claimed (default 1): of two that both have
    more than enough, one with the weight 3 gets three times as many.
    retention: what ended longer ago is deleted, a few at a time, in the background; None: never.
    tune_gc: raise the thresholds of Python's garbage collector while the engine is open, unless the
    program has set its own.
    """

    steps: int = 1000
    threads: int = 32
    resident: int = 1000
    linger: float = 5.0
    batch: int = 512
    claim: int = 256
    live: int = 5000
    poll: float = 0.1
    grace: float = 5.0
    lease: float = 15.0
    shares: Mapping[str, float] | None = None
    retention: float | None = None
    tune_gc: bool = True
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Raise `DefinitionError` for what a worker would stand still with, or run in circles."""
        for names, fits, expected in _EXPECTED:
            for name in names:
                if not fits(value := getattr(self, name)):
                    raise DefinitionError(
                        f"Settings({name}={value!r}): expected {expected}",
                        hint="leave it out for the default",
                    )
        for namespace, weight in (self.shares or {}).items():
            if not (isinstance(weight, (int, float)) and 0 < weight < math.inf):
                raise DefinitionError(
                    f"the share of the namespace {namespace!r} is {weight!r}; expected a number over 0",
                    hint='Settings(shares={"gold": 3}): others have 1',
                )
