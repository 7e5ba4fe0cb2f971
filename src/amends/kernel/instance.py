"""One execution in memory: events in, one `Decision` out.

**Theory of operation.**  `activate` is the only way in, for live work and for replay.  It takes the
events one at a time: the ledger applies the event, the program (the saga's code, if it still runs)
is told and drained to quiescence, and when all are applied `advance` asks what follows from the
ledger alone: settle an action, go on with a rollback, end.  All that was issued meanwhile is the
row's commands.  The phases:

    forward ──return──► returned ──all tasks ended──► finished (completed)
       │ exception, cancel, deadline
       └──► unwinding ──all tasks ended──► backward ──nothing owed──► finished (compensated …)

From `backward` on no saga code exists any more: loading such an execution folds its journal
(`fold`), the program is not built.

An instance computes one activation ahead: until its row is durable nobody may act on the decision,
and if the commit fails the instance is discarded.  Replay runs `activate` on each row's events and
compares the commands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from ..definition.registry import Registry
from ..errors import Divergence, LimitExceeded, PayloadError
from . import advance, reactions, replay
from . import entries as e
from .actions import OPEN, UNDO_PARKED, UNDO_RUNNING, Action
from .backward import Plan
from .entries import Row
from .forking import Forked
from .ledger import Ledger
from .limits import Limits
from .loop import NO_STAGE, Stage
from .phases import FINISHED, FORWARD
from .program import Program
from .rollback import Rollback
from .run import ActionFuture
from .taking import ORDERED

_reaction_to = reactions.REACTIONS.get

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Decision(msgspec.Struct, gc=False):
    """What one activation decided: the row's contents, and what to carry out once it is durable."""

    now: float
    events: list[Any]
    commands: list[Any]
    run: list[Action]
    undo: list[Action]
    interrupt: list[Action]
    finished: str = ""
    next_args: Any = None


