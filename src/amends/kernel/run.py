"""One run of a saga's body: its loop, its timers, and the futures through which results reach it.

**Settling** (promise 2).  The future of an action does not end when the action fails with unknown
outcome, nor when its awaiting is cancelled: `ActionFuture.cancel` only asks.  The kernel first
stops the attempt and compensates the action; then the future ends with the failure or the
cancellation.  What happened is told here only after the ledger took the event.
"""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from asyncio import current_task
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .. import codec
from ..definition.saga import Saga
from ..definition.step import StepCall
from ..errors import Compensated, PayloadTooLarge, PivotRefused, Refused, Terminated
from . import entries as e
from .actions import UNDO_PARKED, Action
from .entries import NULL, Fault, Raw
from .failures import failure_of
from .foreign import homemade_task
from .loop import SagaFuture, SagaLoop, SagaTask, Timer
from .phases import FORWARD

if TYPE_CHECKING:
    from .instance import Instance

_log = logging.getLogger("amends.saga")
_cancel_future = asyncio.Future.cancel


class ActionFuture(SagaFuture):
    """The saga's end of an action. Cancelling it asks the kernel to settle the action first."""

    __slots__ = ("action", "asked", "call", "message")

    action: str
    call: Any
    asked: bool
    message: Any

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        loop: Any = self.get_loop()
        if loop.dead:
            return _cancel_future(self, msg)
        if not self.asked:
            self.asked = True
            self.message = msg
            loop.amends_port._cancel_action(self)
        return True

    def give_up(self) -> None:
        """End as cancelled."""
        if not self.done():
            _cancel_future(self, self.message)


class SignalFuture(SagaFuture):
    """The saga's end of a signal. Cancelling it is journaled: the next one goes to who waits then."""

    __slots__ = ("id",)

    id: str

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        loop: Any = self.get_loop()
        if not loop.dead:
            loop.amends_port._stop_waiting(self.id)
        return _cancel_future(self, msg)


