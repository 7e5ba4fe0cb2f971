"""A worker in miniature: the kernel alone, its decisions carried out in virtual time.

No store, no real worker.  What an activation decides is put into one queue of things to come, ordered by due
time and then by the order of issue; each becomes an event.  A stopped step ends at once, before anything else
that is due at the same time.
"""

from __future__ import annotations

import heapq
from typing import Any

import msgspec

from amends import Limits
from amends.definition.registry import REGISTRY
from amends.errors import Parked
from amends.kernel import entries as e
from amends.kernel.actions import UNDO_RUNNING
from amends.kernel.failures import fault_of
from amends.kernel.instance import PYTHON, Decision, Instance
from amends.kernel.phases import FINISHED

from .world import START, Program, Trace, begun, failure, writing_to

Coming = tuple[float, int, Any]
"""Due at, order of issue, event."""


def fresh(program: Program) -> Instance:
    """An instance with nothing in its journal yet."""
    return Instance(f"uid-{program.name}", program.name, f"parity.{program.name}", "", REGISTRY, Limits())


class Run:
    """One program on the kernel: its journal, its trace, and what is still to come."""

    def __init__(self, program: Program, *, batched: bool = False) -> None:
        self.program = program
        self.batched = batched
        self.trace = Trace()
        self.instance = fresh(program)
        self.rows: list[e.Row] = []
        self.coming: list[Coming] = []
        self.issued = 0
        self.stuck = ""
        self.snapshots: list[tuple[list[Coming], int]] = []

    # ------------------------------------------------------------ running

    def begin(self) -> Run:
        """Start the saga and run it to its end."""
        return self.begin_only().go_on()

    def begin_only(self) -> Run:
        """Start the saga: its first row."""
        for at, name, value in self.program.signals:
            self._later(START + at, e.Signalled(name, e.Raw(msgspec.json.encode(value))))
        if self.program.cancel_at is not None:
            self._later(START + self.program.cancel_at, e.CancelRequested("enough"))
        self._activate([e.Started(e.Raw(b"{}"), python=PYTHON)], START)
        return self

    def go_on(self) -> Run:
        """Run until the end, or until nothing can come any more."""
        while self.instance.ledger.phase != FINISHED and not self.stuck:
            if not self.coming:
                self.stuck = "nothing to come"
                break
            self.one_more()
        return self

    def one_more(self) -> None:
        """Let the next thing come (batched: all that comes at that time)."""
        due, _, event = heapq.heappop(self.coming)
        now = max(due, self.instance.ledger.now)
        events = [event]
        while self.batched and self.coming and max(self.coming[0][0], now) == now:
            events.append(heapq.heappop(self.coming)[2])
        self._activate(events, now)

    def _activate(self, events: list[Any], now: float) -> None:
        with writing_to(self.trace):
            try:
                decision = self.instance.activate(events, now)
            except Parked as error:
                self.stuck = type(error).__name__
                return
            self.rows.append(self.instance.seal(decision))
            self._carry_out(decision)
        self.snapshots.append((list(self.coming), self.issued))

    def load(self, rows: list[e.Row]) -> Run:
        """Replay rows of the journal instead of beginning; then `go_on`."""
        with writing_to(self.trace):
            self.instance.load(rows)
        self.rows = list(rows)
        return self

    @property
    def ended(self) -> str:
        """The final status, or ``stuck``."""
        return "stuck" if self.stuck else self.instance.ledger.status

    # ------------------------------------------------------------ what decisions lead to

    def _later(self, due: float, event: Any) -> None:
        self.issued += 1
        heapq.heappush(self.coming, (due, self.issued, event))

    def _forget(self, id: str) -> None:
        self.coming = [c for c in self.coming if getattr(c[2], "id", None) != id]
        heapq.heapify(self.coming)

    def _carry_out(self, decision: Decision) -> None:
        actions = self.instance.ledger.actions
        for command in decision.commands:
            kind = type(command)
            if kind is e.RunStep:
                self._run_step(command, decision.now)
            elif kind is e.StartTimer:
                self._later(command.due, e.Fired(command.id))
            elif kind is e.CancelTimer:
                self._forget(command.id)
            elif kind is e.StartChild:
                self._later(decision.now + 1, e.ChildEnded(command.id, "completed", e.Raw(b'"child"')))
            elif kind is e.Undo and (action := actions.get(command.id)) and action.undo_state == UNDO_RUNNING:
                done = e.Undone if action.kind != "child" else _child_undone
                self._later(decision.now, done(command.id))
        for action in decision.interrupt:
            self._forget(action.id)
            stopped = fault_of(InterruptedError("the saga no longer waits for this step"))
            self.issued += 1
            heapq.heappush(self.coming, (0.0, self.issued, e.Failed(action.id, stopped, "unknown")))
        if decision.next_args is not None:
            started = e.Started(decision.next_args, self.instance.ledger.run + 1, PYTHON)
            self._later(decision.now, started)

    def _run_step(self, command: e.RunStep, now: float) -> None:
        step = REGISTRY.step(command.step)
        args = step.signature.decode_args(command.args)
        begun(now - START, args.name)
        if args.fail:
            event: Any = e.Failed(command.id, fault_of(failure(args.fail)), "unknown")
        else:
            event = e.Completed(command.id, e.Raw(msgspec.json.encode(args.name)))
        self._later(now + args.ticks, event)


def _child_undone(id: str) -> e.ChildEnded:
    return e.ChildEnded(id, "compensated")


def run_kernel(program: Program, *, batched: bool = False) -> Run:
    """Run a program on the kernel from its start to its end."""
    return Run(program, batched=batched).begin()


def replayed(program: Program, rows: list[e.Row]) -> Run:
    """Activate a new instance with the events of each row, and seal what it decides.

    (`load` does not run the code of an execution that has ended.)
    """
    run = Run(program)
    journal = [e.decode_commands(row.commands) for row in rows]
    run.instance.journaled_patches |= {c.change for row in journal for c in row if isinstance(c, e.Patch)}
    with writing_to(run.trace):
        for row, commands in zip(rows, journal, strict=True):
            run.instance.expected = commands
            decision = run.instance.activate(e.decode_events(row.events), row.now)
            run.rows.append(run.instance.seal(decision))
    run.instance.expected = None
    return run


def left_the_code(rows: list[e.Row]) -> bool:
    """Has the execution got to where its code never runs again?"""
    last = (e.Backward, e.Finish)
    return any(isinstance(command, last) for row in rows for command in e.decode_commands(row.commands))


def state(instance: Instance) -> list[Any]:
    """All that a replay must bring back."""
    ledger = instance.ledger
    actions = [
        [a.id, a.name, a.outcome, a.undo_state, a.interrupted, a.scope, a.position, bytes(a.args)]
        for a in ledger.actions.values()
    ]
    waiting = [sorted(ledger.timers.items()), sorted(ledger.awaited.items()), sorted(ledger.patches)]
    ended = [ledger.phase, ledger.status, ledger.cause, bytes(ledger.value), ledger.run, ledger.pivoted]
    return [instance.position, instance.checksum, actions, waiting, ended, len(ledger.residue)]


def resumed(program: Program, original: Run, rows: int, journal: list[e.Row] | None = None) -> Run:
    """Load the first rows of a run's journal (or of the same one written elsewhere), and go on from there."""
    run = Run(program, batched=original.batched)
    coming, run.issued = original.snapshots[rows - 1]
    run.coming = list(coming)
    return run.load((journal or original.rows)[:rows]).go_on()
