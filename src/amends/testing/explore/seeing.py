"""What one run shows, as a value: what was exercised, what to know, and whether it must be looked at closely.

A `Seen` is all that an exploration keeps of a run, whichever process made it (see `ahead`).
"""

from __future__ import annotations

import gc
from itertools import islice
from typing import Any

import msgspec

from ...errors import Parked
from .choices import Deviation, Path
from .diagnosis import cannot_go_on
from .faults import kind_of
from .findings import Finding, Note, finding, note
from .run import Run, played
from .story import Called, told
from .subject import LIMITS, Subject

_COLLECT_EVERY = 20
_REPLAYED = 10
"""Of the paths with more than one fault every so many is replayed once more at its end."""


class Seen(msgspec.Struct, gc=False, array_like=True):
    """What a run showed.

    status: how it ended.  history: tells runs of different journals apart.  exercised: step and what was
    exercised of it, call by call.  look: why it must be looked at closely, if so.  findings: what is wrong on
    the face of it.  diverged: its journal does not replay.  further: the paths that leave it, by their last
    deviation and faults.  calls: how many calls of participants were made where, for those.
    """

    status: str
    history: int
    exercised: list[tuple[str, str]]
    look: str
    findings: list[Finding]
    notes: list[Note]
    diverged: Finding | None
    further: list[tuple[Deviation, int]]
    calls: dict[int, int]


class Sight:
    """Plays paths of a subject, and sees what each run shows. The first is the one without any fault.

    start: what the participants hold before a run.  faults: of a path, at most.
    """

    def __init__(self, subject: Subject, start: Any, *, faults: int) -> None:
        self.subject = subject
        self.start = start
        self.faults = faults
        self._played = 0
        self._labels: dict[tuple[str, str, bool, bool], str] = {}
        self._names: set[str] | None = None
        self._whole = False
        self._value: Any = None

    def along(self, path: Path, number: int) -> Seen:
        """Run along a path, the `number`-th of all. Raises `Unrepeatable`, and what cannot be explored."""
        self._played += 1
        if self._played % _COLLECT_EVERY == 0:
            gc.collect(0)  # dead tasks of equal hash make asyncio's set of all tasks slow
        known = len(self.subject.calls)
        run = played(self.subject, path)
        seen = self.of(run)
        if run.parked is None and (path.spent <= 1 or number % _REPLAYED == 0):
            seen.diverged = self.divergence(run)
        seen.further = run.path.further(self.faults)
        if seen.further:
            calls = self.subject.calls
            seen.calls = dict(islice(reversed(calls.items()), len(calls) - known))
        return seen

    def of(self, run: Run) -> Seen:
        """What a run shows that has ended."""
        first = self._names is None
        notes = [*(self._first(run) if first else ()), *self._notes(run)]
        exercised: list[tuple[str, str]] = []
        look = ""
        names = self._labels
        for call in run.log:
            what = (call.direction, call.option, call.known, call.empty)
            label = names.get(what)
            if label is None:
                names[what] = label = _label(call)
            exercised.append((call.step, label))
            if call.error is not None or call.before is not None or call.swallowed:
                look = look or _suspicion(call)
        status = run.status
        look = _ends_wrong(run, status, self.start) or look
        return Seen(
            status,
            hash((run.root.instance.checksum, len(run.log))),
            exercised,
            look if run.parked is None else "",
            [] if first and run.parked is None else self._findings(run, status),
            notes,
            None,
            [],
            {},
        )

    def divergence(self, run: Run) -> Finding | None:
        """Replay the whole journal with the saga's code, up to its last row: does it do the same?"""
        try:
            run.replay()
        except Parked as error:
            return _shown(finding("non-deterministic", self.subject.saga.name, evidence=[error.message]), run)
        return None

    def _first(self, run: Run) -> list[Note]:
        """The run without any fault: the others are compared with it."""
        ledger = run.root.instance.ledger
        self._names = {call.step for call in run.log}
        self._whole = run.status == "completed"
        self._value = ledger.value
        saga, notes = self.subject.saga.name, []
        if not self._whole:
            fault = ledger.fault
            why = f"{fault.type}: {fault.message}" if fault is not None else str(run.parked or run.waits_for)
            notes.append(note("fails-anyway", saga, status=run.status, why=why))
        if self.subject.factory is None:
            notes.append(note("stubbed", saga))
        return notes

    def _notes(self, run: Run) -> list[Note]:
        notes = []
        if run.waits_for:
            notes.append(note("waits-for-ever", run.waits_for))
        for item in run.held:
            if item["why"] == "compensation failed":
                if run.status != "attention":
                    notes.append(note("attention-if-down", item["step"]))
            elif item["why"] in ("ask", "halt", "irreversible"):
                notes.append(note("asks", item["step"], why=item["why"]))
        notes += [
            note("residue", residue.step, why=residue.reason.partition(":")[0])
            for residue in run.root.instance.ledger.residue
        ]
        if run.parked is not None and run.parked.code == "limit_exceeded":
            notes.append(note("cut", self.subject.saga.name, why=LIMITS.rows))
        return notes

    def _findings(self, run: Run, status: str) -> list[Finding]:
        if run.parked is not None:
            found = cannot_go_on(self.subject.saga.name, run.parked)
            return [] if found is None else [_shown(found, run)]
        ignored = self._ignored(run, status)
        return [_shown(finding("failure-ignored", ignored), run)] if ignored else []

    def _ignored(self, run: Run, status: str) -> str:
        """The step that failed, if the saga completed as if it had not."""
        if status != "completed" or not self._whole or run.root.instance.ledger.value != self._value:
            return ""
        last: dict[str, str] = {}
        for call in run.log:
            if call.step not in self._names:  # type: ignore[operator]  # known since the first run
                return ""  # it did something else instead
            if call.direction == "do" and call.outcome:
                last[call.step] = call.outcome
        return next((s for s, outcome in last.items() if outcome in ("rejected", "unknown")), "")