class Run:
    """See the module's head; `Program` adds what the saga's code can ask for."""

    def __init__(self, instance: Instance, saga: Saga[Any, Any], args: Any) -> None:
        self.instance = instance
        self.ledger = instance.ledger
        self.limits = instance.limits
        self.loop = SagaLoop(self, self, instance.limits.callbacks, instance.stage)  # type: ignore[abstract]  # `forbid` fills in the rest
        self.futures: dict[str, ActionFuture] = {}
        self.timers: dict[str, Timer] = {}
        self.waiting: dict[str, tuple[SagaFuture, codec.Decoder]] = {}
        self.asking: SagaFuture | None = None
        self.held_back: list[tuple[SagaFuture, bool, Callable[[], None]]] = []
        self.next_args: Any = None
        self.answers: dict[str, bool] = {}
        self.scopes: dict[str, str] = {}  # of savepoints, until they are left
        run = instance.ledger.run
        self.prefix = f"{run}:" if run else ""
        self.loop.prefix = self.prefix
        self.loop.number_from(zlib.crc32(instance.identity.uid.encode()) << 20)
        self.saga = saga
        self.args = args
        self.root: SagaTask | None = None
        self._orphan_chance: random.Random | None = None

    def begin(self) -> None:
        """Create the root task (call inside ``with loop:``)."""
        self.root = self.loop.spawn(self.saga.begin(self.args), self.prefix, "saga", Context())

    @property
    def replaying(self) -> bool:
        """Is this activation one that the journal has already?"""
        return self.instance.expected is not None

    def report(self, context: dict[str, Any]) -> None:
        """An exception that nobody retrieved: log it once, not at each replay."""
        if not self.replaying:
            _log.error(
                "[%s] %s",
                self.instance.id,
                context.get("message", "unhandled error in saga code"),
                exc_info=context.get("exception"),
            )

    def _task(self) -> SagaTask | None:
        return asyncio.current_task(self.loop)  # type: ignore[return-value]

    def _place(self) -> tuple[str, str]:
        """An id for a new command, and its scope. Raises when nothing may be commanded any more."""
        loop = self.loop
        if loop.dead:
            raise Refused("this execution was evicted; its code must not act any more")
        task: Any = current_task(loop)
        if task is None:
            loop._orphans += 1
            return f"{self.prefix}c{loop._orphans}", ""
        if type(task) is not SagaTask:
            raise homemade_task()
        ledger = self.ledger
        undecided = ledger.cancel is None and ledger.phase is FORWARD
        if not undecided and not task.shielded and ledger.closing:
            request = ledger.cancel
            raise asyncio.CancelledError(request.reason if request else "the saga is being undone")
        task.sequence = sequence = task.sequence + 1
        return f"{task.path}{sequence}", task.scope

    def payload(self, args: Any, what: str) -> Raw:
        """A value's JSON, within the limit. Raises `PayloadError`, `PayloadTooLarge`."""
        data = codec.encode(args, what)
        if len(data) > self.limits.payload:
            raise PayloadTooLarge(
                f"{what}: {len(data):,} bytes, the limit is {self.limits.payload:,}",
                hint="store the data elsewhere and pass a reference, or raise Limits(payload=…)",
            )
        return Raw(data)

    def _action_future(self, id: str, call: Any) -> ActionFuture:
        loop = self.loop
        loop._created += 1
        future = ActionFuture(loop=loop)
        future.number = loop._created
        future.action = id
        future.call = call
        future.asked = False
        future.message = None
        self.futures[id] = future
        return future

    def _signal_future(self, id: str) -> SignalFuture:
        loop = self.loop
        loop._created += 1
        future = SignalFuture(loop=loop)
        future.number = loop._created
        future.id = id
        return future

    # ------------------------------------------------------------ the loop's timers

    def start_timer(self, handle: Timer) -> None:
        """A timer of the loop becomes a command."""
        if self.loop.dead:
            return
        id, _ = self._place()
        handle.id = id
        self.timers[id] = handle
        self.instance.issue(e.StartTimer(id, handle.due))

    def cancel_timer(self, handle: Timer) -> None:
        """Withdraw it: strike it from this row, or cancel the one in the journal."""
        if self.timers.pop(handle.id, None) is None or self.loop.dead:
            return
        commands = self.instance.commands
        for place in range(len(commands) - 1, -1, -1):
            command = commands[place]
            if type(command) is e.StartTimer and command.id == handle.id:
                commands[place] = e.Withdrawn(handle.id)
                self.ledger.timers.pop(handle.id, None)
                return
        if handle.id in self.ledger.timers:
            self.instance.issue(e.CancelTimer(handle.id))

    # ------------------------------------------------------------ what happened (after the ledger took it)

    def fired(self, id: str) -> None:
        """A timer came due."""
        timer = self.timers.pop(id, None)
        if timer is not None:
            self.loop.fire(timer)

    def signalled(self, name: str) -> None:
        """A signal arrived: who waited longest gets it (the ledger knows)."""
        id, value = self.ledger.given
        waiting = self.waiting.pop(id, None)
        if waiting is not None:
            self._give(*waiting, value, name)

    def _give(self, future: SagaFuture, reader: codec.Decoder, value: Raw, name: str) -> None:
        try:
            future.set_result(reader.decode(value, f"signal {name!r}"))
        except Exception as error:  # noqa: BLE001 - the saga's business
            future.set_exception(error)

    def succeed(self, id: str, value: Raw) -> None:
        """The action's value reaches the saga."""
        future = self.futures.pop(id, None)
        if future is None or future.done():
            return
        if future.asked:
            future.give_up()
            return
        call = future.call
        definition = call.step if type(call) is StepCall else call.saga
        try:
            result = definition.signature.result.decode(value, definition.result_name)
        except Exception as error:  # noqa: BLE001 - the saga's business
            if value == NULL:  # an operator skipped it
                future.set_result(None)
            else:
                future.set_exception(error)
        else:
            future.set_result(result)

    def fail(self, id: str, fault: Fault, outcome: str) -> None:
        """The (settled) failure reaches the saga."""
        future = self.futures.pop(id, None)
        if future is None or future.done():
            return
        if future.asked:
            future.give_up()
        else:
            future.set_exception(failure_of(future.call.step, fault, outcome))

    def child_failed(self, event: e.ChildEnded) -> None:
        """A child that did not complete."""
        future = self.futures.pop(event.id, None)
        if future is None or future.done():
            return
        if future.asked:
            future.give_up()
        elif event.status == "terminated":
            name = future.call.saga.name
            future.set_exception(Terminated(f"the nested saga {name} was terminated by an operator"))
        else:
            cause = event.fault
            error = {"type": cause.type, "message": cause.message} if cause else None
            residue = [{"action": r.action, "step": r.step, "reason": r.reason} for r in event.residue]
            future.set_exception(Compensated("failed", residue, error=error))

    def release(self, id: str) -> None:
        """Let an unsettled awaiting go (its compensation is parked and the saga is being undone anyway)."""
        future = self.futures.pop(id, None)
        if future is not None and not future.done():
            future.message = future.message or "parked; the saga is being undone"
            future.give_up()

    def rolled_back(self, future: ActionFuture) -> None:
        """A savepoint's rollback is settled."""
        self.futures.pop(future.action, None)
        if future.done():
            return
        if future.asked:
            future.give_up()
        else:
            future.set_result(None)

    def answered(self, refusal: str) -> None:
        """The parent's answer about the pivot."""
        future, self.asking = self.asking, None
        if future is not None and not future.done():
            if refusal:
                future.set_exception(PivotRefused(refusal, hint="pivot when the ancestors are idle"))
            else:
                future.set_result(None)
        held_back, self.held_back = self.held_back, []
        for waiting, always, begin in held_back:
            if waiting.done():
                continue
            if self.ledger.closing and not always:
                if type(waiting) is ActionFuture:
                    self.futures.pop(waiting.action, None)
                _cancel_future(waiting)
            else:
                begin()

    def _stop_waiting(self, id: str) -> None:
        """Nobody waits for that signal any more."""
        if self.waiting.pop(id, None) is not None:
            self.instance.issue(e.StopAwait(id))

    def _cancel_action(self, future: ActionFuture) -> None:
        """Somebody cancelled the awaiting of an action."""
        if future.call is None:
            return
        action = self.ledger.actions.get(future.action)
        if action is None:  # held back, and now it never begins
            self.futures.pop(future.action, None)
            future.give_up()
        else:
            self.instance.interrupt(action, future)

    def settle_parked(self, action: Action) -> None:
        """While the saga is being undone, a parked settlement holds up nobody."""
        if self.ledger.doomed and action.undo_state == UNDO_PARKED:
            self.release(action.id)
