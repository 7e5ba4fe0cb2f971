"""Attempts of actions: what can become of one, carried out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ...definition.compensation import SEALED, UNRESOLVED
from ...definition.context import CURRENT
from ...definition.step import Step, StepOptions, invoke
from ...errors import AmendsError, PayloadError, Rejected
from ...kernel import entries as e
from ...kernel.actions import REJECTED, SUCCEEDED, UNDO_RUNNING, UNKNOWN, Action
from ...kernel.failures import fault_of
from ...worker import conclusions
from ...worker.calling import encoded, recovery_of
from ...worker.conclusions import Interrupted, conclude
from .between import BETWEEN, ENDLESS, choose, come_between, digest_of
from .calling import NeedsLoop, NotInMemory
from .faults import OK
from .participants import Probe
from .performing import broken, current_of, perform, perform_undo
from .story import Called
from .undoing import attend_undo

if TYPE_CHECKING:
    from .run import Attempt, Run, Seat


def attend(run: Run) -> None:
    """Let the attempt that is next in flight come to an end, or let something come between."""
    attempt = run.flight.popleft()
    action = attempt.seat.instance.ledger.actions.get(attempt.action)
    if action is None:
        return
    if attempt.direction == "do":
        if action.outcome or action.hold:
            return
        _attend_action(run, attempt, action)
    elif action.undo_state == UNDO_RUNNING:
        attend_undo(run, attempt, action)


def _attend_action(run: Run, attempt: Attempt, action: Action) -> None:
    seat = attempt.seat
    try:
        step, policy = run.definition(seat, action)
    except AmendsError as refused:
        _refuse(run, seat, action, refused)
        return
    mood = run.moods.get(attempt.key)
    if mood is None:
        option = choose(run, attempt, action, _forward_options(run, attempt, action, step, policy))
    else:
        option = mood
    if option in BETWEEN:
        come_between(run, attempt, option)
        return
    fresh, digest = mood is None and run.path.fresh, digest_of(run)
    probe = _probe(option, policy, run.subject.calls.get(digest, 0), first=mood is None)
    value, error = perform(run, seat, action, step, policy, option, probe)
    if option == OK and fresh and probe is not None and probe.calls and not run.path.calm:
        run.subject.calls[digest] = probe.calls
        _offer_breaks(run, probe.calls, retried=_retried(policy, action.attempts + 1))
    if option in _MOODS or option.startswith("stays-broken"):
        run.moods[attempt.key] = option
    _conclude(run, seat, action, step, policy, value, error)


def _offer_breaks(run: Run, calls: int, *, retried: bool) -> None:
    """The attempt made several calls of participants: it may break off between any two."""
    point = run.path.points[-1]
    kinds = run.subject.kinds
    more = [f"breaks-{n}" for n in range(1, calls)] if retried and "breaks" in kinds else []
    if "stays-broken" in kinds:
        more += [f"stays-broken-{n}" for n in range(1, calls)]
    point.options = (*point.options, *more)


_MOODS = frozenset({"down", "mute", "late"})


def _forward_options(
    run: Run, attempt: Attempt, action: Action, step: Step[..., Any], policy: StepOptions
) -> tuple[str, ...]:
    ledger = attempt.seat.instance.ledger
    forward = run.forward
    usual = policy is step.options
    situation = (
        step.name if usual else "",
        action.attempts,
        ledger.pivoted,
        forward and ledger.cancel is None,
        forward and run.root.instance.ledger.deadline is not None,
        not attempt.slow and bool(run.flight or run.coming or ledger.timers),
    )
    known = run.subject.tables.get(situation) if usual else None
    if known is None:
        _, attempts, pivoted, cancellable, deadline, overtaken = situation
        retried = _retried(policy, attempts + 1)
        wanted = {
            OK: True,
            "rejected": not pivoted or run.subject.may_reject(step),
            "failed": retried,
            "lost": retried and not step.options.transaction,
            "down": True,
            "mute": not step.options.transaction,
            "late": not pivoted and step.undo is not None and not step.options.transaction,
            "crash": True,
            "cancel": cancellable,
            "deadline": deadline,
            "slow": overtaken,
        }
        kinds = run.subject.kinds
        known = tuple(name for name, sensible in wanted.items() if sensible and (name == OK or name in kinds))
        if usual:
            run.subject.tables[situation] = known
    return known


def _retried(policy: StepOptions, attempt: int) -> bool:
    """Would another attempt follow if this one failed?"""
    retry = policy.retry
    return (retry.attempts is None or attempt < retry.attempts) and retry.allows(broken(policy))


def _probe(option: str, policy: StepOptions, calls: int, *, first: bool) -> Probe | None:
    """How the attempt is broken off from within; None: it is not even made."""
    tail = option.rpartition("-")[2]
    if tail.isdigit():
        return Probe(before=int(tail) + 1, error=broken(policy))
    if option in ("failed", "down", "rejected") and first and calls:
        error = Rejected("refused by the explorer") if option == "rejected" else broken(policy)
        return Probe(before=1, error=error)
    if option in ("lost", "mute") and first and calls:
        return Probe(after=calls, error=broken(policy))
    return None if option in ("failed", "down", "late", "rejected") else Probe()


def _conclude(
    run: Run,
    seat: Seat,
    action: Action,
    step: Step[..., Any],
    policy: StepOptions,
    value: Any,
    error: BaseException | None,
) -> None:
    """The event that the attempt's end is (compare `worker.dispatcher.Dispatcher.ended`)."""
    record = run.log[-1]
    if error is None:
        try:
            event: Any = e.Completed(action.id, encoded(step, value, seat.instance.limits.payload))
            outcome = SUCCEEDED
        except PayloadError as unreadable:
            error = unreadable
    key = (seat.tag, action.id, "do")
    if error is not None:
        outcome = "retried"
        ledger = seat.instance.ledger
        event = conclude(
            action,
            action.attempts + 1,
            error,
            policy,
            recovery_of(seat.instance, step),
            now=run.now,
            pivoted=ledger.pivoted,
            chance=run.subject.chance,
        )
        if type(event) is e.Failed:
            if run.moods.pop(key, "") == "late":
                run.late[key] = action
            outcome = event.outcome
            event = _ask_probe(run, seat, action, step, event)
        elif key in run.moods and action.attempts + 1 >= (policy.retry.attempts or ENDLESS):
            del run.moods[key]  # it would go on for ever: at last one gets through
    record.outcome = outcome
    run.tell(seat, event)


