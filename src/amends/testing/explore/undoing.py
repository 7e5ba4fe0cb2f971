"""Attempts of compensations: what can become of one, carried out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...definition.step import Step
from ...errors import AmendsError
from ...kernel import entries as e
from ...kernel.actions import Action
from ...kernel.failures import fault_of
from ...worker.conclusions import conclude_undo
from .between import BETWEEN, ENDLESS, choose, come_between, digest_of
from .faults import OK
from .participants import Probe
from .performing import action_value, call_seen, current_of, perform_undo
from .story import Called

if TYPE_CHECKING:
    from .run import Attempt, Experiment, Run, Seat


def attend_undo(run: Run, attempt: Attempt, action: Action) -> None:
    """Let the attempt of a compensation come to an end, or let something come between."""
    seat = attempt.seat
    try:
        step = run.subject.step(action.name)
    except AmendsError as refused:
        run.tell(seat, e.UndoFailed(action.id, fault_of(refused)))
        return
    if run.experiment is not None and run.experiment.before == attempt.key:
        try_earlier(run, run.experiment)
    mood = run.moods.get(attempt.key)
    options = _undo_options(run, attempt, action, step)
    option = choose(run, attempt, action, options) if mood is None else mood
    if option in BETWEEN:
        come_between(run, attempt, option)
        return
    if option == "down":
        run.moods[attempt.key] = option
    fresh, digest = mood is None and run.path.fresh and not run.path.calm, digest_of(run)
    probe = _undo_probe(option, run.subject.calls.get(digest, 0), first=mood is None)
    error = perform_undo(run, seat, action, step, option, probe)
    if option == OK and fresh and probe is not None:
        run.subject.calls[digest] = probe.calls
    if error is None:
        run.tell(seat, e.Undone(action.id))
        arrive_late(run, seat, action)
        return
    event = conclude_undo(
        action, action.undo_attempts + 1, error, step, now=run.now, chance=run.subject.chance
    )
    if type(event) is e.UndoFailed or action.undo_attempts + 1 >= _patience(step):
        run.moods.pop(attempt.key, None)
    run.tell(seat, event)


def _patience(step: Step[..., Any]) -> int:
    attempts = step.undo.options.retry.attempts if step.undo is not None else None
    return 1_000 if attempts is not None else ENDLESS


def _undo_options(run: Run, attempt: Attempt, action: Action, step: Step[..., Any]) -> tuple[str, ...]:
    overtaken = not attempt.slow and bool(run.flight or run.coming)
    situation = ("undo", overtaken)
    known = run.subject.tables.get(situation)
    if known is None:
        wanted = (OK, "failed", "lost", "down", "crash", *(("slow",) if overtaken else ()))
        known = tuple(name for name in wanted if name == OK or name in run.subject.kinds)
        run.subject.tables[situation] = known
    return known


def _undo_probe(option: str, calls: int, *, first: bool) -> Probe | None:
    """As `_probe`."""
    broken = ConnectionResetError("the connection broke")
    if calls and first and option in ("failed", "down"):
        return Probe(before=1, error=broken)
    if calls and option == "lost":
        return Probe(after=calls, error=broken)
    return None if option in ("failed", "down") else Probe()


def arrive_late(run: Run, seat: Seat, action: Action) -> None:
    """The request that was thought lost arrives after all."""
    late = run.late.pop((seat.tag, action.id, "do"), None)
    if late is None:
        return
    step = run.subject.step(action.name)
    record = Called(seat.tag, "late", action.id, step.name, 1, "late")
    run.log.append(record)
    current = current_of(run, seat, action, "do", None)
    current.outcome = None
    call_seen(run, record, partial(action_value, run, action, step), current, Probe())


def try_earlier(run: Run, experiment: Experiment) -> None:
    """Would that compensation work now, before this one?"""
    tag, id, _ = experiment.who
    seat = next(seat for seat in run.seats.values() if seat.tag == tag)
    action = seat.instance.ledger.actions.get(id)
    if action is None or experiment.call is not None:
        return
    perform_undo(run, seat, action, run.subject.step(action.name), OK, Probe())
    experiment.call = run.log[-1]
