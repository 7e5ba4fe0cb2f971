"""Making the calls: a step's or compensation's function, seen by a probe, and noted in the run's log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...definition.context import CURRENT, Current
from ...definition.step import Step, StepOptions
from ...errors import Rejected
from ...kernel.actions import SUCCEEDED, Action
from ...worker import calling
from ...worker.conclusions import TimedOut
from ...worker.undoing import undo_of
from .calling import NeedsLoop, NotInMemory
from .participants import Present, Probe
from .story import Called

if TYPE_CHECKING:
    from .run import Run, Seat


class Observed(Current):
    """Notes whether the function looked at its idempotency key."""

    asked: bool = False
    _key: str = ""

    @property
    def idempotency_key(self) -> str:
        """See `Current.idempotency_key`."""
        self.asked = True
        if not self._key:
            self._key = Current.idempotency_key.fget(self)  # type: ignore[attr-defined]
        return self._key


def perform(
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
        return None, Rejected("refused by the explorer") if option == "rejected" else broken(policy)
    function = partial(action_value, run, action, step)
    value, error = call_seen(
        run, record, function, current_of(run, seat, action, "do", policy.timeout), probe
    )
    if error is None and option in ("lost", "mute", "present") and not probe.answered:
        record.injected = True
        error = broken(policy)
    elif error is None and probe.fired:
        record.swallowed = probe.fired
    elif error is None and probe.before == 1 and not probe.calls:  # it had no call to break
        record.injected = True
        error = probe.error
    return value, error


def action_value(run: Run, action: Action, step: Step[..., Any]) -> Any:
    """What the step's own code, or its stub, returns."""
    if run.subject.factory is None:
        if action.undo and not action.undo_state:  # one that comes late is refused, as by a barrier
            run.book[CURRENT.get().idempotency_key.rpartition("/")[0]] = step.name
        return run.subject.stubs.result_of(step)
    args = step.signature.decode_args(action.args)
    resources = run.resources.for_function(step.signature)
    return run.subject.caller.call(step.bound(args, resources), step.name)


def call_seen(
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


def current_of(run: Run, seat: Seat, action: Action, direction: str, timeout: float | None) -> Observed:
    """What `amends.current()` says in the call."""
    number = (action.attempts if direction == "do" else action.undo_attempts) + 1
    deadline_at = None if timeout is None else run.now + timeout
    return calling.current_of(Observed, seat.live.header, action, number, direction, deadline_at)


def perform_undo(
    run: Run, seat: Seat, action: Action, step: Step[..., Any], option: str, probe: Probe | None
) -> BaseException | None:
    """Make an attempt of a compensation (or not, without a probe): its error, if any."""
    record = Called(seat.tag, "undo", action.id, step.name, action.undo_attempts + 1, option)
    run.log.append(record)
    broken = ConnectionResetError("the connection broke")
    if probe is None:
        record.injected = True
        return broken
    timeout = step.undo.options.timeout if step.undo is not None else None
    function = partial(undo_value, run, action, step, record)
    _, error = call_seen(run, record, function, current_of(run, seat, action, "undo", timeout), probe)
    if error is None and option in ("lost", "present") and not probe.answered:
        record.injected = True
        return broken
    if error is None and probe.fired:
        record.swallowed = probe.fired
    return error


def undo_value(run: Run, action: Action, step: Step[..., Any], record: Called) -> None:
    """Call the compensation, and what verifies it."""
    record.known = action.outcome == SUCCEEDED
    record.empty = not record.known and (record.seat, record.action, "do") not in run.arrived
    if run.subject.factory is None:
        run.book.pop(CURRENT.get().idempotency_key.rpartition("/")[0], None)
        return
    call = run.subject.caller.call
    undo = undo_of(step, action)
    resources = run.resources.for_function(undo.signature)
    label = step.name if action.kind == "adhoc" else f"{step.name} (undo) {undo.function.__qualname__}"
    call(partial(undo.call, undo.function, resources), label)
    if undo.verifier is not None:
        undo.judge(call(partial(undo.call, undo.verifier, resources), f"{step.name} (verify)"))


def broken(policy: StepOptions) -> Exception:
    """How an attempt fails that nobody answers."""
    if policy.timeout is not None:
        return TimedOut(f"no result after {policy.timeout:g} s")
    return ConnectionResetError("the connection broke")
