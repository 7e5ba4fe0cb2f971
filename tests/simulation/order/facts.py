"""What a journal says, read as plain JSON: nothing here comes from the kernel.

An entry is its tag and its fields, as they stand in the row.  Rows that only keep their events (``deferred``) lend them
to the next one; no row between the two holds a command, so the order of actions is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

Moment = tuple[int, int, int]
"""When something happened in a journal: row, turn (even: events, odd: the commands after them), place among these."""

NEVER: Moment = (1 << 30, 0, 0)
UNDOS = ("none", "step", "irreversible")


@dataclass
class Act:
    """An action as the journal tells it. `outcome` is ``gone`` for a child that undid itself."""

    id: str
    label: str
    kind: str  # step, child, adhoc
    name: str
    args: Any
    undo: str  # none, step, irreversible
    commanded: int
    order: int
    uid: str = ""
    outcome: str = ""
    ended: int = -1
    value: Any = None
    held: bool = False
    tainted: bool = False
    interrupted: Moment = NEVER
    undoing: Moment = NEVER
    settled: Moment = NEVER
    how: str = ""  # done, residue
    parked: bool = False
    again: float = 0.0  # an attempt (to do it, or to undo it) has failed, and then the next one is due

    @property
    def owed(self) -> bool:
        """Is there, or may there be, an effect that going backward must undo?"""
        return self.undo != "none" and self.outcome in ("succeeded", "unknown")

    @property
    def tried_again(self) -> bool:
        """May a person decide about it although it is not parked?"""
        going_on = (
            self.undoing != NEVER and self.settled == NEVER if self.outcome else self.interrupted == NEVER
        )
        return self.again > 0 and going_on

    @property
    def unsettled(self) -> bool:
        """Must what precedes it still wait for it? (Not for what is parked.)"""
        if self.parked or self.settled != NEVER:
            return False
        return self.owed or (not self.outcome and self.undo != "none")


def precedes(a: Act, b: Act) -> bool:
    """Promise 6: A's outcome stands in a row not after the row that holds B's command.

    An ad hoc compensation counts as an action that succeeded where it was registered; two of one row are
    ordered as they were registered.
    """
    if a is b or not a.outcome:
        return False
    if a.kind == b.kind == "adhoc" and a.commanded == b.commanded:
        return a.order < b.order
    return a.ended <= b.commanded


@dataclass
class JournalRow:
    """One activation."""

    number: int
    events: list[list[Any]]
    commands: list[list[Any]]
    time: float = 0.0

    def in_order(self) -> Iterator[tuple[Moment, list[Any]]]:
        """Its entries as they came, each with its moment: the events, then the commands.

        A ``heed`` among the commands says how many events had come when those before it were issued.
        """
        taken, turn = 0, 0
        issued: list[tuple[Moment, list[Any]]] = []
        for place, command in enumerate([*self.commands, ["heed", len(self.events)]]):
            if command[0] != "heed":
                issued.append(((self.number, turn + 1, place), command))
                continue
            for at in range(taken, command[1]):
                yield (self.number, turn, at), self.events[at]
            yield from issued
            taken, turn, issued = command[1], turn + 2, []


def read(rows: list[Any]) -> Iterator[JournalRow]:
    """The activations of a journal."""
    kept: list[list[Any]] = []
    for row in rows:
        events, commands = msgspec.json.decode(row.events), msgspec.json.decode(row.commands)
        if [command[0] for command in commands] == ["deferred"]:
            kept += events
            continue
        yield JournalRow(row.position, kept + events, commands, row.now)
        kept = []