class Instance:
    """See the module's theory of operation."""

    def __init__(
        self,
        uid: str,
        id: str,
        saga_name: str,
        version: str,
        registry: Registry,
        limits: Limits,
        *,
        parent: str = "",
        depth: int = 0,
        stage: Stage = NO_STAGE,
    ) -> None:
        self.uid = uid
        self.id = id
        self.saga_name = saga_name
        self.version = version
        self.registry = registry
        self.limits = limits
        self.parent = parent
        self.depth = depth
        self.stage = stage
        self.ledger = Ledger()
        self.program: Program | None = None
        self.position = 0
        self.checksum = 0
        self.expected: list[Any] | None = None
        self.unheeded: list[e.Event] = []
        self.journaled_patches: set[str] = set()
        self.forks: list[Forked] = []  # whose rows are still to be replayed
        self.rollbacks: list[Rollback] = []
        self.plan: Plan | None = None  # of the way back, made when that begins
        self.witness: Action | None = None  # see `advance._something_runs`
        self.deferred: list[Any] = []
        self.commands: list[Any] = []
        self.decision: Decision | None = None
        self.dead = False

    # ------------------------------------------------------------ the way in

    def activate(self, events: list[Any], now: float) -> Decision:
        """Apply events at a time; returns what follows. Raises `Parked` when this execution cannot go on."""
        ledger = self.ledger
        if now < ledger.now:
            now = ledger.now
        else:
            ledger.now = now
        commands: list[Any] = []
        self.commands = commands
        self.decision = decision = Decision(now, events, commands, [], [], [])
        if self.deferred:
            events = [*self.deferred, *events]
            self.deferred = []
        program, entered = self.program, None
        if program is not None:
            program.loop.now = now
            if not program.loop.entered:
                entered = program.loop
                entered.__enter__()  # not `with`: the loop may also be one that the first event brings
        try:
            for event in events:
                if commands and type(event) in ORDERED:
                    self._heed(event, events)
                reaction = _reaction_to(type(event))
                if reaction is None:
                    ledger.take(event, self.position)
                    continue
                reaction(self, event)
                program = self.program
                if program is not None:
                    if not program.loop.entered:
                        entered = program.loop
                        entered.__enter__()
                    program.loop.drain()
            advance.step(self)
        finally:
            if entered is not None:
                entered.__exit__()
        return decision

    def _heed(self, event: e.Event, events: list[Any]) -> None:
        """Where a command of this activation has changed what the event finds, the row tells the order.

        (Rows older than `Heed` do not, and are replayed as they are.)
        """
        changes = ORDERED[type(event)]
        for command in reversed(self.commands):
            if type(command) is e.Heed:
                return
            if type(command) is changes:
                break
        else:
            return
        heed = e.Heed(next(place for place, each in enumerate(events) if each is event))
        if self.expected is None or heed in self.expected:
            self.commands.append(heed)

    def start_program(self, args: e.Raw) -> None:
        """Begin the saga's body with journaled arguments. Raises `MissingDefinition`, `Parked`."""
        saga = self.registry.saga(self.saga_name, self.version)
        try:
            values = saga.signature.decode_args(args)
        except PayloadError as error:
            raise Divergence(error.message, hint=error.hint) from error
        self.program = Program(self, saga, values)
        self.program.loop.now = self.ledger.now
        self.program.begin()

    # ------------------------------------------------------------ commands

    def issue(self, command: Any) -> None:
        """A command of this activation: into the row and into the ledger."""
        self.commands.append(command)
        self.ledger.issue(command, self.position)

    def interrupt(self, action: Action, future: ActionFuture) -> None:
        """The saga no longer waits for an action: withdraw it, stop it, or let it settle."""
        ledger, program = self.ledger, self.program
        assert program is not None and self.decision is not None
        if action.outcome != OPEN:
            program.settle_parked(action)
        elif action.position == self.position:
            self._withdraw(action)
            del program.futures[action.id]
            future.give_up()
        elif ledger.pivoted:
            return  # it goes on until it succeeds or a person decides; then the future ends
        elif action.hold:
            advance.conclude_held(self, action)
        elif not action.interrupted:
            self.issue(e.Interrupt(action.id))
            self.decision.interrupt.append(action)

    def _withdraw(self, action: Action) -> None:
        """Strike a command that was issued in this very activation: nothing was dispatched."""
        assert self.decision is not None
        for place in range(len(self.commands) - 1, -1, -1):
            command = self.commands[place]
            if type(command) in (e.RunStep, e.StartChild) and command.id == action.id:
                self.commands[place] = e.Withdrawn(action.id)
                break
        del self.ledger.actions[action.id]
        self.decision.run = [a for a in self.decision.run if a is not action]

    def undo(self, action: Action) -> None:
        """Compensate an action."""
        assert self.decision is not None
        self.issue(e.Undo(action.id))
        if action.undo_state == UNDO_RUNNING:
            self.decision.undo.append(action)

    def busy_with(self, but: str = "") -> list[str]:
        """Names of actions in flight (all but the one with that id)."""
        ledger = self.ledger
        found = [
            f"{a.name} ({a.id})"
            for a in ledger.actions.values()
            if a.id != but and (a.outcome == OPEN or a.undo_state in (UNDO_RUNNING, UNDO_PARKED))
        ]
        found += [f"the rollback of savepoint {r.scope}" for r in self.rollbacks]
        return found[:5]

    # ------------------------------------------------------------ rows

    def seal(self, decision: Decision) -> Row:
        """The decision as the next journal row; the instance moves on to the position after it.

        Raises `LimitExceeded` when the journal is as long as allowed.
        """
        if self.position >= self.limits.rows and self.ledger.phase == FORWARD:
            raise LimitExceeded(
                f"the journal has {self.position:,} rows, the limit is {self.limits.rows:,}",
                hint="call amends.continue_as_new(…) from time to time, or raise Limits(rows=…)",
            )
        row = e.seal(self.position, decision.now, decision.events, decision.commands, self.checksum)
        self.position += 1
        self.checksum = row.checksum
        return row

    def absorb(self, row: Row, events: list[Any]) -> None:
        """A row that only keeps its events was written for us: the next activation applies them."""
        self.position = row.position + 1
        self.checksum = row.checksum
        self.ledger.now = max(self.ledger.now, row.now)
        self.deferred.extend(events)

    def load(self, rows: Sequence[Row]) -> None:
        """Bring the instance to the head of its journal, running the saga's code only if it still runs.

        Raises `Divergence`, `CorruptJournal`, `MissingDefinition` (all of them `Parked`).
        """
        replay.load(self, rows)

    def fold(self, rows: Sequence[Row]) -> None:
        """Bring the ledger to the head of the journal without running any saga code."""
        replay.fold(self, rows)

    def abandon(self, requests: Sequence[e.Event], why: str, now: float) -> Decision:
        """Undo or terminate without the saga's code (it diverged, is gone, or never ends): what is open
        counts as unknown. `requests`: who asked for it, unless a row that keeps its events has that already.

        Raises `Refused` after the pivot.
        """
        return advance.abandon(self, requests, why, now)

    def discard(self) -> None:
        """The instance is out of date or asleep: its code must do nothing more."""
        self.dead = True
        if self.program is not None:
            self.program.loop.kill()
            self.program = None

    # ------------------------------------------------------------ questions

    @property
    def identity(self) -> Instance | Forked:
        """As whom the saga's code runs: in rows taken over from another execution as that one."""
        return self.forks[0] if self.forks else self

    @property
    def _deadline(self) -> float | None:
        """The deadline, while it would still ask for the end."""
        ledger = self.ledger
        asks = ledger.cancel is None and ledger.phase == FORWARD and not ledger.pivoted
        return ledger.deadline if asks else None

    @property
    def next_wake(self) -> float | None:
        """When something in here is due (timers, deadline, retries that wait); None: never by itself."""
        ledger = self.ledger
        if ledger.phase == FINISHED or (not ledger.timers and ledger.deadline is None):
            return None
        dues = list(ledger.timers.values())
        if (deadline := self._deadline) is not None:
            dues.append(deadline)
        return min(dues, default=None)

    def due(self, now: float) -> list[e.Event]:
        """Events for all that is due by `now`, in the order in which it was due."""
        timers = sorted(self.ledger.timers.items(), key=lambda item: item[1])
        events: list[e.Event] = [e.Fired(id) for id, due in timers if due <= now]
        deadline = self._deadline
        if deadline is not None and deadline <= now:
            events.append(e.CancelRequested("the deadline has passed", cause="deadline"))
        return events
