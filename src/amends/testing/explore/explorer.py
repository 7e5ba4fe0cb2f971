"""`explore`: every path of a saga with at most so many faults; `replay`: one of them."""

from __future__ import annotations

import gc
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...clock import Clock, SystemClock
from ...definition.saga import SagaCall
from ...errors import Parked, did_you_mean
from .ahead import Ahead, usable
from .choices import Frontier, Path, Scripted, Unrepeatable
from .coverage import record
from .diagnosis import Diagnosis
from .faults import FREE, KINDS, kind_of
from .findings import CAUSES, Finding, essential, finding
from .participants import Factory
from .report import Report
from .run import Run, played
from .seeing import Sight
from .story import told
from .subject import CannotExplore, Subject
from .survey import Survey

Progress = Callable[[int, int], None]
"""Told now and then how many paths have been run, and how many are known."""

_TOLD_EVERY = 100
_REPLAYS = 20
_SMALLER = "allow more (limit=), fewer faults (faults=), or leave kinds out (without=)"


def explore(
    call: SagaCall[Any],
    *,
    participants: Factory | None = None,
    faults: int = 2,
    values: Mapping[str, Any] | None = None,
    signals: Mapping[str, Sequence[Any]] | None = None,
    steps: Sequence[Any] = (),
    without: Collection[str] = (),
    accept: Collection[str] = (),
    limit: int = 100_000,
    jobs: int | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Report:
    """Run a saga on every path with at most `faults` faults, and say what is wrong with it.

    participants: makes fresh participants in memory for each run (one object, or several); steps get them
    as resources.  What they hold is compared; an object may say by `snapshot()` what counts.  Without them
    the steps are stubbed by the types they return, or by `values` (by the step's name).  signals: the values
    that may come, by the signal's name.  steps: objects whose methods are steps, as for an engine.  without:
    kinds of faults to leave out.  accept: findings to let pass, as ``"late shop.charge"`` or ``"late"``.
    limit: most paths to run.  jobs: among how many processes to divide the runs, which changes nothing but
    the time it takes; by default as many as there are cores, where forking is safe (on Linux, while no other
    thread runs, and not in a worker of pytest-xdist).  Raises `CannotExplore`.
    """
    subject = _subject(call, participants, values, signals, without, steps)
    _check(accept, [name.partition(" ")[0] for name in accept], CAUSES)
    clock = clock or SystemClock()
    report = Report(saga=call.saga.name, faults=faults, stubbed=participants is None)
    report.subject = (call, _given(participants=participants, values=values, signals=signals))
    began = clock.monotonic()
    with _alone():
        looked = Survey(subject, _start(subject))
        _explore(looked, report, limit, progress, usable() if jobs is None else jobs)
        looked.conclude(everything=not report.remaining and faults >= 1 and not without)
    report.seconds = clock.monotonic() - began
    _fill(report, looked, accept)
    return report


def _explore(looked: Survey, report: Report, limit: int, progress: Progress | None, jobs: int) -> None:
    """Run path after path, and collect what the runs show."""
    subject, frontier = looked.subject, Frontier(report.faults)
    ahead = Ahead(Sight(subject, looked.start, faults=report.faults).along, jobs)
    try:
        while (path := frontier.next()) is not None:
            if report.runs >= limit:
                report.stopped = f"the limit of {limit:,} paths is reached; {_SMALLER}"
                break
            try:
                seen = ahead.seen(path, report.runs, frontier.following(path))
                looked.take(seen, path)
                frontier.add(path, seen.further)
                subject.calls.update(seen.calls)
            except Unrepeatable as moved:
                looked.declare(_unrepeatable(subject, moved))
            if not looked.trustworthy:
                report.stopped = "the rest means nothing before that is mended"
                break
            report.runs += 1
            if progress is not None and report.runs % _TOLD_EVERY == 0:
                progress(report.runs, report.runs + len(frontier))
    finally:
        ahead.close()
    if report.stopped:
        report.remaining = len(frontier) + 1


def replay(
    call: SagaCall[Any],
    path: str,
    *,
    participants: Factory | None = None,
    values: Mapping[str, Any] | None = None,
    signals: Mapping[str, Sequence[Any]] | None = None,
    steps: Sequence[Any] = (),
    accept: Collection[str] = (),
) -> Report:
    """Run a saga on one path, as a finding's `replay` names it, and look at it closely.

    Raises `CannotExplore` if the run never comes to a point that the path names.
    """
    subject = _subject(call, participants, values, signals, (), steps)
    report = Report(saga=call.saga.name, faults=len(path.split()), stubbed=participants is None, path=path)
    report.subject = (call, _given(participants=participants, values=values, signals=signals))
    with _alone():
        start = _start(subject)
        looked, sight = Survey(subject, start), Sight(subject, start, faults=0)
        looked.take(sight.of(played(subject, Path())), Path())
        parts = _parts(path)
        for count in range(
            len(parts)
        ):  # the ways to it tell how many calls of participants there are to break
            played(subject, Scripted(" ".join(parts[:count])))
        run = played(subject, Scripted(path))
        assert isinstance(run.path, Scripted)
        if run.path.wanted:
            _never_met(run.path)
        seen = sight.of(run)
        if run.parked is None:
            seen.diverged = sight.divergence(run)
        looked.take(seen, run.path)
        for found in Diagnosis(subject, run.path, start).findings():
            looked.declare(found)
    report.runs = 1
    report.story = [told(each) for each in run.log]
    report.status = run.status
    report.journal = (run.root.live.header, run.root.rows)
    report.participants = run.participants
    _fill(report, looked, accept)
    return report


def _parts(path: str) -> list[str]:
    """The deviations of a path as text. Raises `CannotExplore` for options that there are not."""
    parts = path.split()
    for part in parts:
        option = part.rpartition("=")[2]
        known = (*KINDS, *FREE)
        if kind_of(option) not in (*known, "value"):
            raise CannotExplore(
                f"{part}: there is no option {option!r}", hint=did_you_mean(option, known) or ", ".join(known)
            )
    return parts


def _given(**options: Any) -> dict[str, Any]:
    """Options of a replay that are not the default."""
    return {name: value for name, value in options.items() if value is not None}


def _never_met(path: Scripted) -> None:
    missed = next(iter(path.wanted))
    met = [point.key for point in path.points]
    raise CannotExplore(
        f"the run never came to {missed}",
        hint=did_you_mean(missed, met) or f"it came to {', '.join(met)}",
    )


def _subject(
    call: SagaCall[Any],
    participants: Factory | None,
    values: Mapping[str, Any] | None,
    signals: Mapping[str, Sequence[Any]] | None,
    without: Collection[str],
    steps: Sequence[Any],
) -> Subject:
    if not isinstance(call, SagaCall):
        raise CannotExplore(
            f"explore takes a call of a saga, got {call!r:.80}", hint="explore(place_order(order))"
        )
    if participants is not None and not callable(participants):
        raise CannotExplore(
            f"participants makes fresh ones for each run, got {participants!r:.80}",
            hint="give the class or a function: participants=Bank, participants=lambda: [Bank(), Stock()]",
        )
    _check(without, without, KINDS)
    subject = Subject(call, participants, values=values, signals=signals, without=frozenset(without))
    for each in steps:
        subject.registry.add_instance(each)
    return subject


def _check(given: Collection[str], names: Collection[str], known: Collection[str]) -> None:
    if isinstance(given, str):
        raise CannotExplore(f"expected several names, got the text {given!r}", hint=f"[{given!r}]")
    for name in names:
        if name not in known:
            raise CannotExplore(f"there is no {name!r}", hint=did_you_mean(name, known) or ", ".join(known))


def _start(subject: Subject) -> Any:
    """What fresh participants hold. Raises `CannotExplore` if it differs from time to time."""
    first, second = Run(subject, Path()).state(), Run(subject, Path()).state()
    if first != second:
        raise CannotExplore(
            "fresh participants are not always the same",
            hint="leave what differs out of snapshot(), or begin its name with an underscore",
        )
    return first


def _unrepeatable(subject: Subject, moved: Unrepeatable) -> Finding:
    """A run went another way than before. If a replay of its journal diverges, it is the body's doing."""
    for _ in range(_REPLAYS):
        try:
            played(subject, Path()).replay()
        except Parked as error:
            return finding("non-deterministic", subject.saga.name, evidence=[error.message])
    said = [f"it came to {moved.key}, where it had not come before"]
    return finding("non-deterministic", subject.saga.name, evidence=said)


def _fill(report: Report, looked: Survey, accept: Collection[str]) -> None:
    for found in essential(list(looked.findings.values())):
        accepted = found.name in accept or found.code in accept
        (report.accepted if accepted else report.findings).append(found)
    report.notes = list(looked.notes.values())
    report.statuses = dict(looked.statuses.most_common())
    report.histories = len(looked.histories)
    report.coverage = looked.coverage()
    record(report.coverage)


@contextmanager
def _alone() -> Iterator[None]:
    """Without an event loop around it, and with the garbage collector at times of our choosing."""
    outer, collects = _get_running_loop(), gc.isenabled()
    _set_running_loop(None)
    gc.disable()
    try:
        yield
    finally:
        _set_running_loop(outer)
        if collects:
            gc.enable()
