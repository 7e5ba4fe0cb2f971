"""A journal as a list of deeds: what was commanded, when, how it ended, and how its undoing went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..definition.times import date_of
from ..kernel.replay import in_order
from .diagram import State


class Deed(msgspec.Struct):
    """One action, timer, awaited signal or pivot. `start` and `end` are places in the journal, as promise
    6 has them.
    """

    id: str
    kind: str
    name: str
    place: int
    start: float
    began: float
    end: float | None = None
    ended: float | None = None
    state: State = State.RUNNING
    notes: list[str] = []
    undo: State = State.NONE
    undo_began: float = 0.0
    undo_label: str = "undo"
    undo_notes: list[str] = []


def tell(history: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]] = ()) -> list[Deed]:
    """The deeds of a journal, in the order of their commands; `items` (of the status) says what is
    parked.
    """
    teller = _Teller()
    for row in history:
        teller.row(row)
    teller.take(teller.pending)
    for item in items:
        teller.park(item)
    for deed in teller.deeds.values():
        if deed.ended is not None and deed.kind != "pivot" and deed.state is not State.SKIPPED:
            deed.notes.insert(0, lasted(deed.ended - deed.began))
    return [deed for deed in teller.deeds.values() if deed.kind != "timer" or deed.state is not State.SKIPPED]


def ending(status: str) -> State:
    """The state of an execution's end."""
    return {
        "completed": State.DONE,
        "compensated": State.UNDONE,
        "partially_compensated": State.FAILED,
        "terminated": State.FAILED,
        "attention": State.PARKED,
        "compensating": State.UNDOING,
    }.get(status, State.RUNNING)


