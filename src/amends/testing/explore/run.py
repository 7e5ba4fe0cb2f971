"""One run: the kernel's decisions carried out here and now, along one path.

**Theory of operation.**  A run is a worker in miniature.  Each execution is a `Seat`: its instance, its
journal, the events that wait for it.  What a worker does in time and in tasks, a run does by hand: attempts
in flight are a queue, what is to come later is a heap over virtual time, and wherever the world could go one
way or another the run asks its `Path`.  All decisions are the kernel's; what the end of an attempt means,
`worker.conclusions` says; what one execution tells another, `worker.writes`.  So what is explored is what
runs in production.

    activate what has events → attend to the attempt that is next → let time pass up to what is due → end

An attempt takes no time, a journal row is durable at once.  A crash discards every instance, loads it from
its rows (so each crash is a replay, and is compared) and sends again what is open, as `worker.loading` does.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

import msgspec

from ...definition.step import Step, StepOptions
from ...errors import Parked
from ...kernel import entries as e
from ...kernel.actions import OPEN, UNDO_RUNNING, Action
from ...kernel.instance import PYTHON, Decision, Instance
from ...kernel.phases import FINISHED, FORWARD
from ...store.port import Header
from ...worker import writes
from ...worker.calling import definition_of
from ...worker.live import Live
from ...worker.resources import Resources
from .. import replaying
from . import attempts, participants, waiting
from .calling import NeedsLoop
from .choices import Path
from .story import Called
from .subject import Subject

UID = "explored"
EPOCH = 1_900_000_000.0  # 2030: deterministic, and no time that anybody has stored

Key = tuple[str, str, str]
"""An attempt's execution (its tag), action, and direction."""


class Seat:
    """One execution of a run. `tag` names it in keys: empty for the root."""

    __slots__ = ("events", "instance", "live", "queued", "rows", "tag")

    def __init__(self, tag: str, live: Live) -> None:
        self.tag = tag
        self.live = live
        self.instance = live.instance
        self.rows: list[e.Row] = []
        self.events: deque[Any] = deque()
        self.queued = False


class Attempt(msgspec.Struct, gc=False, eq=False):
    """An attempt in flight."""

    seat: Seat
    action: str
    direction: str
    slow: bool = False

    @property
    def key(self) -> Key:
        """What it is known by."""
        return (self.seat.tag, self.action, self.direction)


class Experiment:
    """Tries a compensation earlier than its turn: just before another one."""

    def __init__(self, who: Key, before: Key) -> None:
        self.who = who
        self.before = before
        self.call: Called | None = None


