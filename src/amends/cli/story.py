"""A journal told as what happened: actions with outcome, undoing and times, and what is waited for.

**How.**  The kernel's own `Ledger` folds the rows, so that nothing here can disagree with it; this module
keeps every action it ever saw (the ledger forgets those that are settled) and notes at which row's time each
began, ended and was undone.  No saga code runs and no definition is needed.  A damaged journal is told up to
the damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import CorruptJournal
from ..kernel import entries as e
from ..kernel.actions import OPEN, UNDO_DONE, UNDO_PARKED, UNDO_RESIDUE, UNDO_RUNNING, Action
from ..kernel.entries import Row
from ..kernel.forking import Forked
from ..kernel.ledger import Ledger
from ..kernel.replay import in_order

WAITING, OVER = "waiting", "over"


class Act(msgspec.Struct, kw_only=True):
    """One action: the ledger's, and times in seconds since the epoch (`failed`: that of the last try; `held`:
    since when it waits for a person).

    tries: how many failed, as last noted.
    """

    action: Action
    tries: int = 0
    began: float
    ended: float | None = None
    failed: float | None = None
    held: float | None = None
    undo_began: float | None = None
    undo_ended: float | None = None

    @property
    def state(self) -> str:
        """running, retrying, parked, succeeded, rejected, unknown."""
        action = self.action
        if action.hold:
            return "parked"
        if action.outcome == OPEN and action.kind == "step" and action.retry_at:
            return "retrying"
        return action.outcome or "running"

    @property
    def undo(self) -> str:
        """Empty, or undoing, retrying, parked, undone, residue."""
        action = self.action
        if action.undo_state == UNDO_RUNNING:
            return "retrying" if action.undo_retry_at else "undoing"
        names = {UNDO_PARKED: "parked", UNDO_DONE: "undone", UNDO_RESIDUE: "residue"}
        return names.get(action.undo_state, "") if self.undo_began is not None else ""


class Wait(msgspec.Struct, kw_only=True):
    """Something waited for: a timer (`due`) or a signal (`name`)."""

    id: str
    kind: str
    began: float
    name: str = ""
    due: float | None = None
    ended: float | None = None
    state: str = WAITING


class Moment(msgspec.Struct):
    """A turn in the execution's life: started, pivot, cancel, unwinding, the end …"""

    at: float
    what: str
    text: str = ""


class Story(msgspec.Struct):
    """What a journal tells."""

    acts: list[Act]
    waits: list[Wait]
    moments: list[Moment]
    ledger: Ledger
    rows: int = 0
    began: float | None = None
    last: float | None = None
    broken: str = ""

    @property
    def forked_from(self) -> str | None:
        """The id of the execution whose journal it went on from."""
        return None if self.ledger.forked is None else self.ledger.forked.source

    @property
    def signals(self) -> list[str]:
        """Names of the signals it waits for now."""
        return [wait.name for wait in self.waits if wait.kind == "signal" and wait.state == WAITING]


def tell(rows: Sequence[Row]) -> Story:
    """The story of a journal's rows."""
    teller = _Teller()
    checksum = 0
    for position, row in enumerate(rows):
        try:
            e.opened(row, position, checksum)
            events, commands = e.decode_events(row.events), e.decode_commands(row.commands)
        except CorruptJournal as error:
            teller.story.broken = error.message
            break
        teller.row(row, events, commands)
        checksum = row.checksum
    return teller.story