def lasted(seconds: float) -> str:
    """A duration for people: ``12 ms``, ``3.2 s``, ``2 h 5 min``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min"


_Stands = tuple[Mapping[str, Any], int, float]
"""An entry, with the position and time of the row in which it stands."""


def _heeded(command: _Stands) -> int | None:
    entry = command[0]
    return int(entry["events"]) if entry["type"] == "heed" else None


class _Teller:
    def __init__(self) -> None:
        self.deeds: dict[str, Deed] = {}
        self.position = 0
        self.now = 0.0
        self.waiting: dict[str, list[str]] = {}
        self.kept: dict[str, int] = {}
        self.undone = 0
        self.pending: list[_Stands] = []

    def row(self, row: Mapping[str, Any]) -> None:
        place, now = int(row["position"]), float(row["now"])
        self.pending += [(entry, place, now) for entry in row["events"]]
        commands = [(entry, place, now) for entry in row["commands"]]
        if [entry["type"] for entry in row["commands"]] == ["deferred"]:
            return  # the next row applies these events before its own
        for came, went in in_order(self.pending, commands, _heeded):
            self.take((*came, *went))
        self.pending = []

    def take(self, entries: Iterable[_Stands]) -> None:
        for entry, self.position, self.now in entries:
            act: Callable[[Mapping[str, Any]], None] | None = getattr(self, f"_{entry['type']}", None)
            if act is not None:
                act(entry)

    def park(self, item: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(item.get("action")))
        if deed is None:
            return
        if item.get("direction") == "undo":
            deed.undo = State.PARKED
        else:
            deed.state = State.PARKED

    # ------------------------------------------------------------ commands

    def _begin(self, entry: Mapping[str, Any], kind: str, name: str, state: State = State.RUNNING) -> Deed:
        id = str(entry["id"])
        deed = Deed(
            id,
            kind,
            name,
            len(self.deeds),
            self.position + 0.5,
            self.now,
            state=state,
            notes=[],
            undo_notes=[],
        )
        self.deeds[id] = deed
        return deed

    def _end(self, id: Any, state: State, note: str = "") -> None:
        deed = self.deeds.get(str(id))
        if deed is not None and deed.ended is None:
            deed.state, deed.end, deed.ended = state, float(self.position), self.now
            deed.notes = [said for said in deed.notes if not said.startswith("next at ")]
            if note:
                deed.notes.append(note)

    def _run(self, entry: Mapping[str, Any]) -> None:
        self._begin(entry, "run", str(entry["step"]))

    def _child(self, entry: Mapping[str, Any]) -> None:
        self._begin(entry, "child", str(entry["saga"]))

    def _timer(self, entry: Mapping[str, Any]) -> None:
        deed = self._begin(entry, "timer", f"sleep {lasted(float(entry['due']) - self.now)}", State.WAITING)
        deed.notes.append(f"until {_moment(entry['due'])}")

    def _untimer(self, entry: Mapping[str, Any]) -> None:
        self._end(entry["id"], State.SKIPPED)

    def _withdrawn(self, entry: Mapping[str, Any]) -> None:
        self.deeds.pop(str(entry["id"]), None)

    def _await(self, entry: Mapping[str, Any]) -> None:
        name = str(entry["name"])
        deed = self._begin(entry, "await", name, State.WAITING)
        if self.kept.get(name, 0):
            self.kept[name] -= 1
            deed.state, deed.end, deed.ended = State.DONE, deed.start, self.now
        else:
            self.waiting.setdefault(name, []).append(deed.id)

    def _unawait(self, entry: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None and deed.ended is None:
            self.waiting[deed.name].remove(deed.id)
            self._end(deed.id, State.SKIPPED, "not waited for any longer")

    def _pivot(self, entry: Mapping[str, Any]) -> None:
        deed = self._begin(entry, "pivot", "pivot", State.DONE)
        deed.end, deed.ended = deed.start, self.now

    _ask_pivot = _pivot

    def _undo_with(self, entry: Mapping[str, Any]) -> None:
        deed = self._begin(entry, "undo_with", str(entry["step"]), State.DONE)
        deed.end, deed.ended = deed.start, self.now

    def _undo(self, entry: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None:
            deed.undo, deed.undo_began = State.UNDOING, self.now
            self.undone += 1
            deed.undo_label = f"undo {self.undone}"

    # ------------------------------------------------------------ events

    def _completed(self, entry: Mapping[str, Any]) -> None:
        self._end(entry["id"], State.DONE)

    def _failed(self, entry: Mapping[str, Any]) -> None:
        self._end(entry["id"], State.FAILED, f"{entry['outcome']}: {_fault(entry['fault'])}")

    def _attempt_failed(self, entry: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None:
            said = f"attempt {entry['attempt']}: {_fault(entry['fault'])}"
            deed.notes = [said, f"next at {_moment(entry['retry_at'])}"]

    def _fired(self, entry: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None:
            deed.notes.clear()
        self._end(entry["id"], State.DONE)

    def _signalled(self, entry: Mapping[str, Any]) -> None:
        name = str(entry["name"])
        if waiting := self.waiting.get(name):
            self._end(waiting.pop(0), State.DONE)
        else:
            self.kept[name] = self.kept.get(name, 0) + 1

    def _child_ended(self, entry: Mapping[str, Any]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None and deed.undo:  # it had completed, and was asked to undo itself
            whole = entry["status"] == "compensated"
            note = "" if whole else f"{entry['status']}, "
            self._settle(
                entry,
                State.UNDONE if whole else State.FAILED,
                lambda deed: f"{note}{lasted(self.now - deed.undo_began)}",
            )
            return
        done = entry["status"] == "completed"
        self._end(entry["id"], State.DONE if done else State.FAILED, "" if done else str(entry["status"]))

    def _undone(self, entry: Mapping[str, Any]) -> None:
        self._settle(entry, State.UNDONE, lambda deed: lasted(self.now - deed.undo_began))

    def _undo_failed(self, entry: Mapping[str, Any]) -> None:
        critical = entry.get("critical", True)
        state = State.PARKED if critical else State.FAILED
        self._settle(entry, state, lambda deed: f"{'' if critical else 'left: '}{_fault(entry['fault'])}")

    def _undo_attempt_failed(self, entry: Mapping[str, Any]) -> None:
        note = f"attempt {entry['attempt']}: {_fault(entry['fault'])}"
        self._settle(entry, State.UNDOING, lambda deed: note)

    def _settle(self, entry: Mapping[str, Any], state: State, note: Callable[[Deed], str]) -> None:
        deed = self.deeds.get(str(entry["id"]))
        if deed is not None:
            deed.undo, deed.undo_notes = state, [note(deed)]

    def _skipped(self, entry: Mapping[str, Any]) -> None:
        self._by_hand(entry, State.FAILED, "skipped")

    def _resolved(self, entry: Mapping[str, Any]) -> None:
        self._by_hand(entry, State.UNDONE, "resolved")

    def _by_hand(self, entry: Mapping[str, Any], undo: State, word: str) -> None:
        wanted = entry.get("id")
        note = f"{word} by {entry.get('by') or 'an operator'}: {entry.get('reason', '')}"
        for deed in self.deeds.values():
            if wanted and deed.id != wanted:
                continue
            if deed.undo is State.PARKED:
                deed.undo, deed.undo_notes = undo, [note]
            elif deed.state is State.FAILED and wanted:
                deed.state = State.DONE
                deed.notes.append(note)


def _moment(at: Any) -> str:
    date = date_of(float(at))
    return "no date that a calendar has" if date is None else f"{date:%Y-%m-%d %H:%M:%S} UTC"


def _fault(fault: Any) -> str:
    kind, message = str(fault[0]), str(fault[1])
    return f"{kind}: {message}" if message else kind
