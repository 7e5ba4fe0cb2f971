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
deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable

from .actions import UNDO_PARKED, UNDO_RUNNING, Action


def ready(owed: Iterable[Action]) -> list[Action]:
    """Of the actions still owed (settled ones left out), those whose compensation may start now.

    Parked compensations hold nobody back, running ones do.
    """
    waiting = [a for a in owed if a.undo_state != UNDO_PARKED]
    if not waiting:
        return []
    last = max(waiting, key=_start)
    latest = last.start
    return [
        a
        for a in waiting
        if a.undo_state != UNDO_RUNNING and (a is last or (a.end is not None and a.end > latest))
    ]


def _start(action: Action) -> float:
    return action.start
