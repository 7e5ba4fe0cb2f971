"""From a run that ended wrong to its cause.

The run is played once more, with a look at the participants before and after each call.  What differs in the
end is traced to the action whose calls changed it and did not change it back; how its calls came about says
why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import Divergence, LimitExceeded, Parked, Stuck
from . import participants
from .choices import Path
from .findings import Finding, finding
from .participants import difference
from .run import Experiment, Key, Run, played
from .story import Called
from .subject import Subject

_HELD_BY_DECLARATION = frozenset({"ask", "halt", "irreversible"})


class Diagnosis:
    """One run, looked at closely."""

    def __init__(self, subject: Subject, path: Path, start: participants.State) -> None:
        self.subject = subject
        self.path = path
        self.start = start
        self.run = self._play()
        self.calls = self.run.log

    def _play(self, experiment: Experiment | None = None) -> Run:
        return played(self.subject, self.path, full=True, experiment=experiment)

    def findings(self) -> list[Finding]:
        """All that is wrong with it; most specific causes only."""
        found = list({f.name: f for f in (*self._held(), *self._calls())}.values())
        left = difference(self.start, self.run.state())
        ended = self.run.status == "compensated" or (self.run.status == "attention" and not found)
        if ended and left and not self._kept():
            blamed = {f.step for f in found}
            found += [f for f in self._left(left) if f.step not in blamed]
            if not found:
                found.append(finding("leftover", self.subject.saga.name, evidence=shown(left)))
        return found

    def _kept(self) -> bool:
        """Does something stay by declaration?"""
        return any(self._irreversible(c) for c in self.calls)

    def _irreversible(self, call: Called) -> bool:
        return bool(self.subject.step(call.step).options.irreversible)

    # ------------------------------------------------------------ what waits for a person

    def _held(self) -> Iterator[Finding]:
        for item in self.run.held:
            step, why = item["step"], item["why"]
            said = [f"{item['error']['type']}: {item['error']['message']}"] if item["error"] else []
            if why == "pivot" and item["outcome"] == "rejected":
                yield finding("fallible-after-pivot", step, evidence=said)
            elif why not in ("pivot", "compensation failed", *_HELD_BY_DECLARATION):
                yield finding("attention", step, evidence=said)

    # ------------------------------------------------------------ single calls

    def _calls(self) -> Iterator[Finding]:
        earlier: dict[tuple[str, str, str], list[Called]] = {}
        failed: set[Key] = set()
        for call in self.calls:
            key = (call.seat, call.action, call.direction)
            before = earlier.setdefault(key, [])
            if call.begun and not (key in failed and self._own_error(call)):
                if call.direction == "do":
                    yield from self._action(call, before)
                elif call.direction == "undo":
                    yield from self._undo(call, before)
                before.append(call)
                if self._own_error(call):
                    failed.add(key)  # it will fail again, and for the same reason

    def _action(self, call: Called, before: list[Called]) -> Iterator[Finding]:
        rejected = call.outcome == "rejected" and call.error is not None and not call.injected
        finished = [c for c in before if c.finished]
        if rejected and call.changed:
            yield finding("rejected-with-effect", call.step, evidence=changes(call))
        elif finished and call.changed and call.finished:
            fresh_ids = set(difference(call.before, call.after)) - self._places(finished)
            code = "minted-inside" if fresh_ids and not call.asked else "not-idempotent"
            said = [
                f"attempt {call.number} changed what attempt {finished[-1].number} had done:",
                *changes(call),
            ]
            if not call.asked:
                said.append("it never looks at its idempotency key")
            yield finding(code, call.step, evidence=said)
        if call.swallowed:
            said = [f"{call.swallowed}() failed before it had an effect; {call.step} returned {call.value!r}"]
            yield finding("swallowed", call.step, evidence=said)

    def _places(self, calls: list[Called]) -> set[str]:
        return {place for call in calls for place in difference(call.before, call.after)}

    def _undo(self, call: Called, before: list[Called]) -> Iterator[Finding]:
        finished = [c for c in before if c.finished]
        if call.swallowed:
            yield finding("undo-swallowed", call.step, evidence=[f"{call.swallowed}() failed"])
        if finished and (call.changed or self._own_error(call)):
            yield finding("undo-not-idempotent", call.step, evidence=self._said(call))
        elif self._own_error(call):
            yield self._failing(call)

    def _own_error(self, call: Called) -> bool:
        return call.error is not None and not call.injected

    def _said(self, call: Called) -> list[str]:
        said = [f"{type(call.error).__name__}: {call.error}"] if call.error is not None else []
        return [*said, *changes(call)]

    def _failing(self, call: Called) -> Finding:
        """A compensation that raises by itself: why?"""
        if not call.known:
            nothing = not any(c.changed for c in self._of(call, "do"))
            about_none = isinstance(call.error, (TypeError, AttributeError)) and "None" in str(call.error)
            code = "nothing-to-undo" if nothing and not about_none else "needs-result"
            return finding(code, call.step, evidence=self._said(call))
        other = self._works_before(call)
        if other is not None:
            return finding("order", call.step, other=other, evidence=self._said(call))
        return finding("undo-fails", call.step, evidence=self._said(call))

    def _of(self, call: Called, *directions: str) -> list[Called]:
        """Calls of the same action."""
        return [
            c
            for c in self.calls
            if (c.seat, c.action) == (call.seat, call.action) and c.direction in directions and c.begun
        ]

    def _works_before(self, call: Called) -> str | None:
        """The step whose undoing it must come before, if that makes it work."""
        known = self.subject.orders.get(call.step)
        if known is not None:
            return known if any(c.step == known and c.direction == "undo" for c in self.calls) else None
        who = (call.seat, call.action, "undo")
        tried: set[Key] = set()
        for other in self.calls:
            key = (other.seat, other.action, other.direction)
            if key == who:
                break
            if other.direction != "undo" or not other.finished or key in tried:
                continue
            tried.add(key)
            if self._works_just_before(call, Experiment(who, key)):
                self.subject.orders[call.step] = other.step
                return other.step
        return None

    def _works_just_before(self, call: Called, experiment: Experiment) -> bool:
        self._play(experiment)
        trial = experiment.call
        return trial is not None and trial.error is None and self._restores(trial, call)

    def _restores(self, trial: Called, call: Called) -> bool:
        """Did the trial take back all that the action's calls had changed?"""
        done = [c for c in self._of(call, "do") if c.changed]
        if not done:
            return True
        here, wanted = participants.leaves(trial.after), participants.leaves(done[0].before)
        return all(here.get(p) == wanted.get(p) for c in done for p in difference(c.before, c.after))

    # ------------------------------------------------------------ what is left in the end

    def _left(self, left: dict[str, tuple[Any, Any]]) -> Iterator[Finding]:
        seen: set[tuple[str, str]] = set()
        for call in self.calls:
            key = (call.seat, call.action)
            if call.direction in ("do", "late") and key not in seen:
                seen.add(key)
                places = self._unsettled(call, left)
                if places:
                    yield self._blame(call, {p: left[p] for p in places})

    def _unsettled(self, call: Called, left: dict[str, tuple[Any, Any]]) -> list[str]:
        """Where the action's calls did not take back what they did."""
        net: dict[str, list[tuple[Any, Any]]] = {}
        for each in self._of(call, "do", "undo", "late"):
            for place, change in difference(each.before, each.after).items():
                if place in left:
                    net.setdefault(place, []).append(change)
        return [place for place, moves in net.items() if not _takes_back(moves)]

    def _blame(self, call: Called, left: dict[str, tuple[Any, Any]]) -> Finding:
        step, said = call.step, shown(left)
        definition = self.subject.step(step)
        done = [c for c in self._of(call, "do") if c.changed]
        undone = self._of(call, "undo")
        if any(c.changed for c in self._of(call, "late")):
            return finding("late", step, evidence=said)
        if not undone:
            code = "no-compensation" if definition.undo is None else "incomplete"
            return finding(code, step, evidence=said)
        if undone[0].known:
            other = self._works_before(undone[0])
            if other is not None:
                return finding("order", step, other=other, evidence=said)
            return finding("incomplete", step, evidence=said)
        if not done:
            return finding("nothing-to-undo", step, evidence=said)
        broken = any("broken" in c.option or "breaks" in c.option for c in done)
        return finding("partial" if broken else "ignores-unknown", step, evidence=said)


def cannot_go_on(saga: str, error: Parked) -> Finding | None:
    """An execution that parks as a whole: why? None: only because it is long."""
    said = [error.message]
    if isinstance(error, LimitExceeded):
        return None
    if isinstance(error, Divergence):
        return finding("non-deterministic", saga, evidence=said)
    if isinstance(error, Stuck):
        return finding("stuck", saga, evidence=said)
    code = "fails-after-pivot" if "after the pivot" in error.message else "parked"
    return finding(code, saga, evidence=said)


def _takes_back(moves: list[tuple[Any, Any]]) -> bool:
    if all(isinstance(v, (int, float)) for move in moves for v in move):
        return bool(abs(sum(after - before for before, after in moves)) < 1e-9)
    return bool(moves[0][0] == moves[-1][1])


def changes(call: Called) -> list[str]:
    """What a call changed, for people."""
    return shown(difference(call.before, call.after))


def shown(differences: dict[str, tuple[Any, Any]]) -> list[str]:
    """Differences for people, the first few."""
    lines = [f"{place}: {before!r} → {after!r}" for place, (before, after) in list(differences.items())[:6]]
    more = len(differences) - len(lines)
    return [*lines, f"… and {more} more"] if more else lines