def _shown(found: Finding, run: Run) -> Finding:
    """With the path and the story of the run that shows it."""
    found.replay = run.path.replay
    found.story = [told(call) for call in run.log]
    return found


def _ends_wrong(run: Run, status: str, start: Any) -> str:
    if status == "attention":
        stuck = sorted(f"{item['step']} {item['why']}" for item in run.held)
        return f"attention {' '.join(stuck)}"
    for item in run.held:
        if item["why"] != "compensation failed":
            return f"held {item['step']} {item['why']} {item['outcome']}"
    if status == "compensated" and run.state() != start:
        return f"left {_steps(run)}"
    return ""


def _suspicion(call: Called) -> str:
    if call.before is not None and call.changed:
        return f"twice {call.step} {call.direction}"
    if call.swallowed:
        return f"swallowed {call.step} {call.direction}"
    if call.error is not None and not call.injected:
        if call.direction == "undo":
            return f"raised {call.step} {type(call.error).__name__} {call.known}"
        if call.outcome == "rejected" and call.calls > 1:
            return f"rejected {call.step} {call.option}"
    return ""


def _steps(run: Run) -> str:
    """What marks how a run went, so that runs that look alike are not all looked at closely."""
    marks = {f"{c.step}={kind_of(c.option)}" for c in run.log if c.option not in ("ok", "finished")}
    return " ".join(sorted(marks))


def _label(call: Called) -> str:
    """What was exercised, for the coverage."""
    if call.direction == "undo":
        if call.option in ("failed", "down"):
            return "undo, failing"
        if call.option in ("lost", "present"):
            return "undo, repeated"
        return (
            "undo after success"
            if call.known
            else "undo with nothing"
            if call.empty
            else "undo after unknown"
        )
    if call.direction != "do":
        return call.direction
    return _LABELS.get(kind_of(call.option), call.option)


_LABELS = {
    "ok": "succeeds",
    "finished": "succeeds",
    "rejected": "is rejected",
    "failed": "fails",
    "down": "fails",
    "late": "fails",
    "lost": "loses the reply",
    "mute": "loses the reply",
    "breaks": "breaks off",
    "stays-broken": "breaks off",
    "present": "is stopped",
    "absent": "is stopped",
}
