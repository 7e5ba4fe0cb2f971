"""Carrying out decisions: actions and compensations become attempts, their ends become events.

Called only for what is durable (promise 3).  Nothing here is remembered across a crash: a loaded
execution names again what is open, with the same keys.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..definition.compensation import SEALED, UNRESOLVED
from ..definition.context import Current
from ..definition.step import Step, StepOptions, invoke
from ..errors import AmendsError, PayloadError
from ..kernel import entries as e
from ..kernel.actions import OPEN, REJECTED, UNKNOWN, Action
from ..kernel.failures import fault_of
from ..store.port import Transaction
from . import conclusions
from .attempts import PROBE, Attempt, Attempts, Key
from .calling import current_of, definition_of, encoded, recovery_of
from .conclusions import Interrupted, conclude
from .live import Live
from .resources import NO_TRANSACTION_YET
from .transactions import Job
from .undoing import Undoing

if TYPE_CHECKING:
    from .worker import Worker


TAKEN_BY_THE_STEP = (
    "pass what the step's annotations say (after a change of them give new fields a default, or read old "
    "shapes with a wider annotation); then retry, with other arguments if need be"
)
MOMENT = 0.005
"""How long (seconds) a retry waits for a commit in flight that may give up its execution."""


class Dispatcher:
    """Runs what activations decided, for one worker."""

    def __init__(self, worker: Worker, attempts: Attempts) -> None:
        self.worker = worker
        self.attempts = attempts
        self.chance = random.Random()
        self._payload_limit = worker.settings.limits.payload
        self._loop = asyncio.get_running_loop()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._undoing = Undoing(self)

    # ------------------------------------------------------------ what the worker asks for

    def run(self, live: Live, action: Action) -> None:
        """Begin (or, when a retry waits, schedule) the next attempt of an action."""
        worker = self.worker
        if action.hold or action.outcome or action.kind == "child" or worker.draining or live.paused:
            return
        if worker.holds.known and worker.holds.cover(live.header):
            return
        key = (live.header.uid, action.id, "do")
        attempts = self.attempts
        if key in attempts.running or (attempts.waiting and attempts.adopt(key)):
            return
        if key in self._later:  # an operator does not want to wait for it, or asks twice
            self._later.pop(key).cancel()
        if action.retry_at:
            self._at(key, action.retry_at, self._begin, live, action)
        else:
            self._begin(live, action)

    def undo(self, live: Live, action: Action) -> None:
        """Begin (or schedule) the next attempt of a compensation; a child hears of it by its inbox."""
        if action.kind == "child" or self.worker.draining or self.worker.pausing.stands(live):
            return
        key = (live.header.uid, action.id, "undo")
        if self.attempts.adopt(key):
            return
        if key in self._later:
            self._later.pop(key).cancel()
        action_key = (live.header.uid, action.id, "do")
        if self.attempts.follow(action_key, lambda: self.undo(live, action)):
            self.attempts.stop(action_key, Interrupted("the action is being undone"))
            return
        not_before = max(action.undo_retry_at, live.lost.get(action.id, 0.0))
        self._at(key, not_before, self._undoing.begin, live, action)

    def interrupt(self, live: Live, action: Action) -> None:
        """Stop an action's attempt; one that waits for its retry is over at once. (A child has a message.)"""
        if action.kind == "child":
            self.worker.parking.remind(action.uid)
            return
        key = (live.header.uid, action.id, "do")
        reason = Interrupted("the saga no longer waits for this step")
        if self.attempts.stop(key, reason) or self.worker.queued.recall(live, action, "do"):
            return
        handle = self._later.pop(key, None)
        if handle is not None:
            handle.cancel()
        self.give_up(live, action, reason)

    def give_up(self, live: Live, action: Action, reason: Interrupted) -> None:
        """Nothing runs of an action that the saga no longer waits for: it is over, once it is known how."""
        if action.outcome or self.attempts.adopt((live.header.uid, action.id, PROBE)):
            return  # an operator has decided, or the participant is being asked
        failed = e.Failed(action.id, fault_of(reason), UNKNOWN if action.tainted else REJECTED)
        if not (action.tainted and self._asks(live, action, failed)):
            self.worker.deliver(live, failed)

    def _asks(self, live: Live, action: Action, failed: e.Failed) -> bool:
        """Can the participant be asked what became of an attempt before? Then it is."""
        try:
            step, policy = self.definition(live, action)
            step.signature.decode_args(action.args)
        except AmendsError:  # nothing can be asked by this code
            return False
        if step.prober is not None:
            current = self.current(live, action, action.attempts, "do", policy.timeout)
            self._probe(action, step, current, failed, partial(self.worker.deliver_to, live.header.uid))
        return step.prober is not None

    def forget(self, live: Live) -> None:
        """The execution leaves memory: its waiting retries are the store's business now."""
        self.hold_back(live)
        self.worker.queued.forget(live)
        self.worker.transactions.forget(live)

    def hold_back(self, *lives: Live) -> None:
        """No attempt that waits for its time begins."""
        uids = {live.header.uid for live in lives}
        for key in [k for k in self._later if k[0] in uids]:
            self._later.pop(key).cancel()

    def close(self) -> None:
        """No further attempt begins."""
        for handle in self._later.values():
            handle.cancel()
        self._later.clear()

    def _at(
        self, key: Key, when: float, begin: Callable[[Live, Action], None], live: Live, action: Action
    ) -> None:
        wait = when - self.worker.clock.now() if when else 0.0
        if wait <= 0:
            begin(live, action)
            return

        def ring() -> None:
            if live.leaving:  # its owner may be gone: whoever has it after the commit begins the attempt
                self._later[key] = self._loop.call_later(MOMENT, ring)
                return
            self._later.pop(key, None)
            begin(live, action)

        self._later[key] = self._loop.call_later(wait, ring)

    # ------------------------------------------------------------ actions

    def _begin(self, live: Live, action: Action) -> None:
        if live.instance.dead:
            return
        try:
            step, policy = definition_of(live.instance, action, self.worker.registry)
            signature = step.signature
            args = signature.decode_args(action.args)
            if step.elsewhere:
                self._begin_elsewhere(live, action, step, policy, args)
                return
            resources = self.worker.resources.for_function(signature) if signature.plan[2] else None
        except PayloadError as error:
            error.hint = TAKEN_BY_THE_STEP
            self._refuse(live, action, error)
            return
        except AmendsError as error:
            self._refuse(live, action, error)
            return
        timeout = policy.timeout
        if policy.schedule_to_close is not None:
            timeout = self._time_left(action, policy, policy.schedule_to_close)
        attempt = Attempt(
            (live.header.uid, action.id, "do"),
            step.bound(args, resources),
            current_of(Current, live.header, action, action.attempts + 1, "do", None),
            partial(self.ended, action, step, policy),
            step.is_async,
            timeout,
            policy.heartbeat,
            policy.limit,
            step.name,
            of=(live.header.namespace, live.header.saga),
        )
        self.attempts.start(attempt)

    def _begin_elsewhere(
        self, live: Live, action: Action, step: Step[..., Any], policy: StepOptions, args: Any
    ) -> None:
        if step.options.queue:
            self.worker.queued.ensure(live, action, "do")
        else:
            self._begin_transaction(live, action, step, policy, args)

    def _begin_transaction(
        self, live: Live, action: Action, step: Step[..., Any], policy: StepOptions, args: Any
    ) -> None:
        """The effect and its row in one commit. Raises `DefinitionError` for a resource that is not there."""
        resources = self.worker.resources
        resources.for_function(step.signature, NO_TRANSACTION_YET)
        current = self.current(live, action, action.attempts + 1, "do", policy.timeout)

        def perform(tx: Transaction) -> e.Completed:
            value = step.invoke(args, resources.for_function(step.signature, tx))
            return e.Completed(action.id, encoded(step, value, self._payload_limit))

        self.worker.transactions.run(
            live,
            Job(
                (live.header.uid, action.id, "do"),
                current,
                lambda: action.outcome == OPEN and not action.interrupted,
                perform,
                lambda error: self.ended(action, step, policy, current, None, error, rolled_back=True),
            ),
        )

    def definition(self, live: Live, action: Action) -> tuple[Step[..., Any], StepOptions]:
        """See `definition_of`."""
        return definition_of(live.instance, action, self.worker.registry)

    def _time_left(self, action: Action, policy: StepOptions, total: float) -> float:
        """The attempt's timeout, cut by what is left of schedule-to-close."""
        left = max(0.001, action.opened_at + total - self.worker.clock.now())
        return left if policy.timeout is None else min(left, policy.timeout)

    def current(
        self, live: Live, action: Action, attempt: int, direction: str, timeout: float | None
    ) -> Current:
        """What `amends.current()` says in an attempt."""
        deadline_at = None if timeout is None else self.worker.clock.now() + timeout
        return current_of(Current, live.header, action, attempt, direction, deadline_at)

    def _refuse(self, live: Live, action: Action, error: Exception) -> None:
        """The action could not even be attempted: a person must look, the outcome is what is known."""
        outcome = UNKNOWN if action.tainted else REJECTED
        self.worker.deliver(live, e.Failed(action.id, fault_of(error), outcome, conclusions.refusal(error)))

    def ended(
        self,
        action: Action,
        step: Step[..., Any],
        policy: StepOptions,
        current: Current,
        value: Any,
        error: BaseException | None,
        *,
        rolled_back: bool = False,
    ) -> None:
        """An attempt is over: journal its value, or what its failure means.

        rolled_back: it certainly had no effect.
        """
        uid = current.uid
        if error is None:
            try:
                raw = encoded(step, value, self._payload_limit)
            except PayloadError as unreadable:
                error = unreadable
            else:
                self.worker.deliver_to(uid, e.Completed(action.id, raw))
                return
        conclusion = partial(self.concluded, action, step, policy, current, error, rolled_back)
        live = self.worker.lives.get(uid)
        if live is None:  # what it means depends on what the journal holds by now: whoever loads it says so
            self.worker.deliver_to(uid, conclusion)
        elif (event := conclusion(live)) is not None:
            self.worker.deliver_to(uid, event)

    def concluded(
        self,
        action: Action,
        step: Step[..., Any],
        policy: StepOptions,
        current: Current,
        error: BaseException,
        rolled_back: bool,
        live: Live,
        *,
        answered: Callable[[Any], None] | None = None,
    ) -> Any:
        """The event that a failed attempt becomes; None when the participant has to be asked first.

        answered: gets the event that this becomes (default: the execution gets it).
        """
        known = live.instance.ledger.actions.get(action.id, action)
        known.tainted = known.tainted or action.tainted  # by an attempt lost before, which no row tells
        action = known
        try:
            event = conclude(
                action,
                current.attempt,
                error,
                policy,
                recovery_of(live.instance, step),
                now=self.worker.clock.now(),
                pivoted=live.instance.ledger.pivoted,
                chance=self.chance,
                rolled_back=rolled_back,
            )
        except Exception:  # an end that is dropped would be waited for without end
            self.worker.log.exception("[%s] the end of %s cannot be judged", current.id, step.name)
            return e.Failed(action.id, fault_of(error), UNKNOWN, conclusions.UNJUDGED)
        if step.prober is not None and type(event) is e.Failed and event.outcome == UNKNOWN:
            tell = answered or partial(self.worker.deliver_to, current.uid)
            self._probe(action, step, current, event, tell)
            return None
        return event

    def _probe(
        self,
        action: Action,
        step: Step[..., Any],
        current: Current,
        failed: e.Failed,
        tell: Callable[[Any], None],
    ) -> None:
        """Ask the participant once what became of the action."""
        if self._no_time_to_ask(action, current.uid):
            return
        prober: Any = step.prober
        args = step.signature.decode_args(action.args)

        def ask() -> Any:
            assert step.prober_signature is not None
            resources = self.worker.resources.for_function(step.prober_signature)
            return invoke(prober, step.signature, step.instance, (), args, resources)

        def answered(_: Current, value: Any, error: BaseException | None) -> None:
            if isinstance(error, Interrupted) and self._no_time_to_ask(action, current.uid):
                return
            event: Any = failed
            if error is None and value is SEALED:
                event = e.Failed(failed.id, failed.fault, REJECTED, failed.hold)
            elif error is None and value is not UNRESOLVED:
                try:
                    event = e.Completed(failed.id, encoded(step, value, self._payload_limit))
                except PayloadError as unreadable:
                    self.worker.log.warning("the probe of %s: %s", step.name, unreadable)
            elif error is not None:
                self.worker.log.warning("the probe of %s failed: %r", step.name, error)
            tell(event)

        asked = Attempt(
            (current.uid, action.id, PROBE),
            ask,
            current,
            answered,
            is_async=asyncio.iscoroutinefunction(prober),
            timeout=step.options.timeout or 30.0,
        )
        self.attempts.start(asked)

    def _no_time_to_ask(self, action: Action, uid: str) -> bool:
        """In a drain nobody is asked: whoever takes over tries again, and knows of this attempt."""
        live = self.worker.lives.get(uid)
        if not self.worker.draining or live is None:
            return False
        live.lost[action.id] = 0.0
        return True
