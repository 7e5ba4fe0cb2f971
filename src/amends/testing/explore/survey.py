"""Collecting what runs show, in the order of their paths; some are looked at closely."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...definition.policy import Retry
from ...definition.step import Step, StepOptions
from .choices import Path
from .coverage import FORWARD, UNDO, Covered
from .diagnosis import Diagnosis
from .findings import Finding, Note, finding, note
from .seeing import Seen
from .story import told
from .subject import Subject

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

    def take(self, seen: Seen, path: Path) -> None:
        """A run has ended. Raises `Unrepeatable` if it goes another way when it is looked at closely."""
        self.statuses[seen.status] += 1
        self.histories.add(seen.history)
        covered, steps = self.covered, self.steps
        for exercised in seen.exercised:
            covered[exercised] += 1
            if exercised[0] not in steps:
                steps[exercised[0]] = self.subject.step(exercised[0])
        for given in seen.notes:
            self._keep(given)
        if seen.look:
            self._look(path, seen.look)
        for found in seen.findings:
            self._add(found)
        if seen.diverged is not None:
            self.declare(seen.diverged)

    # ------------------------------------------------------------ is something wrong?

    def _look(self, path: Path, look: str) -> None:
        """Look closely, unless runs that looked the same have shown nothing new for long."""
        self._looks[look] += 1
        count = self._looks[look]
        if path.spent > 1 and count > _ENOUGH and count % 10:
            return
        diagnosis = Diagnosis(self.subject, path, self.start)
        for found in diagnosis.findings():
            found.replay = diagnosis.run.path.replay
            found.story = [told(call) for call in diagnosis.calls]
            if self._add(found):
                self._looks[look] = 0

    def _add(self, found: Finding) -> bool:
        """Keep a finding; True if it is new."""
        known = self.findings.get(found.name)
        if known is not None:
            known.paths += 1
            return False
        self.findings[found.name] = found
        return True

    # ------------------------------------------------------------ to know

    def _keep(self, given: Note) -> None:
        self.notes.setdefault((given.code, given.step), given)

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
