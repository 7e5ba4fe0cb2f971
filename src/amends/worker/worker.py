"""The worker: events to activations, decisions to commits, durable decisions to the world.

**Theory of operation.**  Everything happens in plain callbacks of one event loop.  `deliver` gives
an execution an event and puts it in line; `_round` activates all that stand in line, hands their
writes to the committer and flushes; `_committed` carries out what a verdict made durable.  One row
per execution is on its way at a time; events that come meanwhile wait and share the next row.

    deliver → (round) → activate → commit → carry out → attempts … → deliver

A conflict, a fence or a lost acknowledgement discards the instance; what the store says counts.  An
execution that cannot go on (`Parked`) is parked by itself, with its events kept where they can be;
all others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from ..clock import Clock
from ..definition.registry import Registry
from ..errors import AmendsError, CorruptJournal, Fenced, Parked, Poison, StoreError, Unopened
from ..kernel import entries as e
from ..kernel.instance import PYTHON, Decision
from ..kernel.loop import Stage
from ..kernel.phases import FINISHED
from ..store.enclosed import unopened_message
from ..store.port import COMMITTED, Code, Message, Release, Store, Verdict, Write, is_shared
from . import writes
from .attempts import Attempts
from .committer import Committer
from .dispatcher import Dispatcher
from .handover import hand_over
from .holds import Holds
from .live import Live
from .loading import READ_THE_LOG, Loader
from .parking import Parking
from .pausing import Pausing
from .queues.hearing import Hearing, is_report
from .queues.issuing import Issuing, drop_reported
from .residency import Residency
from .resources import Resources
from .settings import Settings
from .transactions import Transactions
from .watchdog import Watchdog

_EMPTY = contextvars.Context()
_ROUNDS = 100  # of activations in a drain: more than any saga needs, but for one that never ends
_LAST_ROWS = 5.0  # seconds that a drain waits at least for a store that is full or locked
_IN_PLACE = 8  # rounds of little work, without a turn of the loop: all else waits for as many commits
_LITTLE = 2  # executions in line


class Worker:
    """One incarnation at work. See the module's theory of operation."""

    log = logging.getLogger("amends.worker")

    def __init__(
        self,
        store: Store,
        incarnation: int,
        registry: Registry,
        resources: Resources,
        clock: Clock,
        settings: Settings,
        *,
        on_lost: Callable[[AmendsError], None],
        on_change: Callable[[Live], None],
        on_doubt: Callable[[str], None],
        on_tasks: Callable[[], None] = lambda: None,  # no queue is served in this process
        predecessor: Worker | None = None,
    ) -> None:
        self.store = store
        self.incarnation = incarnation
        self.registry = registry
        self.resources = resources
        self.clock = clock
        self.settings = settings
        self.lives: dict[str, Live] = {}
        # until when attempts lost with a worker may still run, of executions that are to be loaded again
        self.doubts: dict[str, dict[str, float]] = {}
        # of this process: what they dispatched may still run here
        self.incarnations = frozenset({incarnation})
        if predecessor is None:
            self.attempts = Attempts(clock, steps=settings.steps, threads=settings.threads)
            self.dispatcher = Dispatcher(self, self.attempts)
            self.holds = Holds(self)
        else:
            self._succeed(predecessor)
        self.residency = Residency(self)
        self.parking = Parking(self)
        self.pausing = Pausing(self)
        self.transactions = Transactions(self)
        self.loader = Loader(self)
        self.queued = Issuing(self)
        self.hearing = Hearing(self)
        self.build = writes.build
        self.committed = self._committed
        self.queued.mind()
        self.watchdog = Watchdog(clock, settings.limits.seconds)
        self.stage = Stage()
        self.committer = Committer(
            store, incarnation, clock, batch=settings.batch, on_lost=self.lost, on_told=self._hear
        )
        self.draining = self.dead = False
        self.claimed = asyncio.Event()
        self.claimed.set()
        self.stir = asyncio.Event()
        self._on_lost = on_lost
        self.on_change = on_change
        self.on_doubt = on_doubt
        self.on_tasks = on_tasks
        self.loop = asyncio.get_running_loop()
        self._warn_rows = settings.limits.warn_rows
        self._line: list[Live] = []
        self._scheduled = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def _succeed(self, predecessor: Worker) -> None:
        """Go on with what another incarnation of this process began."""
        self.attempts = predecessor.attempts
        self.dispatcher = predecessor.dispatcher
        self.holds = predecessor.holds
        self.dispatcher.worker = self.holds.worker = self
        self.doubts |= predecessor.doubts
        self.incarnations |= predecessor.incarnations

    # ------------------------------------------------------------ events

    def deliver(self, live: Live, event: Any) -> None:
        """Give a resident execution an event."""
        live.events.append(event)
        self.schedule(live)

    def deliver_to(self, uid: str, event: Any) -> None:
        """Give an execution the end of an attempt; one that is being loaded again gets it later."""
        live = self.lives.get(uid)
        if live is not None:
            live.events.append(event)
            if not live.queued and not live.busy:
                self.schedule(live)
        elif not self.dead:
            self.loader.stash.setdefault(uid, []).append(event)

    def deliver_stashed(self, live: Live) -> None:
        """Give an execution the ends of attempts that came while it was not in memory."""
        for event in self.loader.stashed(live):
            self.deliver(live, event)

    def receive(self, messages: list[Message]) -> None:
        """Inbox messages for resident executions."""
        for message in messages:
            live = self.lives.get(message.uid)
            if live is None:
                self.loader.early.setdefault(message.uid, []).append(message)
            elif message.seq > live.last_seq:
                live.inbox_seq += 1
                try:
                    self.take(live, message)
                except (CorruptJournal, Unopened) as error:
                    self.parking.unreadable(live, error)

    def take(self, live: Live, message: Message) -> None:
        """One inbox message, unless it was taken already."""
        if message.seq > live.last_seq:
            live.last_seq = message.seq
            if (closed := unopened_message(self.store, message)) is not None:
                raise closed
            if is_report(message):
                self.hearing.hear(live, message)
                return
            live.consumed.append(message.seq)
            event = e.decode_event(message.event)
            if not self.pausing.hear(live, event):
                self.deliver(live, event)

    def schedule(self, live: Live) -> None:
        """Put it in line for the next round."""
        if not live.queued and not live.busy and not live.instance.dead:
            live.queued = True
            self._line.append(live)
            if not self._scheduled:
                self._scheduled = True
                self.loop.call_soon(self._round, context=_EMPTY)

    def _round(self) -> None:
        """Activate all that stand in line; while that is little, also what its commit brings back at once.

        A defect of ours must not strand them: read all again.
        """
        try:
            for _ in range(_IN_PLACE):
                if self.dead:
                    return
                self._activate_line()
                if not 0 < len(self._line) <= _LITTLE:
                    break
        except Exception as error:
            self.log.exception("a round failed")
            self.lost(AmendsError(f"a round failed: {error!r}"))
            return
        self._scheduled = bool(self._line)
        if self._scheduled:
            self.loop.call_soon(self._round, context=_EMPTY)

    def _hear(self, tell: Callable[[], None]) -> None:
        """Hear verdicts, and activate what they bring back at once, in the same turn of the loop."""
        scheduled, self._scheduled = self._scheduled, True
        tell()
        if not scheduled:
            self._round()

    def _activate_line(self) -> None:
        """First all saga code runs, then the worker acts on what it decided (see `Stage`)."""
        line, self._line = self._line, []
        now = self.clock.now()
        holds = self.holds
        active = []
        for live in line:
            live.queued = False
            if live.busy or live.instance.dead:
                continue
            special = live.exclusive or live.resting or live.paused or holds.known
            if (special or live.instance.ledger.phase == FINISHED) and not self._turn_to(live):
                continue
            live.given, live.events = live.events, []
            active.append(live)
        if len(active) == 1:  # nothing to save by a stage
            self._journal(active[0], self._decide(active[0], now), now)
        else:
            with self.stage:
                decided = [self._decide(live, now) for live in active]
            for live, outcome in zip(active, decided, strict=True):
                self._journal(live, outcome, now)
        if not self.dead:
            self.committer.flush()

    def _turn_to(self, live: Live) -> bool:
        """It does not just go on: what must happen before its activation, or (False) instead of it?"""
        if live.exclusive and not live.events:
            live.exclusive.pop(0)()
            return False
        if self.pausing.stands(live):
            self.pausing.keep(live)
            return False
        self.residency.wanted(live)
        if live.instance.ledger.phase == FINISHED:
            late = live.events
            live.events = [event for event in late if type(event) is e.UndoRequested]
            if not live.events:
                self.put_to_sleep(live, late)
                return False
        return True

    def _decide(self, live: Live, now: float) -> Decision | Parked:
        """Run one activation; a failure is returned, so that it concerns nobody else."""
        watchdog = self.watchdog
        try:
            watchdog.count += 1  # ``with watchdog:``, on every activation's way
            watchdog.active = True
            try:
                return live.instance.activate(live.given, now)
            finally:
                watchdog.active = False
                if watchdog.striking:
                    watchdog.absorb(sys.exc_info()[0])
        except Parked as error:
            return error
        except Exception as error:
            self.log.exception("[%s] the activation failed", live.header.id)
            return Poison(f"the activation failed: {error!r}", hint=READ_THE_LOG)

    def _journal(self, live: Live, decision: Decision | Parked, now: float) -> None:
        """Make the row, and hand it to the committer with what belongs to it; or park what cannot go on."""
        if isinstance(decision, Parked):
            self.parking.held(live, decision, live.given, now)
            return
        try:
            row = live.instance.seal(decision)
        except Parked as error:
            self.parking.held(live, error, live.given, decision.now)
            return
        if row.position == self._warn_rows:
            self.log.warning(
                "[%s] its journal has %d rows; consider amends.continue_as_new(…)",
                live.header.id,
                row.position,
            )
        write = self.build(live, decision, row, self.incarnation)
        if decision.finished:
            write.release = Release(None, live.inbox_seq)
        elif not decision.run and not decision.undo and decision.next_args is None:
            write.release = self.residency.release_now(live, decision.now)
        live.busy = True  # `submit`, on every row's way
        live.leaving = write.release is not None
        self.committer.waiting.append((write, partial(self.committed, live, write, decision)))

    def submit(self, live: Live, write: Write, decision: Decision | None) -> None:
        """Hand a write to the committer; the execution is busy until its verdict."""
        live.busy = True
        live.leaving = write.release is not None
        self.committer.add(write, partial(self.committed, live, write, decision))

    # ------------------------------------------------------------ what became of it

    def _committed(self, live: Live, write: Write, decision: Decision | None, verdict: Verdict) -> None:
        live.busy = live.leaving = False
        if verdict is not COMMITTED and verdict.code is not Code.COMMITTED:
            self._refused(live, write, verdict)
            return
        if live.fresh:
            live.settle_start(accepted=True)
        if write.messages or verdict.awake:
            self.stir.set()
        if decision is not None:
            for action in decision.run:
                self.dispatcher.run(live, action)
            if decision.undo or decision.interrupt or decision.next_args is not None:
                self._carry_out_rest(live, decision)
        for header in write.children:
            self.loader.begin_child(header)
        if write.change is not None:
            self.on_change(live)
        if write.release is not None and not verdict.awake:
            self.leave(live)
            if write.release.wake_at is not None:
                self.stir.set()
        elif not live.queued:
            self.go_on(live, busy=decision is not None and _runs_now(decision))

    def _carry_out_rest(self, live: Live, decision: Decision) -> None:
        for action in decision.undo:
            self.dispatcher.undo(live, action)
        for action in decision.interrupt:
            self.dispatcher.interrupt(live, action)
        if decision.next_args is not None:
            self.begin_next(live, decision.next_args)

    def begin_next(self, live: Live, args: e.Raw) -> None:
        """The run was continued as new, and the next one has not begun."""
        ledger = live.instance.ledger
        self.deliver(live, e.Started(args, ledger.run + 1, PYTHON, 1, ledger.deadline))

    def go_on(self, live: Live, *, busy: bool = False) -> None:
        """Go on: with work that waits, or rest until something is due."""
        if live.busy:
            return  # a transaction has begun: its end will bring it back
        if live.exclusive:
            live.exclusive.pop(0)()
        elif live.events or live.instance.deferred or self.pausing.stands(live):
            self.schedule(live)
        elif live.instance.next_wake is None and busy:
            return  # an attempt's end will bring it back
        else:
            before = self.residency.next_due
            self.residency.plan(live)
            due = self.residency.next_due
            if due is not None and (before is None or due < before):
                self.stir.set()
            self.residency.rest(live, self.clock.now())

    def _refused(self, live: Live, write: Write, verdict: Verdict) -> None:
        if verdict.code is Code.POISON and live.fresh:
            self.leave(live)
            live.refuse_start(StoreError(f"the store refuses this execution: {verdict.reason}"))
        elif verdict.code is Code.POISON:
            self.parking.park(
                live, Poison(f"the store refuses its row: {verdict.reason}", hint=READ_THE_LOG), []
            )
        elif write.start is not None:
            self.leave(live)
            live.settle_start(accepted=False)
        else:
            self.loader.reload(live, verdict.reason)

    def leave(self, live: Live) -> None:
        """Out of memory (its owner in the store is settled by the caller)."""
        self.residency.wanted(live)
        self.dispatcher.forget(live)
        if self.lives.get(live.header.uid) is live:
            del self.lives[live.header.uid]
        if live.lost and live.instance.ledger.phase != FINISHED:
            self.doubts[live.header.uid] = live.lost
        live.instance.discard()

    def put_to_sleep(self, live: Live, late: Sequence[Any] = ()) -> None:
        """Give an idle execution back to the store until it is due. `late`: events after its end."""
        release = Release(self.residency.wake_at(live), live.inbox_seq, bool(live.lost))
        consumed, live.consumed = live.consumed, []
        now = self.clock.now()
        audit = [writes.no_effect(live, event, now) for event in late if writes.is_request(event)]
        messages = writes.refused_pivots(live, late)
        write = Write(live.header.uid, release=release, messages=messages, consumed=consumed, audit=audit)
        drop_reported(live, write)
        self.submit(live, write, None)

    # ------------------------------------------------------------ the end

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the rounds; it ends with the worker."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Fenced):
            self.lost(error)
        elif error is not None:
            self.log.error("a task of the worker failed", exc_info=error)
            # what it was to load, park or wake would be left to nobody
            self.lost(AmendsError(f"a task of the worker failed: {error!r}"))

    def lost(self, error: AmendsError) -> None:
        """Ownership or the truth about a commit is lost: drop everything, and tell the engine."""
        if not self.dead:
            self.kill()
            self._on_lost(error)

    def kill(self) -> None:
        """Stop at once; nothing in memory counts any more. Attempts that run are left to end."""
        self.dead = True
        self.committer.kill()
        self.dispatcher.close()
        self.attempts.orphan()
        for task in list(self._tasks):
            task.cancel()
        self.doubts |= {uid: live.lost for uid, live in self.lives.items() if live.lost}
        for live in list(self.lives.values()):
            live.instance.discard()
            if live.fresh:
                live.settle_start(accepted=None)
        self.lives.clear()
        self.watchdog.close()

    async def drain(self) -> list[str]:
        """Let running attempts end, and journal what they brought. Returns the uids of the resident
        executions that are *settled*.

        Of the others something still runs, or has ended unseen: whoever takes over must know that it may
        have had an effect.
        """
        self.draining = True
        self.stir.set()
        self.dispatcher.close()
        began = self.clock.monotonic()
        if is_shared(self.store):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.grace):
                    await hand_over(self)
        await self.attempts.close(self.settings.grace)
        await self._quiet(self.settings.grace - (self.clock.monotonic() - began))
        running = {uid for uid, _, _ in self.attempts.running} | self.loader.stash.keys()
        settled = [
            uid
            for uid, live in self.lives.items()
            if uid not in running and not (live.busy or live.events or live.lost)
        ]
        self.kill()
        return settled

    async def _quiet(self, seconds: float) -> None:
        """Let claims, transactions, loads and activations that are under way come to their end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self.claimed.wait()
                while self._tasks:
                    await asyncio.wait(self._tasks)  # noqa: TID251 - the sets are not used
        try:
            async with asyncio.timeout(max(self.settings.grace, _LAST_ROWS)):
                await self._settle()
        except TimeoutError:
            self.log.warning("the store does not take the last rows; what they tell counts as lost")

    async def _settle(self) -> None:
        """Activate and commit what still stands in line."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
            await self.committer.settle()
            if not self._line:
                break


def _runs_now(decision: Decision) -> bool:
    """Has the decision begun an attempt whose end will bring the execution back?"""
    for action in decision.run:  # noqa: SIM110 - a plain loop: on every activation's way
        if not action.retry_at:
            return True
    return False
