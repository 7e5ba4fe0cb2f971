"""Executions that cannot go on: parked one by one, with what came in kept and what to do said.

`held`: an activation failed; its events are journaled as a row that only keeps them, so that
nothing is lost.  `unable`: the journal cannot be brought to its head (divergence, a missing
definition, corruption); the journal stays as it is.  Somebody who then asks to cancel or terminate
gets it done from the journal alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import AmendsError, CorruptJournal, Parked
from ..kernel import entries as e
from ..kernel.entries import Fault
from ..store import port
from ..store.port import Claim, Message, Write
from . import writes
from .live import Live

if TYPE_CHECKING:
    from .worker import Worker


class Parking:
    """See the module's head."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def held(self, live: Live, error: Parked, events: list[Any], now: float) -> None:
        """An activation could not go on. Its events are kept in a row of their own."""
        instance = live.instance
        if live.fresh:
            self._refuse_start(live, error, events, now)
            return
        row = e.seal(instance.position, max(now, instance.ledger.now), events, [e.Defer()], instance.checksum)
        write = Write(live.header.uid, row)
        self._leave_with(live, write, error)

    def _refuse_start(self, live: Live, error: Parked, events: list[Any], now: float) -> None:
        """Even the first activation failed: the execution is accepted, and parked at once."""
        row = e.seal(0, now, events, [e.Defer()], 0)
        write = Write(live.header.uid, row, start=live.header)
        self._leave_with(live, write, error)

    def _leave_with(self, live: Live, write: Write, error: Parked) -> None:
        """Commit the kept events, then park the execution in the store."""
        if live.consumed:
            write.consumed = live.consumed
            live.consumed = []
        live.busy = True
        worker = self._worker

        def kept(verdict: port.Verdict) -> None:
            live.busy = False
            if verdict.code is not port.Code.COMMITTED:
                worker._refused(live, write, verdict)
                return
            if live.fresh:
                live.settle_start(accepted=True)
            self.park(live, error, [])

        worker.committer.add(write, kept)

    def unable(self, live: Live, error: Parked, claim: Claim) -> None:
        """The journal cannot be replayed. If somebody asked for an end, give it from the journal alone."""
        events = [(m, e.decode_event(m.event)) for m in claim.inbox]
        wanted = [
            (m, event) for m, event in events if isinstance(event, (e.CancelRequested, e.TerminateRequested))
        ]
        if wanted and not isinstance(error, CorruptJournal):
            self._end_from_journal(live, claim, wanted, error)
        else:
            self.park(live, error, claim.inbox)

    def _end_from_journal(
        self, live: Live, claim: Claim, wanted: list[tuple[Message, Any]], error: Parked
    ) -> None:
        worker = self._worker
        header = live.header
        live.instance.discard()
        live.instance = worker.instance(header)
        live.instance.fold(claim.rows)
        request = wanted[0][1]
        if live.instance.ledger.pivoted and not isinstance(request, e.TerminateRequested):
            self.park(
                live, error, claim.inbox
            )  # refused once the code is back; until then only a person can help
            return
        live.consumed = [m.seq for m, _ in wanted]
        now = worker.clock.now()
        if isinstance(request, e.TerminateRequested):
            decision = live.instance.activate([request], now)
        else:
            fault = Fault("Cancelled", f"{request.reason} (undone from the journal: {error.cause})")
            decision = live.instance.abandon(request.cause, fault, now)
        row = live.instance.seal(decision)
        worker.submit(live, writes.build(live, decision, row, worker.incarnation), decision)
        worker.committer.flush()

    def park(self, live: Live, error: AmendsError, inbox: list[Message]) -> None:
        """Set the execution aside in the store; messages stay in its inbox."""
        worker = self._worker
        cause = getattr(error, "cause", "poison")
        header = live.header
        header.status, header.cause = port.ATTENTION, cause
        item = {"why": cause, "message": error.message, "do": error.hint}
        header.detail = msgspec.json.encode({"items": [item]}).decode()
        worker.log.error("[%s] parked (%s): %s", header.id, cause, error)
        worker.leave(live)
        worker.spawn(self._store(live, cause))

    async def _store(self, live: Live, cause: str) -> None:
        worker = self._worker
        now = worker.clock.now()
        await worker.store.park(worker.incarnation, live.header.uid, cause, live.header.detail or "", now)
        worker.changed(live)
