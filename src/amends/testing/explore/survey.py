"""Looking at each run as it ends: what was exercised, and whether it must be looked at closely."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...definition.policy import Retry
from ...definition.step import Step, StepOptions
from .choices import Path
from .coverage import FORWARD, UNDO, Covered
from .diagnosis import Diagnosis, cannot_go_on
from .faults import kind_of
from .findings import Finding, Note, finding, note
from .run import Run
from .story import Called
from .subject import LIMITS, Subject

_ENOUGH = 5
"""After so many runs of one look, in a row, that show nothing new only every tenth is looked at closely."""


class Survey:
    """Collects what runs show."""

    def __init__(self, subject: Subject, start: Any) -> None:
        self.subject = subject
        self.start = start
        self.findings: dict[str, Finding] = {}
        self.notes: dict[tuple[str, str], Note] = {}
        self.covered: Counter[tuple[str, str]] = Counter()
        self.statuses: Counter[str] = Counter()
        self.histories: set[int] = set()
        self.steps: dict[str, Step[..., Any]] = {}
        self._looks: Counter[str] = Counter()
        self._labels: dict[tuple[str, str, bool, bool], str] = {}
        self._base: Run | None = None
        self._names: set[str] = set()

    def take(self, run: Run, path: Path) -> None:
        """A run has ended."""
        self.statuses[run.status] += 1
        self.histories.add(hash((run.root.instance.checksum, len(run.log))))
        self._learn(run)
        if self._base is None:
            self._base = run
            self._names = {call.step for call in run.log}
            self._first(run)
        look = ""
        covered, names = self.covered, self._labels
        for call in run.log:
            what = (call.direction, call.option, call.known, call.empty)
            label = names.get(what)
            if label is None:
                names[what] = label = _label(call)
            covered[call.step, label] += 1
            if call.error is not None or call.before is not None or call.swallowed:
                look = look or _suspicion(call)
        self._note(run)
        look = self._ends_wrong(run) or look
        if run.parked is not None:
            found = cannot_go_on(self.subject.saga.name, run.parked)
            if found is not None:
                self._add(found, path, run)
        elif look:
            self._look(run, path, look)
        ignored = self._ignored(run)
        if ignored:
            self._add(finding("failure-ignored", ignored), path, run)

    # ------------------------------------------------------------ is something wrong?

    def _ends_wrong(self, run: Run) -> str:
        status = run.status
        if status == "attention":
            stuck = sorted(f"{item['step']} {item['why']}" for item in run.held)
            return f"attention {' '.join(stuck)}"
        for item in run.held:
            if item["why"] != "compensation failed":
                return f"held {item['step']} {item['why']} {item['outcome']}"
        if status == "compensated" and run.state() != self.start:
            return f"left {_steps(run)}"
        return ""

    def _look(self, run: Run, path: Path, look: str) -> None:
        """Look closely, unless runs that looked the same have shown nothing new for long."""
        self._looks[look] += 1
        count = self._looks[look]
        if path.spent > 1 and count > _ENOUGH and count % 10:
            return
        for found in Diagnosis(self.subject, path, self.start).findings():
            if self._add(found, path, run):
                self._looks[look] = 0

    def _add(self, found: Finding, path: Path, run: Run) -> bool:
        """Keep a finding; True if it is new."""
        known = self.findings.get(found.name)
        if known is not None:
            known.paths += 1
            return False
        found.replay = path.replay
        found.story = [told(call) for call in run.log]
        self.findings[found.name] = found
        return True

    def _ignored(self, run: Run) -> str:
        """The step that failed, if the saga completed as if it had not."""
        base = self._base
        if run.status != "completed" or base is None or base.status != "completed" or run is base:
            return ""
        ledger = run.root.instance.ledger
        if ledger.value != base.root.instance.ledger.value:
            return ""
        last: dict[str, str] = {}
        for call in run.log:
            if call.step not in self._names:
                return ""  # it did something else instead
            if call.direction == "do" and call.outcome:
                last[call.step] = call.outcome
        return next((s for s, outcome in last.items() if outcome in ("rejected", "unknown")), "")

    # ------------------------------------------------------------ to know

    def _first(self, run: Run) -> None:
        """The run without any fault."""
        if run.status != "completed":
            fault = run.root.instance.ledger.fault
            why = f"{fault.type}: {fault.message}" if fault is not None else str(run.parked or run.waits_for)
            self._keep(note("fails-anyway", self.subject.saga.name, status=run.status, why=why))
        if self.subject.factory is None:
            self._keep(note("stubbed", self.subject.saga.name))

    def _note(self, run: Run) -> None:
        if run.waits_for:
            self._keep(note("waits-for-ever", run.waits_for))
        for item in run.held:
            if item["why"] == "compensation failed":
                if run.status != "attention":
                    self._keep(note("attention-if-down", item["step"]))
            elif item["why"] in ("ask", "halt", "irreversible"):
                self._keep(note("asks", item["step"], why=item["why"]))
        for residue in run.root.instance.ledger.residue:
            self._keep(note("residue", residue.step, why=residue.reason.partition(":")[0]))
        if run.parked is not None and run.parked.code == "limit_exceeded":
            self._keep(note("cut", self.subject.saga.name, why=LIMITS.rows))

    def _keep(self, given: Note) -> None:
        self.notes.setdefault((given.code, given.step), given)

    def _learn(self, run: Run) -> None:
        """Remember the definitions and policies of the steps that ran."""
        for call in run.log:
            if call.step not in self.steps:
                self.steps[call.step] = self.subject.step(call.step)

    @property
    def trustworthy(self) -> bool:
        """Does the saga's body do the same thing twice? (Else there is no point in going on.)"""
        return not any(found.code == "non-deterministic" for found in self.findings.values())

    def coverage(self) -> list[Covered]:
        """Steps and the outcomes that were exercised."""
        rows = []
        for name, step in self.steps.items():
            counts = {label: n for (of, label), n in self.covered.items() if of == name}
            wanted = (*FORWARD, *(UNDO if step.undo is not None else ()))
            rows.append(Covered(step=name, counts=counts, missed=[w for w in wanted if w not in counts]))
        return rows

    def conclude(self, *, everything: bool) -> None:
        """What follows from all runs together. `everything`: all faults were tried, on all paths."""
        for name, step in self.steps.items():
            if self.subject.deadline is not None:
                self._outlives(name, step.options)
            if step.undo is None:
                if self.subject.factory is None and not step.options.irreversible:
                    self._keep(note("no-compensation", name))
            elif everything:
                self._missing(name)
            if step.undo is not None and self.subject.factory is None and not _takes_none(step):
                self.declare(finding("needs-result", name, evidence=["its first parameter cannot be None"]))

    def declare(self, found: Finding) -> None:
        """Something is wrong, whatever the path."""
        self.findings.setdefault(found.name, found)

    def _outlives(self, name: str, options: StepOptions) -> None:
        deadline = self.subject.deadline
        assert deadline is not None
        longest, how = _longest(options)
        if longest > deadline:
            said = [f"{how}; the deadline is {deadline:g} s"]
            self.declare(finding("retry-outlives-deadline", name, evidence=said))

    def _missing(self, name: str) -> None:
        """In which ways a compensation never ran."""
        ran = {
            label for (step, label), _ in self.covered.items() if step == name and label.startswith("undo")
        }
        if not ran:
            self._keep(note("undo-never-ran", name))
            return
        if "undo after unknown" not in ran:
            self._keep(note("undo-never-unknown", name))
        if self.subject.factory is not None and "undo with nothing" not in ran:
            self._keep(note("undo-never-nothing", name))


