"""The backward way: which compensations may run now.

**Theory of operation.**  Action A *precedes* B iff A's outcome stands in a row not after the row
that holds B's command.  A's compensation waits until that of every B it precedes is settled or
parked; actions that overlapped are undone in parallel.

Rows give each action an interval: its command starts it at ``position + 0.5`` (after the row's
events), its outcome, an event, ends it at ``position``.  Then A precedes B iff ``A.end <=
B.start``.  An ad hoc compensation starts and ends at one point within its row, ordered among its
like by creation.

That is an interval order, so one number decides: A may run iff ``A.end`` lies past the latest start
of all that is not yet settled.  The action with that latest start may always run, hence there is no
deadlock.  (For an ad hoc compensation the two are one number, so "past" includes "at": no other
action ends there.)

So two heaps make a plan: one by start, whose top says how far back the way is free, and one by end,
whose top is the next to become free.  An action passes through each once, so a plan of n actions
costs O(n log n) altogether, however many activations it takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from .actions import OPEN, UNDO_PARKED, Action

Heap = list[tuple[float, int, Action]]


class Plan:
    """A backward plan at work: names each compensation once, when its turn has come.

    `members` are the actions still owed, and those whose outcome is still to come.  What becomes of them is
    read off the actions; only an open one that ended, or a parked one that is tried again, must
    `enter` anew.
    """

    __slots__ = ("_entered", "_unbegun", "_waiting")

    def __init__(self, members: Iterable[Action]) -> None:
        self._waiting: Heap = []
        self._unbegun: Heap = []
        self._entered = 0
        for action in members:
            self._waiting.append((-action.start, self._entered, action))
            if action.end is not None and not action.undo_state:
                self._unbegun.append((-action.end, self._entered, action))
            self._entered += 1
        heapify(self._waiting)
        heapify(self._unbegun)

    def enter(self, action: Action) -> None:
        """A member counts again."""
        heappush(self._waiting, (-action.start, self._entered, action))
        if action.end is not None and not action.undo_state:
            heappush(self._unbegun, (-action.end, self._entered, action))
        self._entered += 1

    @property
    def waits(self) -> bool:
        """Is anything left that is neither settled nor parked?"""
        waiting = self._waiting
        while waiting and not _holds_back(waiting[0][2]):
            heappop(waiting)
        return bool(waiting)

    def turn(self) -> list[Action]:
        """The compensations that may start now; the caller starts them all."""
        if not self.waits:
            return []
        unbegun, latest = self._unbegun, -self._waiting[0][0]
        found: list[tuple[int, Action]] = []
        while unbegun and -unbegun[0][0] >= latest:
            _, number, action = heappop(unbegun)
            if action.owed and not action.undo_state:
                found.append((number, action))
        found.sort(key=_number)
        return [action for _, action in found]


def _holds_back(action: Action) -> bool:
    """Parked compensations hold nobody back; running ones do, and so does what has not ended."""
    return action.outcome == OPEN or (action.owed and action.undo_state != UNDO_PARKED)


def _number(found: tuple[int, Action]) -> int:
    return found[0]
