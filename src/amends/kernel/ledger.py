"""The ledger: what the journal says, and nothing else.

**Theory of operation.**  `take` applies an event, `issue` a command, both at a journal position.
The ledger is the fold of these two over the rows, so it is the same whether they are live, replayed
with the saga's code, or folded without it; that is why a completed execution can be undone weeks
and deploys later.  It never decides anything: decisions are commands.

An *action* (a step, a child, an ad hoc compensation) goes through

    open ──► succeeded | rejected | unknown          (its outcome, at row `end`)
                 └────────────► undo: running ⇄ parked ──► done | residue

`hold` parks an open action for a person instead of giving it an outcome.  What must still be undone is
never stored: it is every action that succeeded or is unknown, has an undo, and is not undone.

How each event is taken stands in `taking`, how each command in `issuing`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from . import entries as e
from .actions import OPEN, Action, within
from .entries import NULL, Fault, Raw, Residue
from .forking import Forked
from .issuing import ISSUE
from .phases import BACKWARD, FORWARD, UNWINDING
from .taking import TAKE


class Ledger:
    """The state of one execution as its journal tells it."""

    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}
        self.timers: dict[str, float] = {}
        self.signals: dict[str, deque[Raw]] = {}
        self.signal_keys: set[str] = set()
        self.awaited: dict[str, str] = {}
        self.given: tuple[str, Raw] = ("", NULL)
        self.patches: set[str] = set()
        self.residue: list[Residue] = []
        self.started: e.Started | None = None
        self.forked: Forked | None = None
        self.run = 0
        self.phase = FORWARD
        self.cause = ""
        self.fault: Fault | None = None
        self.value = NULL
        self.status = ""
        self.cancel: e.CancelRequested | None = None
        self.pivoted = False
        self.asking = ""
        self.asked_by: list[str] = []
        self.troubled: dict[str, Action] = {}
        self.terminated: e.TerminateRequested | None = None
        self.next_args: Raw | None = None
        self.deadline: float | None = None
        self.now = 0.0
        self._instants = 0

    # ------------------------------------------------------------ questions

    @property
    def doomed(self) -> bool:
        """Will it certainly be undone? (While the ancestors are asked about the pivot, a cancel waits.)"""
        if self.phase == FORWARD:
            return self.cancel is not None and not self.asking
        return self.phase in (UNWINDING, BACKWARD)

    @property
    def closing(self) -> bool:
        """May the saga's code start nothing new any more (unless shielded)?"""
        return self.phase != FORWARD or (self.cancel is not None and not self.asking)

    def owed(self, scope: str = "") -> list[Action]:
        """What must be undone, within a savepoint's scope or (empty) in all."""
        return [a for a in self.actions.values() if a.owed and within(a.scope, scope)]

    def open(self) -> Iterator[Action]:
        """Actions without an outcome yet."""
        return (a for a in self.actions.values() if a.outcome == OPEN)

    def parked(self) -> list[Action]:
        """Actions that wait for a person."""
        if not self.troubled:
            return []
        self.troubled = {id: action for id, action in self.troubled.items() if action.parked}
        return list(self.troubled.values())

    def struggling(self) -> list[Action]:
        """Actions of which an attempt failed and another is due: a person may decide instead of waiting."""
        return [a for a in self.actions.values() if a.struggling]

    def chosen(self, request: e.Retried | e.Skipped | e.Resolved) -> list[Action]:
        """What an operator's request is for: the action it names, else all that is parked, else all that
        struggles.
        """
        if request.id:
            action = self.actions.get(request.id)
            found = [action] if action is not None and (action.parked or action.struggling) else []
        else:
            found = self.parked() or self.struggling()
        if type(request) is e.Retried and request.args != NULL:
            return [a for a in found if a.takes_arguments]
        return found

    # ------------------------------------------------------------ the fold

    def take(self, event: e.Event, position: int) -> None:
        """Apply an event of the row at `position`."""
        TAKE[type(event)](self, event, position)

    def issue(self, command: e.Command, position: int) -> None:
        """Apply a command of the row at `position`."""
        handler = ISSUE.get(type(command))
        if handler is not None:  # some only show in the history
            handler(self, command, position)

    def instant(self, position: int) -> float:
        """An order number within `position` for what starts and ends in one row."""
        self._instants += 1
        return position + self._instants * 1e-7
