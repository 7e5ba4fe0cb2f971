"""Which fault meets which request: drawn from the seed, the order, the action and the attempt, nothing else.

So a seed brings the same faults again, however the processes are scheduled.  Two draws:

- the *fate* of an action holds for all its attempts: rejected by the service, or never answered
  (with the effect, without it, or with the first attempt coming in only after the undo);
- an *accident* befalls one attempt, and the next one goes through.

Only the first `CLUMSY` attempts may have an accident, and only actions that can still be given up have a
fate: whatever must come to an end does.
"""

from __future__ import annotations

import enum
import random
from typing import NamedTuple


class Fault(enum.StrEnum):
    """A kind of fault, in the words that the demo shows."""

    REJECTED = "rejected by the service"
    BEFORE = "timeout before the effect"
    AFTER = "timeout after the effect"
    LOST = "reply lost"
    TWICE = "delivered twice"
    LATE = "arrived late"


class Request(NamedTuple):
    """What a fault depends on. `attempt` counts the arrivals of this request at the service, from 1."""

    order: str
    account: str
    direction: str
    attempt: int


FATES = {Fault.REJECTED: 0.04, Fault.BEFORE: 0.015, Fault.AFTER: 0.02, Fault.LATE: 0.025}
ACCIDENTS = {Fault.BEFORE: 0.03, Fault.AFTER: 0.03, Fault.LOST: 0.04, Fault.TWICE: 0.06}
LATE_ACCIDENT = {Fault.LATE: 0.02}
CLUMSY = 2  # attempts that may have an accident
REFUSALS = {"money": "card declined", "stock": "sold out", "label": "no such address"}


class Plan:
    """The faults of a run.

    doomed: may actions fail for good? Not when the outcome of each order is given beforehand.
    """

    def __init__(self, seed: int, *, doomed: bool) -> None:
        self._seed = seed
        self._doomed = doomed

    def fault(self, request: Request) -> Fault | None:
        """The fault that this request meets, or None."""
        if fate := self._fate(request):
            # What comes in after the undo is the first attempt; nothing is ever heard of the others.
            return Fault.BEFORE if fate is Fault.LATE and request.attempt > 1 else fate
        if request.attempt > CLUMSY:
            return None
        late = LATE_ACCIDENT if request.direction == "do" and request.attempt == 1 else {}
        return _draw(self._chance(*request), ACCIDENTS | late)

    def refusal(self, order: str, account: str) -> str | None:
        """Why the service refuses this order, if it does."""
        fate = self._fate(Request(order, account, "do", 1))
        return REFUSALS[account] if fate is Fault.REJECTED else None

    def _fate(self, request: Request) -> Fault | None:
        """What all attempts of an action have in common."""
        if not self._doomed or request.direction == "undo" or request.account not in REFUSALS:
            return None
        return _draw(self._chance(request.order, request.account), FATES)

    def _chance(self, *what: object) -> random.Random:
        return random.Random(" ".join(map(str, (self._seed, *what))))


def _draw(chance: random.Random, odds: dict[Fault, float]) -> Fault | None:
    point = chance.random()
    for fault, share in odds.items():
        if point < share:
            return fault
        point -= share
    return None
