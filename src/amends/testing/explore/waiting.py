"""When nothing is in flight: signals, timers, retries that are due, and executions that wait for a person."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from ... import codec
from ...kernel import entries as e
from ...kernel.phases import FINISHED
from ...worker import writes
from . import stubs
from .faults import OK

if TYPE_CHECKING:
    from .run import Attempt, Run, Seat


def wait(run: Run) -> bool:
    """Let the next thing come. False: nothing will, the run is over."""
    due = _next_due(run)
    signal = _awaited(run)
    if due is None and signal is None:
        return _lost_in_waiting(run) or revive(run)
    option = OK
    if signal is not None:
        option = _choose(run, f"signal-{signal[2]}", _signal_options(run, signal, due))
    elif run.forward:
        option = _choose(run, "wait", _options(run, due))
    if option == "crash":
        run.crash()
    elif option == "cancel":
        cancel(run)
    elif option == "deadline":
        run.now = max(run.now, run.root.instance.ledger.deadline or 0.0)
        _ring(run)
    elif signal is not None:
        _signal(run, signal, option)
    else:
        assert due is not None
        run.now = max(run.now, due)
        _ring(run)
        late, run.overdue = run.overdue, []
        for seat, event in late:
            run.tell(seat, event)
    return True


def cancel(run: Run) -> None:
    """Somebody cancels the saga."""
    run.tell(run.root, e.CancelRequested("cancelled by the explorer"))


def let_time_pass(run: Run) -> None:
    """Up to the next thing that is due, while an attempt goes on."""
    due = _next_due(run)
    if due is not None:
        run.now = max(run.now, due)
        _ring(run)


def pass_deadline(run: Run) -> None:
    """The deadline of the saga passes."""
    run.now = max(run.now, run.root.instance.ledger.deadline or 0.0)
    _ring(run)


def _choose(run: Run, name: str, options: tuple[str, ...]) -> str:
    number = run.counts[name] = run.counts.get(name, 0) + 1
    return run.path.choose(f"{name}#{number}", options)


def _options(run: Run, due: float | None) -> tuple[str, ...]:
    kinds = run.subject.kinds
    wanted = [OK, "cancel", "crash"]
    deadline = run.root.instance.ledger.deadline
    if deadline is not None and due is not None and due < deadline:
        wanted.append("deadline")
    return tuple(name for name in wanted if name == OK or name in kinds)


def _next_due(run: Run) -> float | None:
    times = [run.coming[0][0]] if run.coming else []
    for seat in run.seats.values():
        wake = seat.instance.next_wake
        if wake is not None:
            times.append(wake)
    return min(times, default=None)


def _ring(run: Run) -> None:
    """All that is due by now."""
    from .run import Attempt  # noqa: PLC0415 - the two modules know each other

    while run.coming and run.coming[0][0] <= run.now:
        _, _, seat, action, direction = heapq.heappop(run.coming)
        attempt: Attempt = Attempt(seat, action, direction)
        run.flight.append(attempt)
    for seat in run.seats.values():
        for event in seat.instance.due(run.now):
            run.tell(seat, event)


# ---------------------------------------------------------------- signals

Awaited = tuple["Seat", str, str]


def _awaited(run: Run) -> Awaited | None:
    for seat in run.seats.values():
        for id, name in seat.instance.ledger.awaited.items():
            if (seat.tag, id) not in run.silent and seat.instance.ledger.cancel is None:
                return seat, id, name
    return None


def _signal_options(run: Run, signal: Awaited, due: float | None) -> tuple[str, ...]:
    kinds = run.subject.kinds
    more = tuple(f"value-{n}" for n in range(1, len(_values(run, signal))))
    wanted = ["never", "twice"] if due is None else ["never", "overdue", "twice"]
    if run.forward:
        wanted += ["cancel", "crash"]
    return (OK, *more, *(name for name in wanted if name in kinds))


def _values(run: Run, signal: Awaited) -> list[Any]:
    seat, id, name = signal
    given = run.subject.signals.get(name)
    if given is not None:
        return list(given)
    program = seat.instance.program
    assert program is not None
    return [stubs.example(program.waiting[id][1].type, f"the signal {name!r}")]


def _signal(run: Run, signal: Awaited, option: str) -> None:
    seat, id, name = signal
    number = int(option.removeprefix("value-")) if option.startswith("value-") else 0
    event = e.Signalled(name, e.Raw(codec.encode(_values(run, signal)[number], f"signal {name!r}")))
    if option in ("never", "overdue"):
        run.silent.add((seat.tag, id))
        if option == "overdue":
            run.overdue.append((seat, event))
        return
    run.tell(seat, event)
    if option == "twice":
        run.tell(seat, event)


def _lost_in_waiting(run: Run) -> bool:
    """A signal that never comes and no timeout: it would wait for ever, so somebody cancels it."""
    for seat in run.seats.values():
        ledger = seat.instance.ledger
        if ledger.awaited and ledger.cancel is None and ledger.phase != FINISHED and not run.waits_for:
            run.waits_for = next(iter(ledger.awaited.values()))
            if ledger.pivoted:
                return False
            cancel(run)
            return True
    return False


# ---------------------------------------------------------------- a person


def revive(run: Run) -> bool:
    """What waits for a person is tried again, once, with all faults over. False: nothing waits."""
    parked = [seat for seat in run.seats.values() if seat.instance.ledger.parked()]
    if not parked or run.held:
        return False
    for seat in parked:
        run.held += [writes.item_of(action) for action in seat.instance.ledger.parked()]
    if any(
        _fails_by_itself(run, seat.tag, action.id)
        for seat in parked
        for action in seat.instance.ledger.parked()
    ):
        return False
    run.path.calm = True
    run.moods.clear()
    for seat in parked:
        run.tell(seat, e.Retried(by="the explorer"))
    return True


def _fails_by_itself(run: Run, seat: str, action: str) -> bool:
    """Did the last attempt fail with an error of the user's own code? Then another one would, too."""
    last = next((call for call in reversed(run.log) if (call.seat, call.action) == (seat, action)), None)
    return last is not None and last.direction == "undo" and last.error is not None and not last.injected
