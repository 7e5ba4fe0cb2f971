"""What reached the participants, one line each, and what must hold of it. Knows neither system."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

BEGUN, DONE, REJECTED, KILLED = "begun", "done", "rejected", "killed"

ROWS = {
    "kills": "SIGKILL of the worker",
    "sagas": "sagas",
    "actions": "actions and compensations dispatched",
    "again": "of these dispatched again after a kill",
    "lost": "sagas lost",
    "silent": "sagas that neither ended nor ask for a person",
    "repeated": "dispatched twice though nothing was killed",
    "disordered": "undone in the wrong order",
    "left": "sagas that ended with an effect left behind",
    "halved": "sagas that completed with an effect missing",
}
"""What a `Verdict` counts, in words."""


class Line(NamedTuple):
    """`place`: where in its saga the action stands.  `direction`: do, undo."""

    id: str
    place: int
    direction: str
    outcome: str


def note(path: str, id: str, place: int, direction: str, outcome: str) -> None:
    """Append a line: one write, so it is whole or not there, and survives `kill -9` of the writer."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, f"{id} {place} {direction} {outcome}\n".encode())
    os.close(file)


def read(path: Path) -> list[Line]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Line(id, int(place), way, what) for id, place, way, what in map(str.split, lines)]


@dataclass
class Verdict:
    """What came out, as numbers; `findings` names some of what is wrong."""

    kills: int = 0
    sagas: int = 0
    actions: int = 0
    lost: int = 0
    silent: int = 0
    again: int = 0  # dispatched more than once, in different lives: no worker can know
    repeated: int = 0  # dispatched twice in one life, though nothing was killed in between
    disordered: int = 0
    left: int = 0  # effects of a saga that did not complete, and that nothing undid
    halved: int = 0  # completed, but an effect is missing or undone
    findings: Counter[str] = field(default_factory=Counter)

    def find(self, what: str, id: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        self.findings[f"{what}: {id.rpartition('-')[0]}"] += 1


Key = tuple[str, int, str]


class Account:
    """The book taken apart: in which lives each action was dispatched, what has ended, what was refused."""

    def __init__(self, lines: list[Line]) -> None:
        self.kills = 0
        self.lives: dict[Key, list[int]] = defaultdict(list)
        self.ended: set[Key] = set()
        self.rejected: set[Key] = set()
        self.disordered: list[str] = []
        for line in lines:
            self._take(line, (line.id, line.place, line.direction))

    def _take(self, line: Line, key: Key) -> None:
        if line.outcome == KILLED:
            self.kills += 1
        elif line.outcome == BEGUN:
            self.lives[key].append(self.kills)
            if line.direction == "undo" and self._too_early(line):
                self.disordered.append(line.id)
        elif line.outcome == REJECTED:
            self.rejected.add(key)
        else:
            self.ended.add(key)

    def _too_early(self, line: Line) -> bool:
        """What was done later must have been undone before."""
        later = [p for id, p, way in self.lives if id == line.id and way == "undo" and p > line.place]
        return any((line.id, p, "undo") not in self.ended for p in later)

    def standing(self, id: str) -> set[int]:
        """The effects that an execution has had and that were not undone, by place."""
        effects = {p for i, p, way in self.lives.keys() - self.rejected if i == id and way == "do"}
        return effects - {p for i, p, way in self.ended if i == id and way == "undo"}


def judge(
    lines: list[Line], started: list[str], statuses: Mapping[str, str], places: Mapping[str, int]
) -> Verdict:
    """`statuses`: what the system says of each id: completed, undone, or something that is no end.

    `places`: how many effects a completed saga of each kind has.
    """
    account = Account(lines)
    found = Verdict(kills=account.kills, sagas=len(started), actions=len(account.lives))
    for (id, _, _), when in account.lives.items():
        found.again += len(set(when)) > 1
        if len(set(when)) < len(when):
            found.find("repeated", id)
    for id in account.disordered:
        found.find("disordered", id)
    for id in started:
        if wrong := _wrong(account.standing(id), statuses.get(id), places[id.rpartition("-")[0]]):
            found.find(wrong, id)
    return found


def _wrong(standing: set[int], status: str | None, places: int) -> str:
    """The name of the count for what is wrong with a saga; empty: nothing."""
    match status:
        case None:
            return "lost"
        case "completed":
            return "" if standing == set(range(1, places + 1)) else "halved"
        case "undone":
            return "left" if standing else ""
        case _:
            return "silent"
