"""In which order ready callbacks run: as they come, uniformly at random, or by random priorities."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any, Protocol

_PATIENCE = 40  # turns in a row after which an actor that spins steps back


def actor(handle: asyncio.Handle) -> Any:
    """Whose callback it is: its task, or the object whose method it is."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    callback = getattr(callback, "func", callback)
    owner = getattr(callback, "__self__", None)
    return callback if owner is None else owner


class Order(Protocol):
    """Chooses one of the ready callbacks."""

    def pick(self, ready: deque[asyncio.Handle]) -> int:
        """The place of the callback to run; `ready` holds two or more."""
        ...


class Fifo:
    """As asyncio does."""

    def pick(self, ready: deque[asyncio.Handle]) -> int:
        """The oldest."""
        return 0


class Uniform:
    """Any actor, with equal chance for each callback; an actor's callbacks keep their order."""

    def __init__(self, chance: random.Random) -> None:
        self._random = chance.random

    def pick(self, ready: deque[asyncio.Handle]) -> int:
        """A random one, or the oldest of the same actor."""
        place = int(self._random() * len(ready))
        if place:
            whose = actor(ready[place])
            for earlier in range(place):
                if actor(ready[earlier]) is whose:
                    return earlier
        return place


class Pct:
    """Probabilistic concurrency testing: who has the highest priority runs; priorities are random, and at few
    random turns the running one falls to the bottom.  A bug that needs d orderings is met with probability of
    at least 1/(n·k^(d-1)) for n actors and k turns (Burckhardt and others, ASPLOS 2010).
    """

    def __init__(self, chance: random.Random, *, changes: int = 3, turns: int = 400) -> None:
        self._chance = chance
        self._changes = {chance.randrange(turns) for _ in range(changes)}
        self._priorities: dict[int, tuple[float, Any]] = {}
        self._turn = 0
        self._bottom = 0.0
        self._last: Any = None
        self._row = 0

    def pick(self, ready: deque[asyncio.Handle]) -> int:
        """The oldest callback of the actor with the highest priority."""
        best, place, chosen = -1e300, 0, None
        for index, handle in enumerate(ready):
            whose = actor(handle)
            known = self._priorities.get(id(whose))
            if known is None:  # the object is kept, so that its id is not given away
                known = self._priorities[id(whose)] = (self._chance.random(), whose)
            if known[0] > best:
                best, place, chosen = known[0], index, whose
        self._turn += 1
        self._row = self._row + 1 if chosen is self._last else 0
        self._last = chosen
        if self._turn in self._changes or self._row > _PATIENCE:
            self._bottom -= 1.0
            self._priorities[id(chosen)] = (self._bottom, chosen)
            self._row = 0
        return place


def order_named(name: str, chance: random.Random) -> Order:
    """``fifo``, ``uniform`` or ``pct``."""
    if name == "pct":
        return Pct(chance)
    return Uniform(chance) if name == "uniform" else Fifo()
