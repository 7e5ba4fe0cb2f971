"""What the dead owned, and how fast a worker takes it over.

**Theory of operation.**  A worker that dies owns up to everything that is in flight.  If the living took all
of it as fast as they can, the database would write in seconds what it else writes in minutes, and all that
works on would wait behind it.  So each heir takes over at a pace: all of it within `SPREAD` seconds, but
never fewer than `LEAST` a second (a small estate is nothing to be careful with).  An heir alone then claims a
hundred thousand in about half a minute; several share the work, each adding what one worker adds.

What is taken over goes from the dead to its heir by one change of each header, and what the heir cannot serve
becomes due for others by the same statement (`inherit` in control.sql).  What nobody has taken yet stays with
the dead, found by its lease, whose row goes last.

Time that passes brings an allowance; it never grows over what `CATCH_UP` seconds bring, so that a worker that
was busy with other things does not take much at once afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SPREAD = 30.0
LEAST = 500.0
BEAT = 0.05
CATCH_UP = 0.2


@dataclass
class Estate:
    """Of one that died owning so many executions; found when (`at`, by the worker's clock)."""

    executions: int
    at: float
    told: bool = False

    @property
    def pace(self) -> float:
        """Executions a second that one heir takes over."""
        return max(self.executions / SPREAD, LEAST)


class Estates:
    """Those that one worker knows of, and its allowance; `monotonic` times are given in."""

    def __init__(self) -> None:
        self._found: dict[int, Estate] = {}
        self._since = 0.0

    def __contains__(self, incarnation: int) -> bool:
        return incarnation in self._found

    def add(self, incarnation: int, executions: int, at: float, monotonic: float) -> None:
        """One that died owning so many."""
        if not self._found:
            self._since = monotonic - 2 * BEAT
        self._found[incarnation] = Estate(executions, at)

    def forget(self, incarnation: int) -> None:
        """Nothing is left of it."""
        self._found.pop(incarnation, None)

    def keep(self, unburied: set[int]) -> None:
        """Others have taken the rest of those that are not among these."""
        for incarnation in self._found.keys() - unburied:
            del self._found[incarnation]

    def next(self, now: float, limit: int, monotonic: float) -> tuple[int, Estate, int] | None:
        """Whose turn it is, and how many to take now, of what died by `now`. What is asked for is used up."""
        for incarnation, estate in self._found.items():
            passed = min(monotonic - self._since, CATCH_UP)
            if estate.at <= now and passed >= BEAT:
                count = min(math.ceil(passed * estate.pace), limit)
                self._since = monotonic - passed + count / estate.pace
                return incarnation, estate, count
        return None

    def wake(self, now: float, monotonic: float) -> float | None:
        """Since when there is something to take, or from when on. None: there is nothing."""
        if not self._found:
            return None
        wait = self._since + BEAT - monotonic
        return now + wait if wait > 0 else min(estate.at for estate in self._found.values())
