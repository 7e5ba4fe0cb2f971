"""What must hold for every book, judged from its lines and from how the executions ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .book import BEGUN, DONE, FAILED, KILLED, REJECTED, Line


@dataclass
class Dispatch:
    """One attempt: from its `begun` to its end, if it has one."""

    line: Line
    began: int  # the number of the line
    life: int  # how many kills there had been
    ended: int | None = None
    outcome: str = ""


@dataclass
class Deed:
    """An action in one direction: all its attempts."""

    dispatches: list[Dispatch] = field(default_factory=list)

    @property
    def done(self) -> Dispatch | None:
        """The last attempt that ended well."""
        return next((d for d in reversed(self.dispatches) if d.outcome == DONE), None)

    @property
    def rejected(self) -> bool:
        """Does the book say that it had no effect: only rejected attempts?"""
        return all(d.outcome == REJECTED for d in self.dispatches)


class Audit:
    """A book taken apart. `findings` says what is wrong."""

    def __init__(self, lines: Iterable[Line], *, retried: Iterable[str] = ()) -> None:
        self.lines = list(lines)
        self.retried = frozenset(retried)  # actions (with direction) that are tried again by their own policy
        self.kills: list[int] = []
        self.deeds: dict[str, Deed] = defaultdict(Deed)  # by key
        self.findings: list[str] = []
        for number, line in enumerate(self.lines):
            if line.outcome == KILLED:
                self.kills.append(number)
            elif line.outcome == BEGUN:
                self._begun(number, line)
            else:
                self._ended(number, line)
        self._keys()

    # ------------------------------------------------------------ dispatches

    def _begun(self, number: int, line: Line) -> None:
        deed = self.deeds[line.key]
        life = len(self.kills)
        repeatable = f"{line.action}/{line.direction}" in self.retried
        if deed.dispatches:
            last = deed.dispatches[-1]
            if last.life == life and last.ended is None:
                self._find("runs twice at a time", line)
            if last.life == life and not repeatable:
                self._find("dispatched again though no worker was killed since", line)
            if last.outcome in (DONE, REJECTED) and self._went_on(last):
                self._find("dispatched again though its execution had gone on", line)
        deed.dispatches.append(Dispatch(line, number, life))
        if not repeatable and len(deed.dispatches) > 1 + life:
            self._find("dispatched more often than workers were killed", line)

    def _went_on(self, last: Dispatch) -> bool:
        """Did the next place of the same execution begin after this end? Then the end was durable."""
        assert last.ended is not None
        mine = last.line
        later = 1 if mine.direction == "do" else -1
        return any(
            line.id == mine.id
            and line.direction == mine.direction
            and line.outcome == BEGUN
            and (line.place - mine.place) * later > 0
            for line in self.lines[last.ended : self._end_of_life(last)]
        )

    def _end_of_life(self, dispatch: Dispatch) -> int:
        return self.kills[dispatch.life] if dispatch.life < len(self.kills) else len(self.lines)

    def _ended(self, number: int, line: Line) -> None:
        running = [
            d for d in self.deeds[line.key].dispatches if d.ended is None and d.life == len(self.kills)
        ]
        if len(running) != 1:
            self._find("ended without having begun", line)
            return
        running[0].ended, running[0].outcome = number, line.outcome

    def _keys(self) -> None:
        """One key per action and direction, and one action per key."""
        owners: dict[str, tuple[str, str, int, str]] = {}
        keys: dict[tuple[str, str, int, str], str] = {}
        for line in self.lines:
            if line.outcome == KILLED:
                continue
            owner = (line.id, line.action, line.place, line.direction)
            if owners.setdefault(line.key, owner) != owner:
                self._find(f"shares its key with {owners[line.key]}", line)
            if keys.setdefault(owner, line.key) != line.key:
                self._find("has two keys", line)
            if not line.key.endswith(f"/{line.direction}"):
                self._find("has the key of the other direction", line)

    def _find(self, what: str, line: Line) -> None:
        self.findings.append(f"{line.id}: {line.action}@{line.place} ({line.key}) {what}")

    # ------------------------------------------------------------ ends

    def judge(self, statuses: Mapping[str, str]) -> None:
        """Compare with how every execution (children too) ended."""
        actions: dict[str, list[str]] = defaultdict(list)
        for key in self.deeds:
            where = key.rpartition("/")[0]
            id = self.deeds[key].dispatches[0].line.id if self.deeds[key].dispatches else "?"
            if where not in actions[id]:
                actions[id].append(where)
        for id in actions.keys() - statuses.keys():
            self.findings.append(f"{id}: is in the book, but the engine does not know it")
        for id, status in statuses.items():
            if status not in ("completed", "compensated"):
                self.findings.append(f"{id}: ended {status}")
            for where in actions[id]:
                self._judge(id, status, self.deeds[f"{where}/do"], self.deeds[f"{where}/undo"])
        self._order()

    def _judge(self, id: str, status: str, do: Deed, undo: Deed) -> None:
        if not do.dispatches:
            if self._perhaps_lost(undo.dispatches[0]):
                return
            self.findings.append(f"{id}: undid what was never dispatched: {undo.dispatches[0].line}")
            return
        name = f"{id}: {do.dispatches[0].line.action}@{do.dispatches[0].line.place}"
        stands = do.dispatches[-1].outcome == DONE
        if status == "completed" and stands and undo.dispatches:
            self.findings.append(f"{name} was undone, but the execution completed")
        if (status == "compensated" or not stands) and not do.rejected and undo.done is None:
            self.findings.append(f"{name} was not undone, though the execution {status}")
        certain = len(do.dispatches) == 1 and not self._perhaps_lost(do.dispatches[0])
        if do.rejected and undo.dispatches and certain:
            self.findings.append(f"{name} was undone, though it certainly had no effect")
        if undo.dispatches and any(d.began > undo.dispatches[0].began for d in do.dispatches):
            self.findings.append(f"{name} was dispatched after it had been undone")
        if undo.dispatches and any((d.ended or 0) > undo.dispatches[0].began for d in do.dispatches):
            self.findings.append(f"{name} was undone while it ran")

    def _perhaps_lost(self, dispatch: Dispatch) -> bool:
        """Could an attempt have been lost with a worker before this: was one killed since the last deed?

        A command that was durable at a kill may have been dispatched, so it is unknown, line or no line.
        """
        for line in reversed(self.lines[: dispatch.began]):
            if line.outcome == KILLED:
                return True
            if line.root == dispatch.line.root and line.direction == "do":
                return False
        return False

    def _order(self) -> None:
        """What took place later in a tree of executions is undone before what took place earlier."""
        trees: dict[str, list[tuple[Deed, Deed]]] = defaultdict(list)
        for key, deed in list(self.deeds.items()):
            if key.endswith("/undo") and deed.dispatches:
                trees[deed.dispatches[0].line.root].append((self.deeds[f"{key[:-5]}/do"], deed))
        for pairs in trees.values():
            for do, undo in pairs:
                first = undo.dispatches[0]
                for later, undone in pairs:
                    if _after(later, do, first) and not self._settled(undone, first):
                        other = undone.dispatches[0].line
                        self._find(f"was undone before {other.action}@{other.place}", first.line)

    def _settled(self, undone: Deed, then: Dispatch) -> bool:
        """Was it undone, or given up until somebody repairs it, when the other began to be undone?"""
        done = undone.done
        if done is not None and done.ended is not None and done.ended < then.began:
            return True
        failed = [d for d in undone.dispatches if d.outcome == FAILED]
        return bool(failed) and all(d.ended is not None and d.ended < then.began for d in failed)

    # ------------------------------------------------------------ figures

    def twice(self) -> set[str]:
        """Keys that were dispatched more than once."""
        return {key for key, deed in self.deeds.items() if len(deed.dispatches) > 1}

    def in_flight(self, kill: int) -> set[str]:
        """Keys of which no later line of the execution shows that they were journaled at that kill."""
        since = self.kills[kill - 1] if kill else 0
        life = [line for line in self.lines[since : self.kills[kill]] if line.outcome == BEGUN]
        last = {line.id: line.place for line in life}
        return {line.key for line in life if line.place == last[line.id]}

    def cut_off(self, kill: int) -> set[str]:
        """Keys whose function was running when that worker was killed."""
        return {
            key
            for key, deed in self.deeds.items()
            for d in deed.dispatches
            if d.life == kill and (d.ended is None)
        }


def _after(later: Deed, do: Deed, undone: Dispatch) -> bool:
    """Had `later` (of a later place) been dispatched when `do` began to be undone?"""
    if not later.dispatches or not do.dispatches:
        return False
    a, b = later.dispatches[0], do.dispatches[0]
    return a.line.place > b.line.place and a.began < undone.began
