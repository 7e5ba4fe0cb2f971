"""Where a journal may be cut, so that another execution goes on from there.

**Theory of operation.**  A step is begun by an activation: a row.  The cut is before that row.  All rows
before it are taken over as they are; of the row itself the events are, because they happened (the step before
is done, a signal came), and none of the commands: the code of today decides anew.  Rows that only keep their
events for that activation belong to it.

The original has ended, so all that became of its actions is known.  Those begun before the cut are the
fork's from now on, and nobody else's.  So they must be what they were at the cut, or have succeeded since
(then the fork is told so): had one been undone since, the fork would go on as if it stood.  One that never
came to an outcome is sent again with its old key, as after a crash.  Of those begun after the cut none may
stand: the fork does not know of them and would do them again.  Steps without a compensation have nothing to
undo, and hinder nobody.  A nested saga tells its end to the parent it began with, and no other; so none that
could still have to be undone may stand before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..definition.registry import Registry
from ..errors import Refused, UnknownName, did_you_mean
from ..kernel import entries as e
from ..kernel.actions import (
    OPEN,
    REJECTED,
    SETTLED,
    SUCCEEDED,
    UNDO_DONE,
    UNDO_PARKED,
    UNDO_RUNNING,
    Action,
)
from ..kernel.entries import NULL, Row
from ..kernel.forking import Forked
from ..kernel.instance import Instance
from ..kernel.ledger import Ledger
from ..kernel.limits import Limits
from ..kernel.phases import FORWARD
from ..store.port import Header

_Entries = Sequence[tuple[list[Any], list[Any]]]


class Begun(msgspec.Struct, frozen=True):
    """An action that a journal says was begun, and in which row."""

    action: str
    step: str
    row: int

    def __str__(self) -> str:
        return f"{self.step} (action {self.action})"


class Cut(msgspec.Struct, frozen=True):
    """rows: how many are taken over as they are.  events: what happened besides.  at: when the step was
    begun.  uid, id: as whom the rows were written."""

    begun: Begun
    rows: int
    events: list[Any]
    at: float
    uid: str
    id: str


def cut_before(header: Header, rows: Sequence[Row], step: str) -> Cut:
    """Where to cut the journal of an execution that has ended.

    Raises `UnknownName` for a step that it has not begun, `Refused` where it must not be cut,
    `CorruptJournal`.
    """
    whole, before = _instance(header), _instance(header)
    entries = [(e.decode_events(row.events), e.decode_commands(row.commands)) for row in rows]
    begun = chosen(header.id, list(_begun(entries)), step)
    first = begun.row
    while first and any(type(command) is e.Defer for command in entries[first - 1][1]):
        first -= 1
    events = [event for came, _ in entries[first : begun.row + 1] for event in came]
    for instance in (whole, before):
        instance.fold(rows[:first])
    held = list(whole.ledger.actions.values())
    whole.fold(rows[first:])
    for event in events:
        before.ledger.take(event, first)
    _must_go_forward(begun, before.ledger, events)
    _must_be_as_they_were(begun, before.ledger, held)
    _must_leave_nothing(begun, before.ledger, whole.ledger, {action.id for action in held})
    known = [e.Completed(a.id, a.value) for a in held if _succeeded_since(a, before.ledger)]
    author = _author(header, entries[first:])
    return Cut(begun, first, [*events, *known], rows[begun.row].now, author.uid, author.id)


def _instance(header: Header) -> Instance:
    return Instance(header.uid, header.id, header.saga, header.version, Registry(), Limits())


def _author(header: Header, entries: _Entries) -> Header | Forked:
    """As whom the rows before these were written: what was forked itself may be cut where it was another."""
    forks = (event for events, _ in entries for event in events if type(event) is Forked)
    return next(forks, header)


# ---------------------------------------------------------------- which step


def _begun(entries: _Entries) -> Iterator[Begun]:
    for place, (_, commands) in enumerate(entries):
        for command in commands:
            if isinstance(command, (e.RunStep, e.StartChild)):
                name = command.step if isinstance(command, e.RunStep) else command.saga
                yield Begun(command.id, name, place)


def chosen(id: str, begun: Sequence[Begun], step: str) -> Begun:
    """The one that is meant: by its action's id, or by its name (or the last part of that), where it was
    begun several times with ``#`` and the number.

    Raises `UnknownName`, `Refused` for a name that several have.
    """
    for each in begun:
        if each.action == step:
            return each
    name, mark, number = step.rpartition("#")
    if not mark or not number.isdecimal() or len(number) > 9:
        name, number = step, ""
    found = [each for each in begun if name in (each.step, each.step.rpartition(".")[2])]
    if not found:
        known = {name for each in begun for name in (each.step, each.step.rpartition(".")[2])}
        raise UnknownName(f"{id} has begun no step {name!r}", hint=did_you_mean(name, known))
    names = sorted({each.step for each in found})
    if len(names) > 1:
        raise Refused(f"{name!r} is the last part of {' and '.join(names)}", hint="give the whole name")
    if not number and len(found) > 1:
        raise Refused(
            f"{id} has begun {names[0]} {len(found)} times",
            hint=f"say before which: {name}#1 … {name}#{len(found)}, or an action's id",
        )
    if number and not 1 <= int(number) <= len(found):
        times = "once" if len(found) == 1 else f"{len(found)} times"
        raise UnknownName(f"{id} has begun {names[0]} {times}; there is no {step!r}")
    return found[int(number or 1) - 1]


# ---------------------------------------------------------------- whether it may be


def _must_go_forward(begun: Begun, before: Ledger, events: Sequence[Any]) -> None:
    if before.phase != FORWARD or before.cancel is not None or before.terminated is not None:
        raise Refused(
            f"it was being undone (or ended) when it began {begun}",
            hint="choose a step before that, or start anew",
        )
    if any(isinstance(event, e.Retried) and event.args != NULL for event in events):
        raise Refused(
            f"at the moment it began {begun} it was given new arguments for another action",
            hint="choose a step before or after",
        )


def _must_be_as_they_were(begun: Begun, before: Ledger, held: Sequence[Action]) -> None:
    """What was begun before the cut must be the fork's alone."""
    for now in held:
        then = before.actions.get(now.id)
        if then is None:  # it left nothing
            continue
        what = f"{now.name} (action {now.id}), begun before {begun},"
        if now.undo_state != then.undo_state or then.undo_state in (UNDO_RUNNING, UNDO_PARKED):
            raise Refused(
                f"{what} was undone (or given up) afterwards; a fork would go on as if it stood",
                hint="choose a step before it, or start anew",
            )
        ended = before.pivoted and then.outcome != OPEN
        if then.kind == "child" and not ended and then.undo_state not in SETTLED:
            raise Refused(
                f"{what} is a nested saga, which only this execution could undo",
                hint="choose a step before it, or start anew",
            )


def _must_leave_nothing(begun: Begun, before: Ledger, whole: Ledger, held: set[str]) -> None:
    """Of what was begun after the cut nothing may stand."""
    stands = [
        f"{action.name} (action {action.id})"
        for action in whole.actions.values()
        if action.id not in held and _may_stand(action)
    ]
    stands += [f"{each.step} (action {each.action})" for each in whole.residue[len(before.residue) :]]
    if stands:
        raise Refused(
            f"begun with or after {begun}, and not undone: {', '.join(dict.fromkeys(stands))}; "
            "a fork would do it again",
            hint="choose a step after it",
        )


def _may_stand(action: Action) -> bool:
    """May it have had an effect that was to be undone, and was not? (What is parked and takes other arguments
    certainly had none.)"""
    settled = action.outcome == REJECTED or action.undo_state == UNDO_DONE or action.takes_arguments
    return action.undo != e.UNDO_NONE and not settled


def _succeeded_since(action: Action, before: Ledger) -> bool:
    then = before.actions.get(action.id)
    return then is not None and then.outcome == OPEN and action.outcome == SUCCEEDED
