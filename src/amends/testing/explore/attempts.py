"""Attempts: what can become of one, carried out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ... import codec
from ...definition.compensation import SEALED, UNRESOLVED
from ...definition.context import CURRENT, Current
from ...definition.policy import Outcome
from ...definition.step import Step, StepOptions, invoke
from ...errors import AmendsError, PayloadError, Rejected
from ...kernel import entries as e
from ...kernel.actions import REJECTED, SUCCEEDED, UNDO_RUNNING, UNKNOWN, Action
from ...kernel.failures import fault_of
from ...worker import conclusions
from ...worker.conclusions import Interrupted, TimedOut, Unreadable, conclude, conclude_undo
from ...worker.dispatcher import Verification
from . import waiting
from .calling import NeedsLoop, NotInMemory
from .faults import OK
from .participants import Present, Probe
from .story import Called

if TYPE_CHECKING:
    from .run import Attempt, Run, Seat

ENDLESS = 3
"""Attempts that fail before one gets through, where a policy would go on for ever."""


class Observed(Current):
    """Notes whether the function looked at its idempotency key."""

    asked: bool = False

    @property
    def idempotency_key(self) -> str:
        """See `Current.idempotency_key`."""
        self.asked = True
        return Current.idempotency_key.fget(self)  # type: ignore[attr-defined,no-any-return]


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
        _attend_undo(run, attempt, action)


# ---------------------------------------------------------------- actions


def _attend_action(run: Run, attempt: Attempt, action: Action) -> None:
    seat = attempt.seat
    try:
        step, policy = run.definition(seat, action)
    except AmendsError as error:
        _refuse(run, seat, action, error)
        return
    mood = run.moods.get(attempt.key)
    if mood is None:
        option = _choose(run, attempt, action, _forward_options(run, attempt, action, step, policy))
    else:
        option = mood
    if option in _BETWEEN:
        _come_between(run, attempt, option)
        return
    fresh, digest = mood is None and run.path.fresh, _digest(run)
    probe = _probe(option, policy, run.subject.calls.get(digest, 0), first=mood is None)
    value, error = _perform(run, seat, action, step, policy, option, probe)
    if option == OK and fresh and probe is not None and probe.calls and not run.path.calm:
        run.subject.calls[digest] = probe.calls
        _offer_breaks(run, probe.calls, retried=_retried(policy, action.attempts + 1))
    if option in _MOODS or option.startswith("stays-broken"):
        run.moods[attempt.key] = option
    _conclude(run, seat, action, step, policy, value, error)


def _digest(run: Run) -> int:
    return run.path.points[-1].digest if run.path.points else 0


def _offer_breaks(run: Run, calls: int, *, retried: bool) -> None:
    """The attempt made several calls of participants: it may break off between any two."""
    point = run.path.points[-1]
    kinds = run.subject.kinds
    more = [f"breaks-{n}" for n in range(1, calls)] if retried and "breaks" in kinds else []
    if "stays-broken" in kinds:
        more += [f"stays-broken-{n}" for n in range(1, calls)]
    point.options = (*point.options, *more)


_MOODS = frozenset({"down", "mute", "late"})
_BETWEEN = frozenset({"crash", "cancel", "deadline", "slow"})


def _choose(run: Run, attempt: Attempt, action: Action, options: tuple[str, ...]) -> str:
    name = f"{action.name.rpartition('.')[2]}:{attempt.seat.tag}{action.id}"
    if attempt.direction == "undo":
        name = f"undo-{name}"
    number = run.counts[name] = run.counts.get(name, 0) + 1
    return run.path.choose(f"{name}#{number}", options)


def _forward_options(
    run: Run, attempt: Attempt, action: Action, step: Step[..., Any], policy: StepOptions
) -> tuple[str, ...]:
    ledger = attempt.seat.instance.ledger
    forward = run.forward
    situation = (
        step.name,
        _retried(policy, action.attempts + 1),
        ledger.pivoted,
        forward and ledger.cancel is None,
        forward and run.root.instance.ledger.deadline is not None,
        not attempt.slow and bool(run.flight or run.coming or ledger.timers),
    )
    known = run.subject.tables.get(situation)
    if known is None:
        _, retried, pivoted, cancellable, deadline, overtaken = situation
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
        run.subject.tables[situation] = known
    return known


def _retried(policy: StepOptions, attempt: int) -> bool:
    """Would another attempt follow if this one failed?"""
    retry = policy.retry
    return (retry.attempts is None or attempt < retry.attempts) and retry.allows(_broken(policy))


def _broken(policy: StepOptions) -> Exception:
    if policy.timeout is not None:
        return TimedOut(f"no result after {policy.timeout:g} s")
    return ConnectionResetError("the connection broke")


def _probe(option: str, policy: StepOptions, calls: int, *, first: bool) -> Probe | None:
    """How the attempt is broken off from within; None: it is not even made."""
    head, _, tail = option.rpartition("-")
    if tail.isdigit():
        return Probe(before=int(tail) + 1, error=_broken(policy))
    if option in ("failed", "down", "rejected") and first and calls:
        error = Rejected("refused by the explorer") if option == "rejected" else _broken(policy)
        return Probe(before=1, error=error)
    if option in ("lost", "mute") and first and calls:
        return Probe(after=calls, error=_broken(policy))
    return None if option in ("failed", "down", "late", "rejected") else Probe()


def _come_between(run: Run, attempt: Attempt, option: str) -> None:
    if option == "slow":
        attempt.slow = True
        if run.flight:
            run.flight.append(attempt)
        else:
            waiting.let_time_pass(run)
            run.flight.append(attempt)
        return
    run.flight.appendleft(attempt)
    if option == "crash":
        run.crash()
    elif option == "cancel":
        waiting.cancel(run)
    else:
        waiting.pass_deadline(run)


def _perform(
    run: Run,
    seat: Seat,
    action: Action,
    step: Step[..., Any],
    policy: StepOptions,
    option: str,
    probe: Probe | None,
) -> tuple[Any, BaseException | None]:
    """Make the attempt (or not, without a probe): what it brings once the fault has had its way."""
    record = Called(seat.tag, "do", action.id, step.name, action.attempts + 1, option)
    run.log.append(record)
    if probe is None:
        record.injected = True
        return None, Rejected("refused by the explorer") if option == "rejected" else _broken(policy)
    function = partial(_action_value, run, action, step)
    value, error = _call(run, record, function, _current(run, seat, action, "do", policy.timeout), probe)
    if error is None and option in ("lost", "mute", "present") and not probe.answered:
        record.injected = True
        error = _broken(policy)
    elif error is None and probe.fired:
        record.swallowed = probe.fired
    elif error is None and probe.before == 1 and not probe.calls:  # it had no call to break
        record.injected = True
        error = probe.error
    return value, error


def _action_value(run: Run, action: Action, step: Step[..., Any]) -> Any:
    """What the step's own code, or its stub, returns."""
    if run.subject.factory is None:
        if action.undo and not action.undo_state:  # one that comes late is refused, as by a barrier
            run.book[CURRENT.get().idempotency_key.rpartition("/")[0]] = step.name
        return run.subject.stubs.result_of(step)
    args = step.signature.decode_args(action.args)
    resources = run.resources.for_function(step.signature)
    return run.subject.caller.call(step.bound(args, resources), step.name)


