"""From the end of an attempt to an event: the three outcomes, taint, retries, and what to do when
none is left.

Pure functions (promises 1, 10 and 11 live here); the worker journals what they return.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ..definition.compensation import CompensationOptions
from ..definition.policy import Recovery, Retry, retry_after, told_by
from ..definition.step import Step, StepOptions
from ..errors import DefinitionError, NotSent, PayloadError, Rejected
from ..kernel import entries as e
from ..kernel.actions import REJECTED, UNKNOWN, Action
from ..kernel.failures import fault_of
from ..store.queueing import Told

CALM = 0.1
"""Shortest wait (seconds) between attempts that go on for ever."""

CERTAINLY_NOT_SENT = (NotSent, ConnectionRefusedError)


class Interrupted(Exception):
    """The attempt was stopped because the saga no longer waits for it. `began`: it may have had an effect."""

    began = True


class TimedOut(TimeoutError):
    """The attempt ran longer than the step's timeout."""


class Unreadable(PayloadError):
    """The step returned what its annotation cannot read back, or what cannot be journaled."""

    code = "unreadable_result"


class Reported(Exception):
    """What an attempt raised where its queue is served. Its classes are known by their full names."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.message)
        self.kinds = frozenset(told.kinds or ("builtins.Exception",))
        self.order = tuple(told.kinds)
        self.fault = e.Fault(told.type, told.message, e.Raw(told.details))
        self.rejected = told.rejected
        self.unsent = told.unsent
        self.stopped = told.stopped
        self.counts = not told.uncounted
        self.retry_after = told.retry_after


def full_name(type_: type) -> str:
    """How a class is called in reports."""
    return f"{type_.__module__}.{type_.__qualname__}"


def is_a(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """`isinstance`, also for what was raised elsewhere."""
    if type(error) is Reported:
        return any(full_name(type_) in error.kinds for type_ in types)
    return isinstance(error, types)


def told_of(error: BaseException) -> Told:
    """An exception as a report carries it."""
    fault = fault_of(error)
    kinds = [full_name(type_) for type_ in type(error).__mro__ if type_ is not object]
    return Told(
        fault.type,
        fault.message,
        fault.details,
        kinds,
        rejected=isinstance(error, Rejected),
        uncounted=not counts(error),
        unsent=isinstance(error, CERTAINLY_NOT_SENT) or _never_began(error),
        stopped=isinstance(error, Interrupted),
        retry_after=retry_after(error),
    )


UNJUDGED = "unjudged"
"""Why an action waits for a person of which the failure could not be looked at."""


def refusal(error: Exception) -> str:
    """Why an action could not even be attempted: its `arguments`, a `resource`, or a `missing_definition`."""
    if isinstance(error, PayloadError):
        return "arguments"
    return "resource" if isinstance(error, DefinitionError) else "missing_definition"


def is_rejection(error: BaseException, policy: StepOptions) -> bool:
    """Did the participant certainly do nothing?"""
    return is_a(error, (Rejected, *policy.rejects)) or (type(error) is Reported and error.rejected)


def _fault_of(error: BaseException) -> e.Fault:
    return error.fault if type(error) is Reported else fault_of(error)


def _was_stopped(error: BaseException) -> bool:
    return error.stopped if type(error) is Reported else isinstance(error, Interrupted)


def _was_not_sent(error: BaseException) -> bool:
    return error.unsent if type(error) is Reported else isinstance(error, CERTAINLY_NOT_SENT)


def _never_began(error: BaseException) -> bool:
    return isinstance(error, Interrupted) and not error.began


def counts(error: BaseException) -> bool:
    """Does the failed attempt count? An exception whose `counts` is False says no: the step holds."""
    return told_by(error, "counts") is not False


def conclude(
    action: Action,
    attempt: int,
    error: BaseException,
    policy: StepOptions,
    recovery: Mapping[type[BaseException], Any],
    *,
    now: float,
    pivoted: bool,
    chance: random.Random,
    rolled_back: bool = False,
) -> e.AttemptFailed | e.Failed:
    """What a failed attempt means: another attempt, or the action's final outcome."""
    rejected = is_rejection(error, policy)
    certain = rolled_back or rejected or _never_began(error) or _was_not_sent(error)
    tainted = action.tainted or not certain
    if policy.remembers_rejections and rejected:
        tainted = False
    outcome = UNKNOWN if tainted else REJECTED
    fault = _fault_of(error)
    if action.interrupted or _was_stopped(error):
        return e.Failed(action.id, fault, outcome)
    wanted = _recovery(error, recovery)
    if not rejected:
        if not counts(error):
            wait = max(CALM, retry_after(error))
            return e.AttemptFailed(action.id, attempt - 1, fault, tainted, now + wait, wait)
        due = _retry_at(action, attempt, error, policy, now, chance)
        if due is None and (pivoted or wanted is Recovery.FORWARD):
            due = now + max(CALM, policy.retry.wait(attempt, chance), retry_after(error))
        if due is not None:
            return e.AttemptFailed(action.id, attempt, fault, tainted, due)
    return e.Failed(action.id, fault, outcome, _hold(action, wanted, outcome, pivoted=pivoted))


