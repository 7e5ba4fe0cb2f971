"""Sagas and namespaces that stand still, as a worker knows them (see `store.pausing` for what they are).

**Theory of operation.**  The promise is one of knowledge: *a worker that knows of a pause dispatches nothing
that it covers until it knows of its end.*  It learns by reading the pauses anew: when it begins, and whenever
the store says that something has changed, so at the latest after the poll's ceiling, wherever the pause was
made.  A worker that takes over its predecessor's attempts takes over what that knew.

* *One gate* (`shut`) stands directly before the call of every function of a step or compensation: in the
  attempt's task, in its thread, in its transaction (`Attempts`, `Transactions`).  Between an action's turn
  and that call may lie a wait for a slot, for a thread or for the store, in which the pause becomes known, so
  no earlier check would do (those that there are save work).  What is turned away there was never begun;
  nobody is told an end of it, and whoever goes on sends it again, because its command is open.
* *In memory* an execution that is covered does what a paused one does (`Pausing`): no saga code runs, what
  runs comes to its end, ends become rows, and then it is given up, due at once.  Nobody claims it before the
  end of the pause, not even for a message: requests to cancel or to terminate it wait, too.  (Ends that come
  for an execution that this worker lost meanwhile wait in memory; if the process goes, they count as lost.)
* *What nothing was journaled of* (it has just been started or claimed), and what has ended, is given up as it
  is: what came for it waits in its inbox.
* *The end.*  What is still in memory goes on as after a paused one's resume; the rest is due, and is claimed.
* *Nested sagas* are covered by their own name only.  A parent that waits for one does just that.

What is with a queue counts as begun, as with a paused execution.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..store.pausing import Pause
from ..store.port import Header
from .attempts import PROBE

if TYPE_CHECKING:
    from .worker import Worker

Of = tuple[str, str]
"""A namespace and a saga."""


class Holds:
    """What one worker knows. See the module's head."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.known: frozenset[Of] = frozenset()
        worker.attempts.gate = self

    def shut(self, of: Of) -> bool:
        """Does a pause cover this saga? (Asked from threads, too.)"""
        return _covered(self.known, of)

    def cover(self, header: Header) -> bool:
        """Does a pause cover this execution?"""
        return bool(self.known) and self.shut((header.namespace, header.saga))

    def learn(self, pauses: Iterable[Pause]) -> None:
        """From now on these hold, and no others."""
        known = frozenset((each.namespace, each.saga) for each in pauses)
        if known == self.known:
            return
        worker, before, self.known = self.worker, self.known, known
        worker.attempts.withdraw(
            [each for each in worker.attempts.waiting if each.key[2] != PROBE and self.shut(each.of)]
        )
        lives = [(live, (live.header.namespace, live.header.saga)) for live in worker.lives.values()]
        held = [live for live, of in lives if self.shut(of) and not _covered(before, of)]
        worker.dispatcher.hold_back(*held)
        for live in held:
            worker.residency.wanted(live)
            worker.schedule(live)
        for live, of in lives:
            if _covered(before, of) and not self.shut(of):
                worker.pausing.let_go(live)

    def turned_away(self, uid: str) -> None:
        """Something of this execution was kept from beginning; by now its pause may have ended."""
        live = self.worker.lives.get(uid)
        if live is None:  # whoever loads it finds its command open
            return
        if self.worker.pausing.stands(live):
            self.worker.schedule(live)
        else:
            self.worker.pausing.let_go(live)


def _covered(known: frozenset[Of], of: Of) -> bool:
    return bool(known) and (of in known or (of[0], "") in known)