def _call(
    run: Run, record: Called, function: Callable[[], Any], current: Observed, probe: Probe
) -> tuple[Any, BaseException | None]:
    """Call a function of the user's, seen by `probe`, and note what happened."""
    key = (record.seat, record.action, record.direction)
    look = run.full or key in run.arrived
    record.begun = True
    if look:
        record.before = run.state()
    value: Any = None
    error: BaseException | None = None
    token = CURRENT.set(current)
    Present.probe = probe
    try:
        value = function()
    except (NeedsLoop, NotInMemory, KeyboardInterrupt):
        raise
    except BaseException as raised:  # noqa: BLE001 - whatever a step raises ends its attempt
        error = raised
    finally:
        Present.probe = None
        CURRENT.reset(token)
    record.asked, record.calls, record.value = current.asked, probe.calls, value
    if error is None or (probe.error is not None and not probe.before):
        record.finished = True
        run.arrived.add(key)
    if error is not None:
        record.error = error
        record.injected = error is probe.error
    if look:
        record.after = run.state()
    return value, error


def _current(run: Run, seat: Seat, action: Action, direction: str, timeout: float | None) -> Observed:
    header = seat.live.header
    number = (action.attempts if direction == "do" else action.undo_attempts) + 1
    return Observed(
        header.id,
        header.uid,
        action.run,
        header.saga,
        action.name,
        action.id,
        number,
        direction,
        None if timeout is None else run.now + timeout,
        Outcome(action.outcome) if action.outcome else None,
        action.key_suffix,
    )


