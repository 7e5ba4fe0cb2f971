"""What must hold for the books of several workers at once, whatever was done to them and to their store.

A mark in the book says what was done, and to which process, or that a worker gave up all it owned to read it
again.  A process that stood still, or was cut off from the store for longer than its lease, is a *suspect*:
others took over meanwhile, and what it had already read as its own it may still send once more.  No fence of
a store can prevent that; the participant knows it by its key.  So such lines of suspects are counted
(`late`), and everybody else's are found wrong.  Nothing else is excused.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .book import BEGUN, DONE, KILLED, REJECTED, Line

CALM = ("completed", "compensated")


@dataclass
class Attempt:
    """One dispatch: where it stands in the book, who ran it, and how it ended."""

    line: Line
    began: int
    ended: int | None = None
    outcome: str = ""


@dataclass
class Judgement:
    """What is wrong. `again`: keys that were dispatched more than once; `late`: lines of suspects."""

    lost: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    actions: int = 0
    again: int = 0
    late: int = 0

    @property
    def findings(self) -> list[str]:
        return [*self.lost, *self.silent, *self.half, *self.duplicates, *self.disordered]


def judge(
    lines: Iterable[Line],
    statuses: Mapping[str, str],
    wanted: Collection[str],
    suspects: Collection[int] = (),
) -> Judgement:
    """Judge a book by how all executions ended (children too), and by what was acknowledged."""
    return _Judge(list(lines), statuses, frozenset(suspects)).judge(wanted)


class _Judge:
    def __init__(self, lines: list[Line], statuses: Mapping[str, str], suspects: frozenset[int]) -> None:
        self.lines = lines
        self.statuses = statuses
        self.suspects = suspects
        self.found = Judgement()
        self.spans = list(_spans(lines))
        self.attempts: dict[str, list[Attempt]] = defaultdict(list)  # by key
        for number, line in enumerate(lines):
            if line.outcome == BEGUN:
                self.attempts[line.key].append(Attempt(line, number))
            elif line.outcome != KILLED:
                mine = [a for a in self.attempts[line.key] if a.line.pid == line.pid and a.ended is None]
                mine[-1].ended, mine[-1].outcome = number, line.outcome

    def judge(self, wanted: Collection[str]) -> Judgement:
        found = self.found
        found.lost = sorted(set(wanted) - set(self.statuses))
        found.silent = [f"{id}: {status}" for id, status in self.statuses.items() if status not in CALM]
        found.actions = len(self.attempts)
        found.again = sum(len(attempts) > 1 for attempts in self.attempts.values())
        self._keys()
        for key, attempts in self.attempts.items():
            self._repeated(key, attempts)
            if key.endswith("/do"):
                self._whole(attempts, self.attempts.get(f"{key[:-3]}/undo", []))
        self._forward()
        self._backward()
        return found

    def _keys(self) -> None:
        """One key per action and direction: two of them are two effects."""
        keys: dict[tuple[str, str, int, str], str] = {}
        for attempts in self.attempts.values():
            line = attempts[0].line
            other = keys.setdefault((line.id, line.action, line.place, line.direction), line.key)
            if other != line.key:
                self.found.duplicates.append(f"{_name(line)} has two keys: {other}, {line.key}")

    def _repeated(self, key: str, attempts: list[Attempt]) -> None:
        """Again only after something was done to somebody, and not once its execution had gone on."""
        for before, again in itertools.pairwise(attempts):
            excused = not self.suspects.isdisjoint((before.line.pid, again.line.pid))
            if not excused and not any(b < again.began and before.began < e for b, e in self.spans):
                self.found.duplicates.append(f"{_name(again.line)} was dispatched again for no reason")
            on = self._went_on(before.line)
            if on is not None and on < again.began and not self._late(again):
                self.found.duplicates.append(f"{_name(again.line)}: again, though its saga had gone on")

    def _went_on(self, line: Line) -> int | None:
        """Where the next place of the same execution begins: then the end of this one was durable."""
        sign = 1 if line.direction == "do" else -1
        ways = (self.attempts[key] for key in self.attempts if key.endswith(f"/{line.direction}"))
        later = (
            attempts[0].began
            for attempts in ways
            if attempts
            and attempts[0].line.id == line.id
            and (attempts[0].line.place - line.place) * sign > 0
        )
        return min(later, default=None)

    def _late(self, attempt: Attempt) -> bool:
        late = attempt.line.pid in self.suspects
        self.found.late += late
        return late

    def _whole(self, do: list[Attempt], undo: list[Attempt]) -> None:
        """All done, or all undone, by how the execution ended."""
        line = do[0].line
        status = self.statuses.get(line.id)
        stands = any(attempt.outcome == DONE for attempt in do)
        refused = all(attempt.outcome == REJECTED for attempt in do)
        undone = any(attempt.outcome == DONE for attempt in undo)
        if status is None:
            self.found.lost.append(f"{_name(line)} is in the book, but the store does not know its execution")
        elif status == "completed" and stands and undo and do[-1].outcome == DONE:
            self.found.half.append(f"{_name(line)} was undone, but its execution completed")
        elif not (undone or refused or (stands and status == "completed")):
            self.found.half.append(f"{_name(line)} is neither done nor undone, and its execution {status}")

    def _forward(self) -> None:
        """No place begins before all earlier ones of its execution have ended."""
        firsts: dict[str, list[tuple[Attempt, int]]] = defaultdict(list)
        for key, attempts in self.attempts.items():
            if key.endswith("/do"):
                ends = [attempt.ended for attempt in attempts if attempt.ended is not None]
                firsts[attempts[0].line.id].append((attempts[0], min(ends, default=len(self.lines))))
        for mine in firsts.values():
            for attempt, _ in mine:
                for other, ended in mine:
                    if other.line.place < attempt.line.place and ended > attempt.began:
                        said = f"{_name(attempt.line)} began before {_name(other.line)} had ended"
                        self.found.disordered.append(said)

    def _backward(self) -> None:
        """No action is undone before what came after it in its tree, nor while it runs, nor done afterwards."""
        trees: dict[str, list[tuple[list[Attempt], list[Attempt]]]] = defaultdict(list)
        for key, attempts in self.attempts.items():
            if key.endswith("/do"):
                pair = (attempts, self.attempts.get(f"{key[:-3]}/undo", []))
                trees[attempts[0].line.root].append(pair)
        for pairs in trees.values():
            for do, undo in pairs:
                if undo:
                    self._undone_in_order(do, undo[0], pairs)

    def _undone_in_order(
        self, do: list[Attempt], undo: Attempt, pairs: list[tuple[list[Attempt], list[Attempt]]]
    ) -> None:
        for attempt in do:
            if max(attempt.began, attempt.ended or 0) > undo.began and not self._late(attempt):
                self.found.disordered.append(f"{_name(attempt.line)} ran after it began to be undone")
        for later, undone in pairs:
            ahead = later[0].line.place > do[0].line.place and later[0].began < undo.began
            if not ahead or all(attempt.outcome == REJECTED for attempt in later):
                continue
            ends = [a.ended for a in undone if a.outcome == DONE and a.ended is not None]
            if min(ends, default=len(self.lines)) > undo.began:
                self.found.disordered.append(f"{_name(undo.line)} was undone before {_name(later[0].line)}")


def _spans(lines: list[Line]) -> Iterator[tuple[int, int]]:
    """Where each thing that was done begins and ends."""
    begun: dict[tuple[str, int], int] = {}
    for number, line in enumerate(lines):
        if line.outcome == KILLED:
            if line.place != 2:
                begun[line.action, line.pid] = number
            if line.place != 1:
                yield begun[line.action, line.pid], number


def _name(line: Line) -> str:
    return f"{line.id}: {line.action}@{line.place} ({line.direction}, worker {line.pid})"
