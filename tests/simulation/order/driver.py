"""The real kernel without store, worker or clock: a driver that does by hand what they do.

**Theory of operation.**  A `World` plays one `Case`.  Each execution is a `Seat`: an `Instance`, the rows it has written, the messages in its inbox and the
events that wait.  At each step the world lists all that could happen next (activate, receive a message, end an attempt, begin a
retry, let time pass up to a timer) in a fixed order, and a byte of the case's tape picks one; an empty tape always picks the
first.  Faults stand apart: at their step an execution is evicted, crashes with its attempts, is cancelled, and so on.

What is real: `Instance.activate`, `seal`, `load`, `fold`, `absorb`, `abandon`; `writes.build` (messages, children, status);
`conclude` and `conclude_undo` (what the end of an attempt means).  What is played here: the store (lists), the dispatcher
(attempts in a dict), the participants (`Books`), as `worker.py` and `dispatcher.py` do it.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from amends.definition.registry import REGISTRY
from amends.errors import Parked, Refused
from amends.kernel import entries as e
from amends.kernel.actions import OPEN, UNDO_RUNNING, Action
from amends.kernel.instance import PYTHON, Decision, Instance
from amends.kernel.ledger import Ledger
from amends.kernel.limits import Limits
from amends.kernel.phases import BACKWARD, FINISHED, FORWARD
from amends.store.port import Header
from amends.worker import writes
from amends.worker.conclusions import conclude, conclude_undo
from amends.worker.live import Live

from . import interpreter
from .books import Books, Call
from .programs import Node, number

STEPS = 600
LIMITS = Limits(callbacks=20_000)
EPOCH = 1000.0
FAULTS = ("evict", "cancel", "crash", "cancel_any", "defer", "abandon", "fail_commit")
UNDO_ENDS = (e.Undone, e.UndoAttemptFailed, e.UndoFailed)
ENDS = (e.Completed, e.Failed, e.AttemptFailed, *UNDO_ENDS)
_NO_CHANCE = random.Random(0)


@dataclass
class Case:
    """One example: a program and all that happens to it. `faults` are (step, fault, whom)."""

    program: Node
    tape: bytes = b""
    faults: tuple[tuple[int, str, int], ...] = ()
    deadline: int = 0

    def __repr__(self) -> str:
        parts = [repr(self.program)]
        parts += [f"tape={self.tape!r}"] if self.tape.rstrip(b"\0") else []
        parts += [f"faults={self.faults!r}"] if self.faults else []
        parts += [f"deadline={self.deadline}"] if self.deadline else []
        return f"Case({', '.join(parts)})"


class Unplayable(AssertionError):
    """The kernel did what no worker could carry out, or what no execution may come to."""

    def __init__(self, promise: int, text: str) -> None:
        super().__init__(f"promise {promise}: {text}")
        self.promise = promise


@dataclass
class Seat:
    """One execution as the driver keeps it."""

    live: Live
    rows: list[e.Row] = field(default_factory=list)
    inbox: deque[Any] = field(default_factory=deque)
    waiting: list[tuple[bool, Any]] = field(default_factory=list)  # (durable, event)
    calls: dict[tuple[str, str], Call] = field(default_factory=dict)
    story: list[tuple[int, str, str]] = field(default_factory=list)
    folds: list[Any] = field(default_factory=list)  # the ledger after each row, None where it is not known
    stuck: Parked | None = None
    rung: bool = False
    deferring: bool = False
    crashed: bool = False

    @property
    def instance(self) -> Instance:
        return self.live.instance

    @property
    def uid(self) -> str:
        return self.live.header.uid


def snapshot(ledger: Ledger) -> Any:
    """All of a ledger that decides anything (what recovery adds in memory, taint and attempts, left out)."""
    actions = {
        a.id: (
            a.kind, a.name, bytes(a.args), a.undo, a.scope, a.start, a.end, a.outcome, bytes(a.value), a.hold,
            a.run, a.uid, a.undo_state, a.key_suffix, a.fault, a.undo_fault,
        )
        for a in ledger.actions.values()
    }  # fmt: skip
    return (
        actions, dict(ledger.timers), list(ledger.residue), ledger.run, ledger.phase, ledger.cause, ledger.fault,
        bytes(ledger.value), ledger.status, ledger.cancel, ledger.pivoted, ledger.asking, tuple(ledger.asked_by),
        dict(ledger.awaited), {name: [bytes(v) for v in kept] for name, kept in ledger.signals.items() if kept},
        set(ledger.signal_keys),
    )  # fmt: skip


class World:
    """Plays a case to its end."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.now = EPOCH
        self.step = 0
        self.nodes = number(case.program)
        self.books = Books(self.nodes)
        self.seats: dict[str, Seat] = {}
        self.log: list[str] = []
        self.fired: set[str] = set()
        self._tape = case.tape
        self._place = 0
        self._faults: dict[int, list[tuple[str, int]]] = {}
        for at, fault, whom in case.faults:
            self._faults.setdefault(at, []).append((fault, whom))
        deadline = EPOCH + case.deadline if case.deadline else None
        self._open(
            Header(
                uid="u0",
                id="root",
                saga="order.saga",
                input='{"label":"saga0"}',
                created_at=EPOCH,
                deadline=deadline,
            )
        )

    # ------------------------------------------------------------ the loop

    def play(self) -> World:
        """Until nothing more can happen."""
        interpreter.STAGE.clear()
        interpreter.STAGE.update(self.nodes)
        while True:
            self.step += 1
            if self.step > STEPS:
                raise Unplayable(
                    16, f"still not at rest after {STEPS} steps: the executions go round in circles"
                )
            for fault, whom in self._faults.get(self.step, ()):
                self._strike(fault, whom)
            choices = self._choices() or self._operate()
            if not choices:
                return self
            do, *args = choices[self.draw(len(choices))]
            do(*args)

    def close(self) -> None:
        """Leave nothing to the garbage collector."""
        for seat in self.seats.values():
            seat.instance.discard()

    def draw(self, options: int) -> int:
        """The next byte of the tape as a choice among so many; 0 once it is used up."""
        if options <= 1 or self._place >= len(self._tape):
            return 0
        self._place += 1
        return self._tape[self._place - 1] % options

    def _choices(self) -> list[Any]:
        found: list[Any] = []
        late: list[Any] = []
        for seat in self.seats.values():
            if seat.stuck is not None:
                continue
            if seat.waiting or seat.instance.deferred:
                found.append((self.activate, seat))
            if seat.inbox:
                found.append((self._receive, seat))
            for call in seat.calls.values():
                (late if call.due else found).append((self._begin if call.due else self._end, seat, call))
            if not seat.rung and not seat.instance.dead and seat.instance.next_wake is not None:
                late.append((self._ring, seat))
        return found + sorted(late, key=self._when)

    @staticmethod
    def _when(choice: Any) -> float:
        return choice[2].due if len(choice) == 3 else choice[1].instance.next_wake

    # ------------------------------------------------------------ executions

    def _open(self, header: Header) -> None:
        seat = Seat(Live(header, self._instance(header)))
        self.seats[header.uid] = seat
        args = e.Raw(header.input.encode())
        seat.waiting.append((True, e.Started(args, 0, PYTHON, 1, header.deadline)))

    def _instance(self, header: Header) -> Instance:
        instance = Instance(
            header.uid, header.id, header.saga, header.version, REGISTRY, LIMITS,
            parent=header.parent, depth=header.depth,
        )  # fmt: skip
        instance.story = []  # type: ignore[attr-defined]
        return instance

    def activate(self, seat: Seat) -> None:
        """All that waits becomes one row, and what it decides is carried out."""
        if seat.instance.dead:
            self.load(seat, lost=False)
        events = [event for _, event in seat.waiting]
        instance = seat.instance
        if instance.ledger.phase == FINISHED:
            events = [event for event in events if type(event) is e.UndoRequested]
            if not events:
                seat.waiting.clear()
                return
        seat.rung = False
        if seat.deferring and events and instance.ledger.phase != FINISHED:
            self._defer(seat, events)
            return
        seat.waiting.clear()
        try:
            decision = instance.activate(events, self.now)
            row = instance.seal(decision)
        except Parked as error:
            self._park(seat, events, error)
            return
        self._commit(seat, decision, row)

    def _park(self, seat: Seat, events: list[Any], error: Parked) -> None:
        """As `Parking.held`: the events are kept, the execution is set aside."""
        seat.stuck = error
        instance = seat.instance
        row = e.seal(instance.position, self.now, events, [e.Defer()], instance.checksum)
        seat.rows.append(row)
        seat.folds.append(None)
        seat.story = list(instance.story)  # type: ignore[attr-defined]
        self.log.append(f"{seat.uid} parked: {error.cause}: {error.message}")
        seat.calls.clear()
        instance.discard()

    def _defer(self, seat: Seat, events: list[Any]) -> None:
        """As a transactional step: a row that only keeps its event, here the first that waits."""
        seat.deferring = False
        self.fired.add("defer")
        instance = seat.instance
        row = e.seal(instance.position, self.now, events[:1], [e.Defer()], instance.checksum)
        del seat.waiting[0]
        seat.rows.append(row)
        instance.absorb(row, events[:1])
        seat.folds.append(None)

    def _commit(self, seat: Seat, decision: Decision, row: e.Row) -> None:
        instance = seat.instance
        seat.rows.append(row)
        seat.folds.append(snapshot(instance.ledger))
        seat.story = list(instance.story)  # type: ignore[attr-defined]
        self.log.append(f"{seat.uid} {row.position} @{row.now:g} {row.events} -> {row.commands}")
        write = writes.build(seat.live, decision, row, 1)
        for message in write.messages:
            self.seats[message.uid].inbox.append(e.decode_event(message.event))
        for header in write.children:
            self._open(header)
        for action in decision.run:
            self.run(seat, action)
        for action in decision.undo:
            self.undo(seat, action)
        for action in decision.interrupt:
            self.interrupt(seat, action)
        if decision.next_args is not None:
            self._begin_next(seat, decision.next_args)
        if decision.finished:
            if seat.calls:
                raise Unplayable(7, f"{seat.uid} finished while attempts still run: {list(seat.calls)}")
            instance.discard()

    def _begin_next(self, seat: Seat, args: e.Raw) -> None:
        ledger = seat.instance.ledger
        seat.waiting.append((False, e.Started(args, ledger.run + 1, PYTHON, 1, ledger.deadline)))

    def load(self, seat: Seat, *, lost: bool) -> None:
        """From rows to an instance at their head, as `Worker.adopt`."""
        old = seat.instance
        old.discard()
        seat.live.instance = instance = self._instance(seat.live.header)
        instance.load(seat.rows)
        if seat.folds and seat.folds[-1] is not None and snapshot(instance.ledger) != seat.folds[-1]:
            raise Unplayable(13, differing(f"{seat.uid} loaded", seat.folds[-1], snapshot(instance.ledger)))
        told = instance.story  # type: ignore[attr-defined]
        if told and told != seat.story[len(seat.story) - len(told) :]:
            raise Unplayable(
                13, f"{seat.uid} replayed shows the saga something else: {told} for {seat.story}"
            )
        instance.story = list(seat.story)  # type: ignore[attr-defined]
        self._resume(seat, lost=lost)

    def _resume(self, seat: Seat, *, lost: bool) -> None:
        """As `Worker._resume`: open commands are sent again with their old keys."""
        for key in [key for key, call in seat.calls.items() if call.due]:
            del seat.calls[key]
        waiting = [event for _, event in seat.waiting]
        waiting += seat.instance.deferred
        ended = {(event.id, isinstance(event, UNDO_ENDS)) for event in waiting if isinstance(event, ENDS)}
        for action in list(seat.instance.ledger.actions.values()):
            if (action.id, action.outcome != OPEN) in ended or (action.id, "do") in seat.calls:
                continue
            if action.outcome == OPEN and not action.hold:
                if lost and action.kind == "step":
                    action.tainted = True
                    action.attempts += action.retry_at <= self.now
                if action.interrupted:
                    self.interrupt(seat, action)
                else:
                    self.run(seat, action)
            elif action.undo_state == UNDO_RUNNING:
                self.undo(seat, action)
        next_args = seat.instance.ledger.next_args
        begun = any(type(event) is e.Started for event in waiting)
        if next_args is not None and not begun:
            self._begin_next(seat, next_args)

    # ------------------------------------------------------------ attempts

    def run(self, seat: Seat, action: Action) -> None:
        """As `Dispatcher.run`."""
        key = (action.id, "do")
        if action.kind == "child" or action.hold or action.outcome or key in seat.calls:
            return
        self._queue(seat, key, action, action.retry_at)

    def undo(self, seat: Seat, action: Action) -> None:
        """As `Dispatcher.undo`; never beside an attempt of the action itself (promise 7)."""
        key = (action.id, "undo")
        if action.kind == "child" or key in seat.calls:
            return
        if (action.id, "do") in seat.calls:
            raise Unplayable(7, f"{seat.uid} undoes {action.id} while an attempt of it still runs")
        self._queue(seat, key, action, action.undo_retry_at)

    def interrupt(self, seat: Seat, action: Action) -> None:
        """As `Dispatcher.interrupt`: only actions are interrupted, never compensations (promise 7)."""
        if action.kind == "child":
            return
        call = seat.calls.get((action.id, "do"))
        if call is not None and not call.due:
            call.stopped = True
            return
        seat.calls.pop((action.id, "do"), None)
        outcome = "unknown" if action.tainted else "rejected"
        fault = e.Fault("Interrupted", "the saga no longer waits for this step")
        seat.waiting.append((False, e.Failed(action.id, fault, outcome)))

    def _queue(self, seat: Seat, key: tuple[str, str], action: Action, when: float) -> None:
        due = when if when > self.now else 0.0
        call = seat.calls[key] = Call(seat.uid, key[1], action, due)
        if not due:
            self.books.begin(call, seat.rows)

    def _begin(self, seat: Seat, call: Call) -> None:
        self.now = max(self.now, call.due)
        call.due = 0.0
        call.action = seat.instance.ledger.actions.get(call.action.id, call.action)
        self.books.begin(call, seat.rows)

    def _end(self, seat: Seat, call: Call) -> None:
        """An attempt is over: what its participant did becomes an event."""
        action = call.action
        del seat.calls[action.id, call.direction]
        if seat.instance.dead:
            self.load(seat, lost=False)
        ledger = seat.instance.ledger
        action = ledger.actions.get(action.id, action)
        error = self.books.end(call, self.draw(6) if call.stopped else 0)
        event: Any
        if call.direction == "undo":
            event = e.Undone(action.id)
            if error is not None:
                owner = (
                    None if action.kind == "adhoc" else interpreter.STEPS[action.name.removeprefix("order.")]
                )
                event = conclude_undo(action, call.number, error, owner, now=self.now, chance=_NO_CHANCE)
        elif error is None:
            event = e.Completed(action.id, e.Raw(f'"r:{self.books.label(action)}"'.encode()))
        else:
            options = interpreter.STEPS[action.name.removeprefix("order.")].options
            event = conclude(
                action, call.number, error, options, options.recovery,
                now=self.now, pivoted=ledger.pivoted, chance=_NO_CHANCE,
            )  # fmt: skip
        seat.waiting.append((False, event))

    # ------------------------------------------------------------ the world around

    def _receive(self, seat: Seat) -> None:
        seat.waiting.append((True, seat.inbox.popleft()))

    def _ring(self, seat: Seat) -> None:
        """Time passes up to the execution's next timer."""
        wake = seat.instance.next_wake
        assert wake is not None
        self.now = max(self.now, wake)
        seat.rung = True
        seat.waiting += [(False, event) for event in seat.instance.due(self.now)]

    def _operate(self) -> list[Any]:
        """At rest: somebody may decide about what is parked, or leave it."""
        choices: list[Any] = []
        for seat in self.seats.values():
            if seat.stuck is not None or seat.instance.dead:
                continue
            for action in seat.instance.ledger.parked():
                value = e.Raw(f'"r:{self.books.label(action)}"'.encode())
                for event in (
                    e.Retried(action.id, "op"),
                    e.Skipped("op says so", action.id, "op"),
                    e.Resolved("op did it", value if action.hold else e.NULL, action.id, "op"),
                ):
                    choices.append((self._decide, seat, action, event))
        if choices and self._place >= len(self._tape):
            return []
        return choices

    def _decide(self, seat: Seat, action: Action, event: Any) -> None:
        if type(event) is e.Resolved:
            self.books.by_hand(seat.uid, action, done=bool(action.hold))
        self.fired.add(type(event).__name__)
        seat.waiting.append((True, event))

    # ------------------------------------------------------------ faults

    def _strike(self, fault: str, whom: int) -> None:
        seats = list(self.seats.values())
        seat = seats[whom % len(seats)]
        if fault == "cancel":
            seats[0].waiting.append((True, e.CancelRequested("somebody says so")))
        elif fault == "cancel_any":
            seat.waiting.append((True, e.CancelRequested("somebody says so")))
        elif seat.stuck is not None or seat.instance.dead or not seat.rows:
            return
        elif fault == "evict":
            self.load(seat, lost=False)
        elif fault == "crash":
            self._crash(seat)
        elif fault == "defer":
            seat.deferring = True
            return
        elif fault == "abandon":
            self._abandon(seat)
            return
        else:
            self._fail_commit(seat)
        self.fired.add(fault)

    def _crash(self, seat: Seat) -> None:
        """Its worker dies: attempts and what they brought are lost, the inbox is not."""
        for call in seat.calls.values():
            if not call.due:
                self.books.lose(call, took_effect=self.draw(2) == 1)
        seat.calls.clear()
        seat.waiting = [item for item in seat.waiting if item[0]]
        seat.rung = False
        seat.crashed = True
        self.load(seat, lost=True)

    def _fail_commit(self, seat: Seat) -> None:
        """An activation is computed, its commit fails: nothing of it may count."""
        if seat.waiting and seat.instance.ledger.phase != FINISHED:
            try:
                seat.instance.activate([event for _, event in seat.waiting], self.now)
            except Parked as error:
                self.log.append(f"{seat.uid} would park: {error.message}")
        self._crash(seat)

    def _abandon(self, seat: Seat) -> None:
        """Its code is gone and somebody cancels, as `Parking.unable`: undone from the journal alone."""
        ledger = seat.instance.ledger
        if ledger.phase in (BACKWARD, FINISHED) or ledger.phase != FORWARD:
            return
        for call in seat.calls.values():
            if not call.due:
                self.books.lose(call, took_effect=self.draw(2) == 1)
        seat.calls.clear()
        seat.waiting = [item for item in seat.waiting if item[0]]
        seat.rung = False
        seat.instance.discard()
        seat.live.instance = instance = self._instance(seat.live.header)
        instance.fold(seat.rows)
        instance.story = list(seat.story)  # type: ignore[attr-defined]
        seat.crashed = True
        try:
            request = e.CancelRequested("its code is gone")
            decision = instance.abandon([request], "missing_definition", self.now)
        except Refused:  # after the pivot: parked until the code is back
            self.fired.add("abandon refused")
            self.load(seat, lost=True)
            return
        self.fired.add("abandon")
        self._commit(seat, decision, instance.seal(decision))


def differing(what: str, expected: Any, found: Any) -> str:
    """Where two snapshots differ."""
    parts = []
    for mine, theirs in zip(expected, found, strict=True):
        if mine == theirs:
            continue
        if isinstance(mine, dict):
            keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
            parts += [f"{key}: {mine.get(key)} became {theirs.get(key)}" for key in keys]
        else:
            parts.append(f"{mine!r} became {theirs!r}")
    return f"{what} differs: {'; '.join(parts)}"


def refolded(world: World, seat: Seat) -> None:
    """At every row: the state was the fold of the journal up to there (promise 8)."""
    instance = world._instance(seat.live.header)
    for row, before in zip(seat.rows, seat.folds, strict=True):
        instance.fold([row])
        if before is not None and snapshot(instance.ledger) != before:
            what = f"{seat.uid} folded up to row {row.position}"
            raise Unplayable(8, differing(what, before, snapshot(instance.ledger)))