def _retry_at(
    action: Action,
    attempt: int,
    error: BaseException,
    policy: StepOptions,
    now: float,
    chance: random.Random,
) -> float | None:
    if is_a(error, (PayloadError,)) or not _may_retry(policy.retry, error):
        return None
    due = policy.retry.after(attempt, error, action.opened_at, now, chance)
    limit = policy.schedule_to_close
    if due is not None and limit is not None and due > action.opened_at + limit:
        return None
    return due


def _may_retry(retry: Retry, error: BaseException) -> bool:
    return (
        is_a(error, retry.on) and not is_a(error, retry.never)
        if type(error) is Reported
        else retry.allows(error)
    )


def _recovery(error: BaseException, policy: Mapping[type[BaseException], Any]) -> Recovery:
    """The most specific class of the error that the policy names."""
    if type(error) is Reported:
        named = {full_name(type_): way for type_, way in policy.items()}
        return Recovery(next((named[kind] for kind in error.order if kind in named), Recovery.BACKWARD))
    for type_ in type(error).__mro__:
        if type_ in policy:
            return Recovery(policy[type_])
    return Recovery.BACKWARD


def _hold(action: Action, wanted: Recovery, outcome: str, *, pivoted: bool) -> str:
    """Why a final failure waits for a person instead of reaching the saga; empty: it does not wait."""
    if pivoted:
        return "pivot"
    if wanted in (Recovery.ASK, Recovery.HALT):
        return wanted.value
    if outcome == UNKNOWN and action.undo == e.UNDO_IRREVERSIBLE:
        return "irreversible"
    return ""


def candidate(step: Step[..., Any], attempts: int) -> int:
    """Which compensation function (the first, or an alternate) the next attempt uses."""
    assert step.undo is not None
    each = step.undo.options.retry.attempts
    if each is None:
        return 0
    return min(attempts // each, len(step.undo.candidates) - 1)


def conclude_undo(
    action: Action,
    attempt: int,
    error: BaseException,
    step: Step[..., Any] | None,
    *,
    now: float,
    chance: random.Random,
) -> e.UndoAttemptFailed | e.UndoFailed:
    """What a failed compensation attempt means: another one, an alternate, or a person."""
    fault = _fault_of(error)
    if not counts(error):
        wait = max(CALM, retry_after(error))
        return e.UndoAttemptFailed(action.id, attempt - 1, fault, now + wait, wait)
    undo = None if step is None or action.kind == "adhoc" else step.undo
    options = CompensationOptions() if undo is None else undo.options
    candidates = 1 if undo is None else len(undo.candidates)
    retry = options.retry
    each = retry.attempts
    within = attempt if each is None else (attempt - 1) % each + 1
    due = None
    if _may_retry(retry, error):
        due = retry.after(within, error, action.undo_opened_at, now, chance)
    if due is None and each is not None and attempt // each < candidates:
        due = now
    if due is not None and (each is None or attempt < each * candidates):
        return e.UndoAttemptFailed(action.id, attempt, fault, due)
    return e.UndoFailed(action.id, fault, options.critical)
