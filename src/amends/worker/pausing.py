"""Executions that stand still because somebody said so, of each by itself. (Of all of a saga or a namespace:
`holds`, which shares what is here for those in memory.)

**Theory of operation.**  A request to pause is a message, and unlike all others it is not consumed: it stays
in the inbox for as long as the pause lasts.  So the pause is where the execution is, durable with its audit
record, survives every owner, and needs nothing of the store.  What holds is a fold of the inbox in its order
(`standing`): a request to pause holds; a request to resume, to cancel or to terminate lifts what came before.

    running ──pause──▶ ending: attempts under way end ──nothing runs──▶ asleep, cause `paused`
       ▲                        │ resume, cancel, terminate                      │
       └────────────────────────┴────────────────────────────────────────────────┘

* *Ending.*  No saga code runs and nothing is dispatched (`Dispatcher.run`, `undo`, `Transactions`): attempts
  that wait for a slot or their time are taken back, as in a hand-over; those that wait for a thread or the
  store are turned away when they get it, as by the gate of `holds`.  Ends of attempts, signals and what
  nested sagas say become rows that only keep their events (`Defer`), the rows that transactional steps
  write: durable at once, applied by the first activation afterwards.  A probe belongs to the end of its
  attempt, so it is not taken back.
* *Asleep.*  The release says no time, so neither timers nor the deadline wake it; a message does.  Whoever
  claims it looks at the inbox first, and gives it back as it was (`lost`, too) without replay.
  Timers and deadline go on by the clock and are due at the resume.
* *Resume.*  Open commands are sent as after any claim.  The requests are consumed together with the one that
  lifts them, or all stay: no crash leaves a pause behind whose end was consumed.
* *Nested sagas* get the request when their parent stands still: only its owner starts children, so then there
  are no others.  They are resumed likewise.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import CorruptJournal
from ..kernel import entries as e
from ..kernel.actions import OPEN
from ..kernel.holding import PauseRequested, ResumeRequested
from ..kernel.phases import FINISHED
from ..store.port import PAUSED, Change, Claim, Code, Message, Release, Verdict, Write
from . import writes
from .live import Live
from .parking import ENDS
from .queues.hearing import is_report
from .queues.issuing import drop_reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .worker import Worker

LIFTING = (ResumeRequested, *ENDS)
_MARK = '"pause_requested"'


def standing(inbox: Sequence[Message]) -> PauseRequested | None:
    """The request to pause that holds, if one does. Raises `CorruptJournal`."""
    if not any(_MARK in message.event for message in inbox):
        return None
    holds: PauseRequested | None = None
    for message in inbox:
        if is_report(message):
            continue
        event = e.decode_event(message.event)
        if isinstance(event, PauseRequested):
            holds = holds or event
        elif isinstance(event, LIFTING):
            holds = None
    return holds


class Pausing:
    """See the module's head."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def stands(self, live: Live) -> bool:
        """Does it stand still, because of itself or of its saga or namespace?"""
        return live.paused is not None or self._worker.holds.cover(live.header)

    def hear(self, live: Live, event: Any) -> bool:
        """A message that was just taken. True: it is a pause or a resume, and done with."""
        kind = type(event)
        if kind is PauseRequested and live.instance.ledger.phase != FINISHED:
            live.holds.append(live.consumed.pop())
            if live.paused is None:
                live.paused = event
                self._hold_back(live)
            self._worker.schedule(live)
            return True
        if live.paused is not None and kind in LIFTING:
            self._lift(live)
        return kind is ResumeRequested and live.instance.ledger.phase != FINISHED

    def _hold_back(self, live: Live) -> None:
        """Take back what has not begun."""
        worker, uid = self._worker, live.header.uid
        worker.residency.wanted(live)
        worker.dispatcher.hold_back(live)
        worker.attempts.hold_back(uid)

    def _lift(self, live: Live) -> None:
        live.paused = None
        live.consumed += live.holds
        live.holds = []
        self.let_go(live)

    def let_go(self, live: Live) -> None:
        """It stands still no more, unless for another reason. First it hears of an end that it is asked for:
        what that stops does not begin.
        """
        live.exclusive.append(lambda: self._go_on(live))
        self._worker.schedule(live)

    def _go_on(self, live: Live) -> None:
        """What was held back begins (what is under way is found so, and goes on)."""
        worker = self._worker
        if any(isinstance(event, ENDS) for event in live.events):
            self.let_go(live)
            return
        if not self.stands(live):
            worker.loader.send_open(live, (*live.events, *live.instance.deferred), lost=False)
            for event in live.instance.due(worker.clock.now()):
                worker.deliver(live, event)
            self.over(live)
        worker.go_on(live)

    # ------------------------------------------------------------ ending

    def keep(self, live: Live) -> None:
        """Journal what came, for later; with nothing left to come, fall asleep."""
        worker, instance = self._worker, live.instance
        if live.paused is None and (instance.position == 0 or instance.ledger.phase == FINISHED):
            self._give_up(live)  # what came for it waits in its inbox
        elif live.events:
            events = live.events
            live.events = []
            now = max(worker.clock.now(), instance.ledger.now)
            row = e.seal(instance.position, now, events, [e.Defer()], instance.checksum)
            instance.absorb(row, events)
            consumed, live.consumed = live.consumed, []
            write = Write(live.header.uid, row, consumed=consumed)
            drop_reported(live, write)
            worker.submit(live, write, None)
        elif not self._runs(live.header.uid):
            self._give_up(live) if live.paused is None else self._sleep(live, live.paused)

    def _runs(self, uid: str) -> bool:
        return uid in self._worker.attempts.executions()

    def _sleep(self, live: Live, request: PauseRequested) -> None:
        write = Write(live.header.uid, change=_paused(live, request))
        write.release = Release(None, live.inbox_seq, bool(live.lost))
        write.messages = _to_children(live, request)
        self._worker.submit(live, write, None)

    def _give_up(self, live: Live) -> None:
        """Its saga or namespace stands still: it is due as soon as that ends. (One that is only being started
        is accepted.)"""
        write = Write(live.header.uid, release=Release(0.0, live.inbox_seq, bool(live.lost)))
        write.start = live.header if live.fresh else None
        self._worker.submit(live, write, None)

    # ------------------------------------------------------------ claimed while it holds

    def leave_alone(self, live: Live, claim: Claim) -> bool:
        """Does it stand still by a pause that holds, and nothing of it runs here? Then it is given back."""
        worker, uid = self._worker, claim.header.uid
        try:
            request = standing(claim.inbox) if claim.header.cause == PAUSED else None
        except CorruptJournal:  # loading it meets the same, and parks it
            return False
        held = worker.holds.cover(claim.header)
        if (request is None and not held) or self._runs(uid) or uid in worker.loader.stash:
            return False
        worker.loader.early.pop(uid, None)
        write = Write(uid, release=Release(0.0 if held else None, live.inbox_seq, claim.lost))
        live.busy = live.leaving = True
        worker.committer.add(write, partial(self._given_back, live, claim, write))
        worker.committer.flush()
        return True

    def _given_back(self, live: Live, claim: Claim, write: Write, verdict: Verdict) -> None:
        worker = self._worker
        if verdict.code is not Code.COMMITTED:
            worker._refused(live, write, verdict)
            return
        worker.leave(live)
        if verdict.awake:
            worker.spawn(self._look_again(claim))

    async def _look_again(self, claim: Claim) -> None:
        """A message came meanwhile, perhaps the end of the pause."""
        worker = self._worker
        found = await worker.store.read(claim.header.uid)
        if found is not None and not worker.dead and found[0].owner == worker.incarnation:
            header, rows, inbox = found
            worker.loader.adopt(msgspec.structs.replace(claim, header=header, rows=rows, inbox=inbox))

    # ------------------------------------------------------------ afterwards

    def over(self, live: Live) -> None:
        """The header says that it is paused, and it is not any more."""
        header, ledger = live.header, live.instance.ledger
        if header.cause != PAUSED or live.paused is not None or live.busy or ledger.phase == FINISHED:
            return
        header.status = writes.status_of(ledger)
        header.cause = writes.cause_of(ledger, header.status)
        header.detail = writes.detail_of(ledger, header.status)
        write = Write(header.uid, change=Change(header.status, header.cause, None, header.detail))
        write.messages = _to_children(live, ResumeRequested("its parent goes on", "amends"))
        self._worker.submit(live, write, None)
        self._worker.committer.flush()


def _to_children(live: Live, event: PauseRequested | ResumeRequested) -> list[Message]:
    actions = live.instance.ledger.actions.values()
    text = writes.encode_event(event)
    return [Message(each.uid, text) for each in actions if each.kind == "child" and each.outcome == OPEN]


def _paused(live: Live, request: PauseRequested) -> Change:
    """The header of an execution that stands still: beside what it said, since when, by whom and why."""
    header = live.header
    try:
        detail = msgspec.json.decode(header.detail or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:  # damage; made anew from the journal when it goes on
        detail = {}
    before = detail.get("paused", {}).get("before", "") if header.cause == PAUSED else header.cause
    said = {"since": request.at, "by": request.by, "reason": request.reason, "before": before}
    header.cause = PAUSED
    header.detail = msgspec.json.encode({**detail, "paused": said}).decode()
    return Change(header.status, PAUSED, header.result, header.detail, header.finished_at)