# ---------------------------------------------------------------- how an attempt ends


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
            event: Any = e.Completed(action.id, _encoded(step, value))
            outcome = SUCCEEDED
        except PayloadError as unreadable:
            error = Unreadable(unreadable.message, hint=unreadable.hint)
    key = (seat.tag, action.id, "do")
    if error is not None:
        outcome = "retried"
        ledger = seat.instance.ledger
        event = conclude(
            action,
            action.attempts + 1,
            error,
            policy,
            _recovery(seat, step),
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


def _encoded(step: Step[..., Any], value: Any) -> e.Raw:
    data = codec.encode(value, step.result_name)
    step.signature.result.decode(data, step.result_name)
    return e.Raw(data)


def _recovery(seat: Seat, step: Step[..., Any]) -> Any:
    program = seat.instance.program
    if program is None or not program.saga.options.recovery:
        return step.options.recovery
    return {**program.saga.options.recovery, **step.options.recovery}


def _ask_probe(run: Run, seat: Seat, action: Action, step: Step[..., Any], failed: e.Failed) -> Any:
    """A step with a status probe is asked once what became of it."""
    if step.prober is None or failed.outcome != UNKNOWN or run.subject.factory is None:
        return failed
    assert step.prober_signature is not None
    args = step.signature.decode_args(action.args)
    resources = run.resources.for_function(step.prober_signature)
    asked = partial(invoke, step.prober, step.signature, step.instance, (), args, resources)
    token = CURRENT.set(_current(run, seat, action, "do", None))
    try:
        value = run.subject.caller.call(asked, f"{step.name} (probe)")
        if value is SEALED:
            return e.Failed(failed.id, failed.fault, REJECTED, failed.hold)
        return failed if value is UNRESOLVED else e.Completed(failed.id, _encoded(step, value))
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


# ---------------------------------------------------------------- stopped, and lost with a worker


def interrupt(run: Run, seat: Seat, action: Action) -> None:
    """The saga no longer waits for an action. How far its attempt had come is a race, so each way is tried."""
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
    fate = _choose(run, attempt, action, ("absent", "present", "finished"))
    probe = None if fate == "absent" else Probe()
    value, error = _perform(run, seat, action, step, policy, fate, probe)
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
    if _choose(run, attempt, action, ("absent", "present")) == "present":
        if attempt.direction == "do":
            step, policy = run.definition(seat, action)
            _perform(run, seat, action, step, policy, "present", Probe())
        else:
            _perform_undo(run, seat, action, run.subject.step(action.name), "present", Probe())
    return True


# ---------------------------------------------------------------- compensations


def _attend_undo(run: Run, attempt: Attempt, action: Action) -> None:
    seat = attempt.seat
    try:
        step = run.subject.step(action.name)
    except AmendsError as error:
        run.tell(seat, e.UndoFailed(action.id, fault_of(error)))
        return
    if run.experiment is not None and run.experiment.before == attempt.key:
        _try_earlier(run, run.experiment)
    mood = run.moods.get(attempt.key)
    if mood is None:
        option = _choose(run, attempt, action, _undo_options(run, attempt, action, step))
    else:
        option = mood
    if option in _BETWEEN:
        _come_between(run, attempt, option)
        return
    if option == "down":
        run.moods[attempt.key] = option
    fresh, digest = mood is None and run.path.fresh and not run.path.calm, _digest(run)
    probe = _undo_probe(option, run.subject.calls.get(digest, 0), first=mood is None)
    error = _perform_undo(run, seat, action, step, option, probe)
    if option == OK and fresh and probe is not None:
        run.subject.calls[digest] = probe.calls
    if error is None:
        run.tell(seat, e.Undone(action.id))
        _arrive_late(run, seat, action)
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


def _perform_undo(
    run: Run, seat: Seat, action: Action, step: Step[..., Any], option: str, probe: Probe | None
) -> BaseException | None:
    record = Called(seat.tag, "undo", action.id, step.name, action.undo_attempts + 1, option)
    run.log.append(record)
    broken = ConnectionResetError("the connection broke")
    if probe is None:
        record.injected = True
        return broken
    timeout = step.undo.options.timeout if step.undo is not None else None
    function = partial(_undo_value, run, action, step, record)
    _, error = _call(run, record, function, _current(run, seat, action, "undo", timeout), probe)
    if error is None and option in ("lost", "present") and not probe.answered:
        record.injected = True
        return broken
    if error is None and probe.fired:
        record.swallowed = probe.fired
    return error


def _undo_value(run: Run, action: Action, step: Step[..., Any], record: Called) -> None:
    """Call the compensation, and what verifies it (compare `worker.dispatcher`)."""
    record.known = action.outcome == SUCCEEDED
    record.empty = not record.known and (record.seat, record.action, "do") not in run.arrived
    if run.subject.factory is None:
        run.book.pop(CURRENT.get().idempotency_key.rpartition("/")[0], None)
        return
    call = run.subject.caller.call
    args = step.signature.decode_args(action.args)
    if action.kind == "adhoc":
        call(step.bound(args, run.resources.for_function(step.signature)), step.name)
        return
    if step.undo is None:
        raise AmendsError(f"{step.name} no longer has a compensation, but this action needs one")
    result = None
    if action.outcome == SUCCEEDED and action.value != e.NULL:
        result = step.signature.result.decode(action.value, step.result_name)
    function, signature = step.undo.candidates[conclusions.candidate(step, action.undo_attempts)]
    resources = run.resources.for_function(signature)
    given = (signature, step.instance, (result,), args, resources)
    call(partial(invoke, function, *given), f"{step.name} (undo) {function.__qualname__}")
    if step.verifier is not None:
        sure = call(partial(invoke, step.verifier, *given), f"{step.name} (verify)")
        if sure is False:
            raise Verification(f"the check after compensating {step.name} says it did not take")


def _arrive_late(run: Run, seat: Seat, action: Action) -> None:
    """The request that was thought lost arrives after all."""
    late = run.late.pop((seat.tag, action.id, "do"), None)
    if late is None:
        return
    step = run.subject.step(action.name)
    record = Called(seat.tag, "late", action.id, step.name, 1, "late")
    run.log.append(record)
    current = _current(run, seat, action, "do", None)
    current.outcome = None
    _call(run, record, partial(_action_value, run, action, step), current, Probe())


def _try_earlier(run: Run, experiment: Any) -> None:
    """Would that compensation work now, before this one?"""
    tag, id, _ = experiment.who
    seat = next(seat for seat in run.seats.values() if seat.tag == tag)
    action = seat.instance.ledger.actions.get(id)
    if action is None or experiment.call is not None:
        return
    _perform_undo(run, seat, action, run.subject.step(action.name), OK, Probe())
    experiment.call = run.log[-1]