def _ask_probe(run: Run, seat: Seat, action: Action, step: Step[..., Any], failed: e.Failed) -> Any:
    """A step with a status probe is asked once what became of it."""
    if step.prober is None or failed.outcome != UNKNOWN or run.subject.factory is None:
        return failed
    assert step.prober_signature is not None
    args = step.signature.decode_args(action.args)
    resources = run.resources.for_function(step.prober_signature)
    asked = partial(invoke, step.prober, step.signature, step.instance, (), args, resources)
    token = CURRENT.set(current_of(run, seat, action, "do", None))
    try:
        value = run.subject.caller.call(asked, f"{step.name} (probe)")
        if value is SEALED:
            return e.Failed(failed.id, failed.fault, REJECTED, failed.hold)
        if value is UNRESOLVED:
            return failed
        return e.Completed(failed.id, encoded(step, value, seat.instance.limits.payload))
    except (NeedsLoop, NotInMemory):
        raise
    except Exception as error:  # noqa: BLE001 - a probe that fails says nothing, as in a worker
        record = Called(seat.tag, "probe", action.id, step.name, 1, OK, begun=True, error=error)
        run.log.append(record)
        return failed
    finally:
        CURRENT.reset(token)


def _refuse(run: Run, seat: Seat, action: Action, error: Exception) -> None:
    outcome = UNKNOWN if action.tainted else REJECTED
    run.tell(seat, e.Failed(action.id, fault_of(error), outcome, conclusions.refusal(error)))


def interrupt(run: Run, seat: Seat, action: Action) -> None:
    """The saga no longer waits for an action. How far its attempt had come is a race: each way is tried."""
    if action.kind == "child":
        return
    key = (seat.tag, action.id, "do")
    attempt = next((a for a in run.flight if a.key == key), None)
    reason = Interrupted("the saga no longer waits for this step")
    if attempt is None:
        run.coming = [c for c in run.coming if not (c[2] is seat and c[3] == action.id and c[4] == "do")]
        outcome = UNKNOWN if action.tainted else REJECTED
        run.tell(seat, e.Failed(action.id, fault_of(reason), outcome))
        return
    run.flight.remove(attempt)
    run.moods.pop(key, None)
    step, policy = run.definition(seat, action)
    fate = choose(run, attempt, action, ("absent", "present", "finished"))
    probe = None if fate == "absent" else Probe()
    value, error = perform(run, seat, action, step, policy, fate, probe)
    if fate == "finished" and error is None:
        _conclude(run, seat, action, step, policy, value, None)
    else:
        _conclude(run, seat, action, step, policy, None, reason)


def lost_on_the_way(run: Run, attempt: Attempt) -> bool:
    """An attempt is in flight while its worker dies. Whether it had its effect is a race: each way is tried.

    Returns whether it counts as lost (all do: nobody knows).
    """
    seat = attempt.seat
    action = seat.instance.ledger.actions.get(attempt.action)
    if action is None:
        return False
    if choose(run, attempt, action, ("absent", "present")) == "present":
        if attempt.direction == "do":
            step, policy = run.definition(seat, action)
            perform(run, seat, action, step, policy, "present", Probe())
        else:
            perform_undo(run, seat, action, run.subject.step(action.name), "present", Probe())
    return True
