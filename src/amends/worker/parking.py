"""Executions that cannot go on: parked one by one, with what came in kept and what to do said.

`held`: an activation failed; its events are journaled as a row that only keeps them, so that
nothing is lost.  `unable`: the journal cannot be brought to its head (divergence, a missing
definition, corruption); the journal stays as it is.  Somebody who then asks to cancel or terminate
gets it done from the journal alone.  What has ended stays so: what it is told later need not be read.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import AmendsError, CorruptJournal, Parked, Refused, StoreBusy, StoreFull, Unopened
from ..kernel import entries as e
from ..kernel.holding import PauseRequested, ResumeRequested
from ..kernel.phases import FINISHED, RETURNED
from ..store import port
from ..store.enclosed import unopened
from ..store.port import Claim, Message, Write
from . import writes
from .live import Live
from .queues.hearing import is_report
from .queues.issuing import drop_reported

if TYPE_CHECKING:
    from .worker import Worker


ENDS = (e.CancelRequested, e.TerminateRequested)
NEEDS = (e.UndoRequested, e.PivotRequested)
"""After its end, too, these ask for something, which only its journal can tell."""


class Parking:
    """See the module's head."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def held(self, live: Live, error: Parked, events: list[Any], now: float) -> None:
        """An activation could not go on. Its events are kept in a row of their own."""
        instance = live.instance
        if not events:
            self._set_aside(live, error)
            return
        row = e.seal(instance.position, max(now, instance.ledger.now), events, [e.Defer()], instance.checksum)
        write = Write(live.header.uid, row)
        if live.fresh:  # even the first activation failed: it is accepted, and parked at once
            write.start = live.header
        self._leave_with(live, write, error)

    def _leave_with(self, live: Live, write: Write, error: Parked) -> None:
        """Commit the kept events, then park the execution in the store."""
        if live.consumed:
            write.consumed = live.consumed
            live.consumed = []
        drop_reported(live, write)
        live.busy = True
        worker = self._worker

        def kept(verdict: port.Verdict) -> None:
            live.busy = False
            if verdict.code is not port.Code.COMMITTED:
                worker._refused(live, write, verdict)
                return
            if live.fresh:
                live.settle_start(accepted=True)
            self._set_aside(live, error)

        worker.committer.add(write, kept)

    def _set_aside(self, live: Live, error: Parked) -> None:
        """Its code cannot go on. Look at all that is journaled and waits: perhaps no code is needed."""
        self._worker.leave(live)
        self._worker.spawn(self._look_again(live.header.uid, error))

    async def _look_again(self, uid: str, error: Parked) -> None:
        worker = self._worker
        found = await worker.store.read(uid)
        if found is not None and not worker.dead:
            header, rows, inbox = found
            worker.lives[uid] = live = Live(header, worker.loader.instance(header))
            self.unable(live, error, Claim(header, rows, inbox))

    def unable(self, live: Live, error: Parked, claim: Claim) -> None:
        """The journal cannot be replayed, or a message not read. If somebody asked for an end, give it from
        the journal alone."""
        error = unopened(self._worker.store, claim.header, claim.rows, claim.inbox) or error
        if not (self.let_rest(live, claim) or self._end_from_journal(live, claim, error)):
            self.park(live, error, claim.inbox)

    def let_rest(self, live: Live, claim: Claim) -> bool:
        """Take what it was told after its end, if nothing of that needs its journal. (Parked, it would have
        ended and not have ended.)"""
        events = [event for m in claim.inbox if not is_report(m) and (event := _read(m)) is not None]
        if claim.header.status not in port.FINAL or any(isinstance(event, NEEDS) for event in events):
            return False
        worker = self._worker
        live.instance.discard()
        live.instance = worker.loader.instance(live.header)
        live.instance.ledger.phase = FINISHED  # more is not known of it
        live.consumed = [message.seq for message in claim.inbox]
        live.last_seq = max(live.consumed, default=live.last_seq)
        worker.log.warning(
            "[%s] has ended, and cannot be read; what it is told has no effect", claim.header.id
        )
        worker.put_to_sleep(live, events)
        worker.committer.flush()
        return True

    def unreadable(self, live: Live, error: CorruptJournal | Unopened) -> None:
        """A message to a resident execution is damaged: park as soon as no row is on its way."""
        if live.busy:
            live.exclusive.append(lambda: self.park(live, error, []))
        else:
            self.park(live, error, [])

    def _end_from_journal(self, live: Live, claim: Claim, error: Parked) -> bool:
        """Cancel or terminate without the saga's code, if that was asked and can be done."""
        worker = self._worker
        asked = [(m.seq, event) for m in claim.inbox if isinstance(event := _read(m), ENDS)]
        live.instance.discard()
        live.instance = instance = worker.loader.instance(live.header)
        try:
            instance.fold(claim.rows)
        except Parked:
            return self._end_unread(live, asked, claim.inbox)
        requests = [event for event in instance.deferred if isinstance(event, ENDS)]
        requests += [event for _, event in asked]
        if not requests:
            return False
        terminated = any(isinstance(event, e.TerminateRequested) for event in requests)
        if isinstance(error, Unopened) and not terminated:
            return False  # what is to be undone cannot be read
        ledger = instance.ledger
        if not terminated and (ledger.pivoted or ledger.phase == RETURNED):
            return False  # recorded and refused once the code is back; until then only a person can help
        now = worker.clock.now()
        if claim.lost:
            worker.loader.mark_lost(live, now)
        try:
            decision = instance.abandon([event for _, event in asked], error.cause, now)
        except Refused:  # the pivot stands in a row that keeps its events: as if it were passed already
            return False
        live.consumed = [message.seq for message in claim.inbox if decision.finished or _ends(message)]
        row = instance.seal(decision)
        write = worker.build(live, decision, row, worker.incarnation)
        if decision.finished:
            write.release = port.Release(None, live.inbox_seq)
        worker.submit(live, write, decision)
        for message in () if decision.finished else claim.inbox:
            if not _ends(message):  # what nested sagas said counts on the way back, too
                worker.take(live, message)
        live.last_seq = max((message.seq for message in claim.inbox), default=live.last_seq)
        worker.deliver_stashed(live)
        worker.committer.flush()
        return True

    def _end_unread(self, live: Live, asked: list[tuple[int, Any]], inbox: list[Message]) -> bool:
        """The journal is damaged, so nothing can be undone from it; but it can be terminated."""
        request = next((event for _, event in asked if isinstance(event, e.TerminateRequested)), None)
        if request is None:
            return False
        worker, header = self._worker, live.header
        said = {"terminated": {"reason": request.reason, "by": request.by}}
        header.status, header.cause, header.finished_at = port.TERMINATED, "terminated", worker.clock.now()
        header.detail = msgspec.json.encode(said).decode()
        write = Write(header.uid, consumed=[message.seq for message in inbox])
        write.change = port.Change(header.status, header.cause, None, header.detail, header.finished_at)
        write.release = port.Release(None, live.inbox_seq)
        if header.parent:
            write.messages = [writes.ended(live, header.status)]
        worker.submit(live, write, None)
        worker.committer.flush()
        return True

    def park(self, live: Live, error: AmendsError, inbox: list[Message]) -> None:
        """Set the execution aside in the store; messages (`inbox`: those seen) stay in its inbox."""
        worker = self._worker
        cause = getattr(error, "cause", "poison")
        header = live.header
        header.status, header.cause = port.ATTENTION, cause
        item = {"why": cause, "message": error.message, "do": error.hint}
        header.detail = msgspec.json.encode({"items": [item]}).decode()
        worker.log.error("[%s] parked (%s): %s", header.id, cause, error)
        live.last_seq = max((m.seq for m in inbox), default=live.last_seq)
        worker.leave(live)
        worker.spawn(self._store(live, cause))

    async def _store(self, live: Live, cause: str) -> None:
        worker, header = self._worker, live.header
        pause = 0.1
        while True:
            try:
                now = worker.clock.now()
                await worker.store.park(worker.incarnation, header.uid, cause, header.detail or "", now)
                break
            except (StoreFull, StoreBusy) as error:
                worker.log.warning("[%s] cannot be parked yet: %s", header.id, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        worker.on_change(live)
        await self._heed(header.uid, live.last_seq, "its end was asked for while it was being parked")

    def remind(self, uid: str) -> None:
        """A parent has asked this nested saga to end. Messages do not wake one that is parked as a whole."""
        if uid not in self._worker.lives and not self._worker.dead:
            self._worker.spawn(self._heed(uid, 0, "its parent asks it to end"))

    async def _heed(self, uid: str, seen: int, why: str) -> None:
        """Who asks for an end of an execution (by a message after `seen`) need not know that it is parked."""
        store = self._worker.store
        found = await store.read(uid)
        if found is None or found[0].status != port.ATTENTION:
            return
        if any(m.seq > seen and isinstance(_read(m), ENDS) for m in found[2]):
            with contextlib.suppress(Refused):  # somebody was quicker, or only an action of it is parked
                record = port.AuditRecord(self._worker.clock.now(), uid, "amends", "unpark", why)
                await store.unpark(uid, record)
                self._worker.stir.set()


def _ends(message: Message) -> bool:
    """Does it ask for the end, or is it answered by that? (A damaged one says nothing, and goes with the
    code.)"""
    if is_report(message):
        return False
    event = _read(message)
    return event is None or isinstance(event, (*ENDS, PauseRequested, ResumeRequested))


def _read(message: Message) -> e.Event | None:
    """The event of a message; None if it is damaged."""
    try:
        return e.decode_event(message.event)
    except CorruptJournal:
        return None
