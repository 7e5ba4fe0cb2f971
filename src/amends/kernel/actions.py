"""One action of an execution: its outcome, and what became of its undoing (see `ledger`)."""

from __future__ import annotations

import msgspec

from . import entries as e
from .entries import NULL, Fault, Raw

OPEN, SUCCEEDED, REJECTED, UNKNOWN = "", "succeeded", "rejected", "unknown"
UNDO_RUNNING, UNDO_PARKED, UNDO_DONE, UNDO_RESIDUE = "running", "parked", "done", "residue"
SETTLED = frozenset({UNDO_DONE, UNDO_RESIDUE})


class Action(msgspec.Struct, eq=False, gc=False):
    """One action of an execution, as journaled. `start` and `end` order it (see `backward`).

    origin: the uid of the execution that began it, where this one goes on from that (see `forking`).
    """

    id: str
    kind: str
    name: str
    args: Raw
    undo: int
    scope: str
    position: int
    start: float
    run: int = 0
    opened_at: float = 0.0
    end: float | None = None
    outcome: str = OPEN
    value: Raw = NULL
    fault: Fault | None = None
    hold: str = ""
    attempts: int = 0
    tainted: bool = False
    retry_at: float = 0.0
    interrupted: bool = False
    key_suffix: str = ""
    origin: str = ""
    uid: str = ""
    version: str = ""
    undo_state: str = ""
    undo_attempts: int = 0
    undo_retry_at: float = 0.0
    undo_fault: Fault | None = None
    undo_opened_at: float = 0.0

    @property
    def owed(self) -> bool:
        """Must it (still) be undone if the execution goes backward?"""
        return (
            self.undo != e.UNDO_NONE
            and self.outcome in (SUCCEEDED, UNKNOWN)
            and self.undo_state not in SETTLED
        )

    @property
    def parked(self) -> bool:
        """Does it wait for a person?"""
        return bool(self.hold) or self.undo_state == UNDO_PARKED

    @property
    def struggling(self) -> bool:
        """Has an attempt failed, and is the next one due (or under way)?"""
        if self.outcome == OPEN:
            return self.retry_at > 0 and not (self.hold or self.interrupted)
        return self.undo_state == UNDO_RUNNING and self.undo_retry_at > 0

    @property
    def takes_arguments(self) -> bool:
        """May an operator replace its arguments? (Certainly the old ones had no effect.)"""
        return bool(self.hold) and not self.tainted


def within(scope: str, of: str) -> bool:
    """Is `scope` the savepoint scope `of`, or inside it? (Scopes are paths; empty is the whole saga.)"""
    return scope == of or not of or scope.startswith(of + "/")