class Run:
    """See the module's theory of operation. `full`: look at the participants before and after each call."""

    def __init__(self, subject: Subject, path: Path, *, full: bool = False) -> None:
        self.subject = subject
        self.path = path
        self.full = full
        self.now = EPOCH
        self.participants = subject.make()
        self.resources = Resources()
        self.resources.values = self.participants
        self.book: dict[str, str] = {}  # stubs: effects by idempotency key
        self.seats: dict[str, Seat] = {}
        self.busy: deque[Seat] = deque()
        self.flight: deque[Attempt] = deque()
        self.coming: list[tuple[float, int, Seat, str, str]] = []
        self.moods: dict[Key, str] = {}
        self.counts: dict[str, int] = {}
        self.arrived: set[Key] = set()
        self.late: dict[Key, Action] = {}
        self.silent: set[tuple[str, str]] = set()
        self.overdue: list[tuple[Seat, e.Signalled]] = []
        self.log: list[Called] = []
        self.parked: Parked | None = None
        self.held: list[dict[str, Any]] = []
        self.waits_for = ""
        self.experiment: Experiment | None = None
        self.family = False
        self._issued = 0
        deadline = None if subject.deadline is None else EPOCH + subject.deadline
        self.root = self._open(
            Header(
                uid=UID,
                id=UID,
                saga=subject.saga.name,
                version=subject.saga.version,
                input=subject.input,
                created_at=EPOCH,
                deadline=deadline,
            )
        )

    # ------------------------------------------------------------ the loop

    def play(self) -> Run:
        """Run to the end."""
        busy, flight = self.busy, self.flight
        try:
            while self.parked is None:
                if busy:
                    self._activate(busy.popleft())
                elif flight:
                    attempts.attend(self)
                elif not waiting.wait(self):
                    break
        finally:
            self.discard()
        return self

    def discard(self) -> None:
        """Nothing of it runs on."""
        for seat in self.seats.values():
            seat.instance.discard()

    def _open(self, header: Header) -> Seat:
        seat = Seat(header.id.removeprefix(UID), Live(header, self._instance(header)))
        self.seats[header.uid] = seat
        args = e.Raw(header.input.encode())
        self.tell(seat, e.Started(args, 0, PYTHON, 1, header.deadline))
        return seat

    def _instance(self, header: Header) -> Instance:
        return Instance(
            header.uid,
            header.id,
            header.saga,
            header.version,
            self.subject.registry,
            self.subject.limits,
            parent=header.parent,
            depth=header.depth,
        )

    def tell(self, seat: Seat, event: Any) -> None:
        """Give an execution an event."""
        seat.events.append(event)
        if not seat.queued:
            seat.queued = True
            self.busy.append(seat)

    def _activate(self, seat: Seat) -> None:
        instance = seat.instance
        try:
            decision = instance.activate([seat.events.popleft()], self.now)
            seat.rows.append(instance.seal(decision))
        except Parked as error:
            self.parked = error
            return
        seat.queued = False
        if seat.events:
            seat.queued = True
            self.busy.append(seat)
        self._carry_out(seat, decision)

    def _carry_out(self, seat: Seat, decision: Decision) -> None:
        if self.family:
            self._tell_family(seat, decision)
        else:
            for command in decision.commands:
                if type(command) is e.StartChild:
                    self._tell_family(seat, decision)
                    break
        for action in decision.run:
            self.dispatch(seat, action)
        for action in decision.undo:
            self.dispatch_undo(seat, action)
        for action in decision.interrupt:
            attempts.interrupt(self, seat, action)
        if decision.next_args is not None:
            self._continue(seat, decision.next_args)

    def _tell_family(self, seat: Seat, decision: Decision) -> None:
        """Messages to other executions, and new children."""
        self.family = True
        write = writes.build(seat.live, decision, seat.rows[-1], 0)
        for header in write.children:
            self._open(header)
        for message in write.messages:
            self.tell(self.seats[message.uid], e.decode_event(message.event))

    def _continue(self, seat: Seat, args: e.Raw) -> None:
        ledger = seat.instance.ledger
        self.tell(seat, e.Started(args, ledger.run + 1, PYTHON, 1, ledger.deadline))

    # ------------------------------------------------------------ attempts in flight and to come

    def dispatch(self, seat: Seat, action: Action) -> None:
        """The next attempt of an action: now, or when its retry is due."""
        if action.hold or action.outcome or action.kind == "child":
            return
        if action.retry_at > self.now:
            self.later(action.retry_at, seat, action.id, "do")
        else:
            self.flight.append(Attempt(seat, action.id, "do"))

    def dispatch_undo(self, seat: Seat, action: Action) -> None:
        """The next attempt of a compensation (a child's is a message)."""
        if action.kind == "child":
            return
        if action.undo_retry_at > self.now:
            self.later(action.undo_retry_at, seat, action.id, "undo")
        else:
            self.flight.append(Attempt(seat, action.id, "undo"))

    def later(self, due: float, seat: Seat, action: str, direction: str) -> None:
        """Dispatch it at that time."""
        self._issued += 1
        heapq.heappush(self.coming, (due, self._issued, seat, action, direction))

    def definition(self, seat: Seat, action: Action) -> tuple[Step[..., Any], StepOptions]:
        """The step, and the policies of this call."""
        return definition_of(seat.instance, action, self.subject.registry)

    # ------------------------------------------------------------ crashes

    def crash(self) -> None:
        """The worker dies: whatever is in memory is gone. Another one loads the journals."""
        lost = [attempt for attempt in self.flight if attempts.lost_on_the_way(self, attempt)]
        self.flight.clear()
        self.coming.clear()
        self.moods = {key: mood for key, mood in self.moods.items() if mood != "slow"}
        for seat in self.seats.values():
            seat.instance.discard()
            seat.instance = seat.live.instance = self._instance(seat.live.header)
            try:
                seat.instance.load(seat.rows)
            except Parked as error:
                self.parked = error
                return
        dead = {attempt.key for attempt in lost}
        for seat in self.seats.values():
            for action in list(seat.instance.ledger.actions.values()):
                self._send_again(seat, action, dead)
            if seat.instance.ledger.next_args is not None:
                self._continue(seat, seat.instance.ledger.next_args)

    def _send_again(self, seat: Seat, action: Action, dead: set[Key]) -> None:
        """What is open is sent again with its old key; what may have been dispatched is tainted."""
        if action.outcome == OPEN and not action.hold:
            if action.kind == "step" and (seat.tag, action.id, "do") in dead:
                action.tainted = True
                action.attempts += 1
            if action.interrupted:
                attempts.interrupt(self, seat, action)
            else:
                self.dispatch(seat, action)
        elif action.undo_state == UNDO_RUNNING:
            self.dispatch_undo(seat, action)

    def replay(self) -> None:
        """Replay the root's journal with its code. Raises `Parked`, mostly as `Divergence`."""
        replaying.replay(lambda: self._instance(self.root.live.header), self.root.rows)

    # ------------------------------------------------------------ what became of it

    @property
    def status(self) -> str:
        """The root's status at the end; ``parked`` when it could not go on at all."""
        return "parked" if self.parked is not None else writes.status_of(self.root.instance.ledger)

    def state(self) -> participants.State:
        """What the participants hold now."""
        return participants.state(self.participants) if self.subject.factory is not None else dict(self.book)

    @property
    def forward(self) -> bool:
        """May a cancel still change anything?"""
        ledger = self.root.instance.ledger
        return ledger.phase is FORWARD and ledger.cancel is None and not ledger.pivoted

    @property
    def ended(self) -> bool:
        """Have all executions ended?"""
        return all(seat.instance.ledger.phase == FINISHED for seat in self.seats.values())


def played(
    subject: Subject,
    path: Path,
    *,
    full: bool = False,
    experiment: Experiment | None = None,
) -> Run:
    """A run along a path, begun again whenever it turns out that a function needs a loop."""
    while True:
        run = Run(subject, path.again(), full=full)
        run.experiment = experiment
        try:
            run.play()
        except NeedsLoop:
            continue
        run.path.check()
        return run