class _Teller:
    def __init__(self) -> None:
        self.story = Story([], [], [], Ledger())
        self._known: dict[str, Act] = {}
        self._waits: dict[str, Wait] = {}
        self._deferred: list[Any] = []

    def row(self, row: Row, events: list[Any], commands: list[Any]) -> None:
        story, ledger = self.story, self.story.ledger
        story.rows += 1
        story.began = row.now if story.began is None else story.began
        story.last = row.now
        if len(commands) == 1 and type(commands[0]) is e.Defer:
            self._deferred.extend(events)
            return
        ledger.now = row.now
        for came, went in in_order([*self._deferred, *events], commands):
            for event in came:
                ledger.take(event, row.position)
                self._note_event(event, row.now)
            for command in went:
                ledger.issue(command, row.position)
                self._note_command(command, row.now)
        self._deferred = []
        self._note_changes(row.now)

    # ------------------------------------------------------------ actions

    def _note_changes(self, now: float) -> None:
        for act in self._known.values():
            action = act.action
            if action.attempts != act.tries:
                act.tries, act.failed = action.attempts, now
            act.held = (act.held or now) if action.hold else None
            if act.ended is None and action.outcome != OPEN:
                act.ended = now
            if action.undo_state and act.undo_began is None and action.undo_opened_at:
                act.undo_began = action.undo_opened_at
            elif action.undo_state == UNDO_RESIDUE and act.undo_began is None:
                act.undo_began = now
            if act.undo_ended is None and action.undo_state in (UNDO_DONE, UNDO_RESIDUE):
                act.undo_ended = now
        self._known = {id: act for id, act in self._known.items() if _open(act)}

    def _opened(self, id: str, now: float) -> None:
        action = self.story.ledger.actions[id]
        self._known[id] = act = Act(action=action, began=now)
        self.story.acts.append(act)

    # ------------------------------------------------------------ events and commands

    def _note_event(self, event: Any, now: float) -> None:
        if isinstance(event, e.Fired):
            self._end_wait(event.id, now, "fired")
        elif isinstance(event, e.Signalled):
            self._given(now)
        moment = _MOMENTS.get(type(event))
        if moment is not None:
            self.story.moments.append(Moment(now, *moment(event)))

    def _note_command(self, command: Any, now: float) -> None:
        kind = type(command)
        if kind in (e.RunStep, e.StartChild, e.UndoWith):
            self._opened(command.id, now)
        elif kind is e.StartTimer:
            self._wait(Wait(id=command.id, kind="timer", began=now, due=command.due))
        elif kind is e.AwaitSignal:
            self._wait(Wait(id=command.id, kind="signal", began=now, name=command.name))
            self._given(now)
        elif kind in (e.CancelTimer, e.StopAwait):
            self._end_wait(command.id, now, OVER)
        elif kind in (e.Backward, e.ContinueAsNew, e.Finish):
            for id in list(self._waits):
                self._end_wait(id, now, OVER)
        moment = _MOMENTS.get(kind)
        if moment is not None:
            self.story.moments.append(Moment(now, *moment(command)))

    def _wait(self, wait: Wait) -> None:
        self._waits[wait.id] = wait
        self.story.waits.append(wait)

    def _given(self, now: float) -> None:
        self._end_wait(self.story.ledger.given[0], now, "received")

    def _end_wait(self, id: str, now: float, state: str) -> None:
        wait = self._waits.pop(id, None)
        if wait is not None:
            wait.ended, wait.state = now, state


def _open(act: Act) -> bool:
    """May the ledger still change it? (A settled action never changes again.)"""
    action = act.action
    if action.outcome == OPEN or action.owed:
        return True
    return action.undo_state in (UNDO_RUNNING, UNDO_PARKED)


def _said(reason: str, by: str) -> str:
    return f"{reason} (by {by})" if by else reason


def _origin(x: Forked) -> str:
    why = f": {x.reason}" if x.reason else ""
    return _said(f"from {x.source} before {x.step} (action {x.action}){why}", x.by)


_MOMENTS: dict[type, Any] = {
    Forked: lambda x: ("forked", _origin(x)),
    e.Started: lambda x: ("started", f"run {x.run + 1}" if x.run else ""),
    e.CancelRequested: lambda x: ("cancel requested", _said(x.reason, x.by)),
    e.TerminateRequested: lambda x: ("terminate requested", _said(x.reason, x.by)),
    e.UndoRequested: lambda x: ("undo requested by the parent", x.cause),
    e.Retried: lambda x: ("retried", _said(f"action {x.id}" if x.id else "", x.by)),
    e.Skipped: lambda x: ("skipped", _said(x.reason, x.by)),
    e.Resolved: lambda x: ("resolved by hand", _said(x.reason, x.by)),
    e.Signalled: lambda x: ("signal", x.name),
    e.Pivot: lambda x: ("pivot", "nothing is undone from here on"),
    e.RollBack: lambda x: ("rolled back a savepoint", ""),
    e.Return: lambda x: ("returned", ""),
    e.Unwind: lambda x: ("turned back", x.cause),
    e.ContinueAsNew: lambda x: ("continued as new", ""),
    e.Finish: lambda x: ("ended", x.status),
}
