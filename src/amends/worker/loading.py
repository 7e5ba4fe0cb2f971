"""How executions come into a worker's memory: started here, claimed, or read again.

Recovery is replay, by the front door: the rows of a claimed execution go through the same `activate`
as live work, then what is open is sent again with its old key.  What a dead worker may have
dispatched leaves a taint; also beside an attempt that runs on here, when another worker had the
execution meanwhile and died (`Claim.lost_by`).  Ends of attempts and messages that come for an
execution while it is being read wait here for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..definition.step import StepOptions
from ..errors import AmendsError, CorruptJournal, Parked, Poison
from ..kernel import entries as e
from ..kernel.actions import OPEN, UNDO_RUNNING, UNKNOWN, Action
from ..kernel.instance import PYTHON, Instance
from ..kernel.phases import FINISHED
from ..store import port
from ..store.enclosed import unopened
from ..store.port import Claim, Header, Message
from .attempts import PROBE
from .live import Live
from .parking import ENDS

if TYPE_CHECKING:
    from .worker import Worker

_UNDO_ENDS = (e.Undone, e.UndoAttemptFailed, e.UndoFailed)
_ENDS = (e.Completed, e.Failed, e.AttemptFailed, *_UNDO_ENDS)


READ_THE_LOG = (
    "see the traceback in the log; deploy a fix and retry, cancel to undo it from its journal, or terminate"
)


class Loader:
    """See the module's head."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.stash: dict[str, list[Any]] = {}
        self.early: dict[str, list[Message]] = {}

    def start(self, header: Header, told: asyncio.Future[Any], *, tell_acceptance: bool = True) -> None:
        """Begin a new execution; header and first row become durable together.

        `told` gets True (unless without `tell_acceptance`: who waits for the end is told of that) once they
        are, False if the id is taken, None if that is not known, or the store's error.
        """
        live = Live(header, self.instance(header))
        live.fresh = True
        live.told = told
        live.tell_acceptance = tell_acceptance
        header.owner = self._worker.incarnation
        self._worker.lives[header.uid] = live
        self._begin(live)

    def _begin(self, live: Live) -> None:
        header = live.header
        args = e.Raw(header.input.encode())
        self._worker.deliver(live, e.Started(args, 0, PYTHON, 1, header.deadline))

    def begin_child(self, header: Header) -> None:
        """Begin a child that its parent's commit has just made durable."""
        live = Live(header, self.instance(header))
        self._worker.lives[header.uid] = live
        self._begin(live)

    def instance(self, header: Header) -> Instance:
        """The kernel's side of an execution, at the beginning of its journal."""
        return Instance(
            header.uid,
            header.id,
            header.saga,
            header.version,
            self._worker.registry,
            self._worker.settings.limits,
            parent=header.parent,
            depth=header.depth,
            stage=self._worker.stage,
        )

    def adopt(self, claim: Claim) -> None:
        """Bring a claimed execution to the head of its journal and go on with it. Replay happens here."""
        header = claim.header
        live = Live(header, self.instance(header))
        live.lost |= self._worker.doubts.pop(header.uid, {})
        self._worker.lives[header.uid] = live
        if self._worker.pausing.leave_alone(live, claim):
            return
        if claim.deaths >= self._worker.settings.limits.deaths:
            error = Poison(
                f"{claim.deaths} workers in a row died while this execution was at row {len(claim.rows)}",
                hint="find what kills the process (memory, a native crash), then retry",
            )
            if not self._worker.parking.let_rest(live, claim):
                self._worker.parking.park(live, error, claim.inbox)
            return
        if (closed := unopened(self._worker.store, header, claim.rows, claim.inbox)) is not None:
            self._worker.parking.unable(live, closed, claim)
            return
        try:
            with self._worker.watchdog:
                live.instance.load(claim.rows)
        except Parked as error:
            self._worker.parking.unable(live, error, claim)
            return
        except Exception as error:
            self._worker.log.exception("[%s] cannot be loaded", header.id)
            self._worker.parking.unable(
                live, Poison(f"cannot be loaded: {error!r}", hint=READ_THE_LOG), claim
            )
            return
        if not claim.rows:
            self._begin(live)
        self._resume(live, claim)

    def _resume(self, live: Live, claim: Claim) -> None:
        """Send open commands again, with their old keys; attempts lost with a worker leave a taint."""
        try:
            for message in claim.inbox:
                self._worker.take(live, message)
        except CorruptJournal as error:
            self._worker.parking.unable(live, error, claim)
            return
        ledger = live.instance.ledger
        uid = live.header.uid
        if claim.lost and claim.lost_by not in self._worker.incarnations:
            self._doubt_others(live)
        kept = self.stashed(live)
        ending = any(isinstance(event, ENDS) for event in live.events)
        waiting = (*kept, *live.instance.deferred)
        self.send_open(live, waiting, lost=claim.lost, slept=claim.slept, begin=not ending)
        if ending:  # what it does not stop begins once that is known
            self._worker.pausing.let_go(live)
        self._worker.receive(self.early.pop(uid, []))
        for event in kept:
            self._worker.deliver(live, event)
        if ledger.next_args is not None and not any(type(x) is e.Started for x in live.instance.deferred):
            self._worker.begin_next(live, ledger.next_args)
        stands = self._worker.pausing.stands(live)
        for event in () if stands else live.instance.due(self._worker.clock.now()):
            self._worker.deliver(live, event)
        if live.instance.deferred:
            self._worker.schedule(live)
        self._worker.pausing.over(live)
        self._worker.go_on(live)

    def send_open(
        self, live: Live, waiting: Sequence[Any], *, lost: bool, slept: bool = False, begin: bool = True
    ) -> None:
        """Dispatch what is open, but for what has its end among the events that wait.

        Without `begin` no step begins here; compensations do, and what is with a queue is found there.
        """
        ledger = live.instance.ledger
        ended = {(event.id, isinstance(event, _UNDO_ENDS)) for event in waiting if isinstance(event, _ENDS)}
        over = ledger.phase == FINISHED  # of one that was terminated, actions may be open for ever
        for action in () if over else list(ledger.actions.values()):
            if (action.id, action.outcome != OPEN) not in ended:
                self._send_again(live, action, lost=lost, slept=slept, begin=begin)

    def stashed(self, live: Live) -> list[Any]:
        """The ends of attempts that came while it was not in memory; failures are judged by its journal."""
        kept = self.stash.pop(live.header.uid, ())
        events = [event(live) if callable(event) else event for event in kept]
        return [event for event in events if event is not None]

    def _send_again(self, live: Live, action: Action, *, lost: bool, slept: bool, begin: bool) -> None:
        """Dispatch what is open, unless it still runs here.

        That a waiting retry had not begun, only the clock could say, and that may have gone back meanwhile.
        (One that slept has certainly not, so no attempt counts that is not in the journal.)
        """
        now = self._worker.clock.now()
        if action.outcome == OPEN and not action.hold:
            uid, running = live.header.uid, self._worker.attempts.adopt
            if running((uid, action.id, "do")):
                self._doubt(live, action, now, lost=lost, slept=slept)
                if action.interrupted:  # perhaps nobody has told it
                    self._worker.dispatcher.interrupt(live, action)
                return
            if running((uid, action.id, PROBE)):
                return
            queued = self._worker.queued
            if lost and not action.interrupted and queued.is_queued(live, action):
                queued.doubt(live, action, slept=slept)
            elif lost and action.kind == "step" and self._acts_alone(live, action):
                self.taint(live, action, now, slept=slept)
            if action.interrupted:
                self._worker.dispatcher.interrupt(live, action)
            elif begin or queued.is_queued(live, action):
                self._worker.dispatcher.run(live, action)
        elif action.undo_state == UNDO_RUNNING:
            if lost and action.outcome == UNKNOWN and not action.undo_attempts:
                live.lost[action.id] = self._lost_until(live, action, action.undo_opened_at)
            self._worker.dispatcher.undo(live, action)

    def _doubt_others(self, live: Live) -> None:
        """Another worker had it since, and died. What that one may have dispatched has ended nowhere, so the
        end of an attempt from before, which runs on here or has ended by now, is not the whole truth.
        """
        uid = live.header.uid
        for action in live.instance.ledger.open():
            ran_on = uid in self.stash or self._worker.attempts.adopt((uid, action.id, "do"))
            alone = action.kind == "step" and not action.hold and self._acts_alone(live, action)
            if ran_on and alone and not self._worker.queued.is_queued(live, action):
                action.tainted = True
                live.lost[action.id] = self._lost_until(live, action, self._worker.clock.now())

    def _doubt(self, live: Live, action: Action, now: float, *, lost: bool, slept: bool) -> None:
        """What waits for a thread and will not begin in it has no end to tell, so the doubt about an attempt
        that was lost before it is kept here. (One that runs tells of it at its end.)"""
        barred = self._worker.attempts.is_barred((live.header.uid, action.id, "do"))
        if not barred or action.kind != "step" or not self._acts_alone(live, action):
            return
        if action.id in live.lost:
            action.tainted = True
        elif lost:
            self.taint(live, action, now, slept=slept)

    def taint(self, live: Live, action: Action, now: float, *, slept: bool) -> None:
        """An attempt died with a worker: perhaps it had an effect, perhaps it still runs at the
        participant."""
        action.tainted = True
        action.attempts += not slept and action.retry_at <= now
        live.lost[action.id] = self._lost_until(live, action, now)

    def mark_lost(self, live: Live, now: float) -> None:
        """Attempts of open actions may have died with a worker, and may still run at the participant."""
        for action in live.instance.ledger.open():
            running = self._worker.attempts.adopt((live.header.uid, action.id, "do"))
            if action.kind == "step" and not action.hold and not running:
                live.lost[action.id] = self._lost_until(live, action, now)

    def _acts_alone(self, live: Live, action: Action) -> bool:
        """May it have acted without a trace in the journal? (A transactional step cannot.)"""
        policy = self._policy(live, action)
        return policy is None or not policy.transaction

    def _lost_until(self, live: Live, action: Action, died: float) -> float:
        """Until when an attempt that died with its worker (at the latest then) may still be running at
        the participant: for its timeout, where it has one, and a grace.
        """
        policy = self._policy(live, action)
        if policy is not None and policy.transaction:
            return 0.0
        timeout = None if policy is None else policy.timeout
        return died + (timeout or 0.0) + self._worker.settings.grace

    def _policy(self, live: Live, action: Action) -> StepOptions | None:
        try:
            return self._worker.dispatcher.definition(live, action)[1]
        except AmendsError:
            self._worker.log.warning("the step %s is not defined here", action.name)
            return None

    def reload(self, live: Live, why: str) -> None:
        """Memory and store disagree: the store counts."""
        self._worker.log.warning("[%s] loading again: %s", live.header.id, why)
        self._worker.leave(live)
        self._worker.spawn(self._load_again(live.header))

    async def _load_again(self, old: Header) -> None:
        found = await self._worker.store.read(old.uid)
        if found is not None and not self._worker.dead:
            header, rows, inbox = found
            ended = header.status in port.FINAL and not inbox  # a message to what has ended: undo it
            if not ended and header.owner == self._worker.incarnation:
                self.adopt(Claim(header, rows, inbox, lost=True, lost_by=header.owner))
        self._worker.on_doubt(old.id)