def _longest(options: StepOptions) -> tuple[float, str]:
    """How many seconds all attempts of a step can take, and how they come to that."""
    retry: Retry = options.retry
    bounds = [bound for bound in (retry.total, options.schedule_to_close) if bound is not None]
    if retry.attempts is None:
        longest, how = float("inf"), "its attempts have no limit"
    else:
        waits = sum(
            min(retry.cap, retry.delay * retry.factor ** min(n, 64)) for n in range(retry.attempts - 1)
        )
        longest = waits + retry.attempts * (options.timeout or 0.0)
        how = f"{retry.attempts} attempts and the waits between them take up to {longest:g} s"
    if bounds and min(bounds) < longest:
        longest, how = min(bounds), f"its attempts may go on for {min(bounds):g} s"
    return longest, how


def _takes_none(step: Step[..., Any]) -> bool:
    """Does the compensation's first parameter allow None?"""
    assert step.undo is not None
    function, signature = step.undo.candidates[0]
    names = list(function.__code__.co_varnames) if hasattr(function, "__code__") else []
    hint = signature.hints.get(names[signature.skip - 1]) if names else None
    arguments = getattr(hint, "__args__", ())
    return hint is None or hint is type(None) or type(None) in arguments or str(hint) == "typing.Any"


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


def told(call: Called) -> str:
    """One call as a line for people."""
    what = {"do": "", "undo": "undo ", "late": "late: ", "probe": "probe of "}[call.direction]
    line = f"{what}{call.step}"
    if call.number > 1:
        line += f" (attempt {call.number})"
    if not call.begun:
        return f"{line}: never reached the participant"
    if call.error is not None:
        return f"{line}: {type(call.error).__name__}: {call.error}" + (" (made)" if call.injected else "")
    return f"{line}: done, the reply was lost" if call.injected else f"{line}: done"
