"""The saga's code at work: what it asks for becomes commands, what happens becomes results.

The program is one run of the saga's body on a `SagaLoop`.  It is the `Port` that definitions talk
to.  It writes to the ledger only through `Instance.issue`, so whatever it asks for is journaled;
and it learns of the world only through `resolve` and its kin, after the ledger took the event.

**Settling** (promise 2).  The future of an action does not end when the action fails with unknown
outcome, nor when its awaiting is cancelled: `ActionFuture.cancel` only asks.  The kernel first
stops the attempt and compensates the action; then the future ends with the failure or the
cancellation.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from asyncio import Future
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .. import codec
from ..definition.context import Current
from ..definition.saga import Saga, SagaCall
from ..definition.step import Step, StepCall
from ..errors import Compensated, PayloadTooLarge, PivotRefused, Refused, Terminated
from . import entries as e
from .actions import UNDO_PARKED, Action
from .entries import NULL, Fault, Raw
from .failures import failure_of
from .foreign import homemade_task
from .loop import SagaFuture, SagaLoop, SagaTask, Timer

if TYPE_CHECKING:
    from .instance import Instance

_log = logging.getLogger("amends.saga")
_cancel_future = asyncio.Future.cancel


class ActionFuture(SagaFuture):
    """The saga's end of an action. Cancelling it asks the kernel to settle the action first."""

    action: str
    call: Any
    asked: bool = False
    message: Any = None

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        loop: Any = self.get_loop()
        if loop.dead:
            return _cancel_future(self, msg)
        if not self.asked:
            self.asked = True
            self.message = msg
            loop.amends_port.cancel_action(self)
        return True

    def give_up(self) -> None:
        """End as cancelled."""
        if not self.done():
            _cancel_future(self, self.message)


class Program:
    """One run of a saga's body. See the module's head."""

    def __init__(self, instance: Instance, saga: Saga[Any, Any], args: Any) -> None:
        self.instance = instance
        self.ledger = instance.ledger
        self.loop = SagaLoop(self, self, instance.limits.callbacks)  # type: ignore[abstract]  # `forbid` fills in the rest
        self.futures: dict[str, ActionFuture] = {}
        self.timers: dict[str, Timer] = {}
        self.waiting: dict[str, deque[tuple[SagaFuture, codec.Decoder, str]]] = {}
        self.asking: SagaFuture | None = None
        self.held_back: list[tuple[SagaFuture, bool, Callable[[], None]]] = []
        self.next_args: Any = None
        run = instance.ledger.run
        self.prefix = f"{run}:" if run else ""
        self.loop.prefix = self.prefix
        self.saga = saga
        self.args = args
        self.root: SagaTask | None = None
        self._orphan_chance: random.Random | None = None

    def begin(self) -> None:
        """Create the root task (call inside ``with loop:``)."""
        self.root = self.loop.spawn(self.saga.begin(self.args), self.prefix, "saga", Context())

    # ------------------------------------------------------------ the port: plain questions

    @property
    def replaying(self) -> bool:
        """Is this activation one that the journal has already?"""
        return self.instance.expected is not None

    def now(self) -> float:
        """Time of the activation."""
        return self.loop.now

    def _task(self) -> SagaTask | None:
        return asyncio.current_task(self.loop)  # type: ignore[return-value]

    def random(self) -> random.Random:
        """The current task's own stream, seeded by execution, run and place."""
        task = self._task()
        header = self.instance.uid
        if task is None:
            if self._orphan_chance is None:
                self._orphan_chance = random.Random(f"{header}/{self.ledger.run}/callbacks")
            return self._orphan_chance
        if task.chance is None:
            task.chance = random.Random(f"{header}/{self.ledger.run}/{task.path}")
        chance: random.Random = task.chance
        return chance

    def current(self) -> Current:
        """Who and where."""
        instance = self.instance
        return Current(
            instance.id,
            instance.uid,
            self.ledger.run,
            instance.saga_name,
            deadline_at=self.ledger.deadline,
        )

    def report(self, context: dict[str, Any]) -> None:
        """An exception that nobody retrieved: log it once, not at each replay."""
        if not self.replaying:
            _log.error(
                "[%s] %s",
                self.instance.id,
                context.get("message", "unhandled error in saga code"),
                exc_info=context.get("exception"),
            )

    # ------------------------------------------------------------ the port: commands

    def _place(self, *, forward: bool = True) -> tuple[str, str]:
        """An id for a new command, and its scope. Raises when nothing may be commanded any more."""
        loop = self.loop
        if loop.dead:
            raise Refused("this execution was evicted; its code must not act any more")
        task: Any = asyncio.current_task(loop)
        if task is None:
            loop._orphans += 1
            return f"{self.prefix}c{loop._orphans}", ""
        if not isinstance(task, SagaTask):
            raise homemade_task()
        if forward and not task.shielded and self.ledger.closing:
            request = self.ledger.cancel
            raise asyncio.CancelledError(request.reason if request else "the saga is being undone")
        return task.next_id(), task.scope

    def _payload(self, args: Any, what: str) -> Raw:
        data = codec.encode(args, what)
        if len(data) > self.instance.limits.payload:
            raise PayloadTooLarge(
                f"{what}: {len(data):,} bytes, the limit is {self.instance.limits.payload:,}",
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
        self.futures[id] = future
        return future

    def run_step(self, call: StepCall[Any]) -> Future[Any]:
        """Issue a step."""
        step = call.step
        id, scope = self._place()
        args = self._payload(call.args, step.name)
        if step.undo is not None:
            undo = e.UNDO_STEP
        else:
            undo = e.UNDO_IRREVERSIBLE if step.options.irreversible else e.UNDO_NONE
        command = e.RunStep(id, step.name, args, undo, scope)
        future = self._action_future(id, call)
        if self.ledger.asking:
            self._hold_back(future, lambda: self.instance.issue_step(command))
        else:
            self.instance.issue_step(command)
        return future

    def run_child(self, call: SagaCall[Any]) -> Future[Any]:
        """Start a nested saga. Its uid follows from ours, so that a replay names the same child."""
        instance = self.instance
        instance.limits.check_depth(instance.depth + 1, call.saga.name)
        id, scope = self._place()
        now = self.loop.now
        digest = hashlib.blake2b(f"{instance.uid}/{id}".encode(), digest_size=10).hexdigest()
        command = e.StartChild(
            id,
            call.saga.name,
            call.saga.version,
            self._payload(call.args, call.saga.name),
            f"{int(now * 1000):012x}{digest}",
            scope,
            None if call.deadline is None else now + call.deadline,
        )
        future = self._action_future(id, call)
        if self.ledger.asking:
            self._hold_back(future, lambda: instance.issue(command))
        else:
            instance.issue(command)
        return future

    def receive(self, name: str, type_: Any) -> Future[Any]:
        """Wait for a signal, or take one that came before."""
        id, _ = self._place()
        reader = codec.decoder(type_)
        future = self.loop.create_future()
        kept = self.ledger.signals.get(name)
        if kept:
            self._give(future, reader, kept.popleft(), name)
        else:
            self.instance.issue(e.AwaitSignal(id, name))
            future.add_done_callback(lambda _: self.ledger.awaited.pop(id, None))  # also when it is cancelled
            self.waiting.setdefault(name, deque()).append((future, reader, id))
        return future

    def undo_with(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Register an ad hoc compensation."""
        id, scope = self._place()
        payload = self._payload(step.signature.bind(args, kwargs), step.name)
        self.instance.issue(e.UndoWith(id, step.name, payload, scope))

    def enter_savepoint(self) -> str:
        """Open a savepoint in the current task."""
        id, scope = self._place()
        task: Any = self._task()
        self.instance.issue(e.EnterScope(id, scope))
        task.scope = f"{scope}/{id}"
        return id

    def leave_savepoint(self, id: str) -> None:
        """Back to the scope around it."""
        task: Any = self._task()
        if task is not None and not self.loop.dead:
            task.scope = task.scope.rpartition("/")[0]

    def roll_back(self, id: str) -> Future[None]:
        """Undo what was done inside; nothing to do where all will be undone (or nothing) anyway."""
        future = self._action_future(f"rollback {id}", None)
        if self.loop.dead:
            return future
        task = self._task()
        if self.ledger.asking:
            self._hold_back(future, lambda: self._begin_rollback(id, task, future), always=True)
        else:
            self._begin_rollback(id, task, future)
        return future

    def _begin_rollback(self, id: str, task: Any, future: ActionFuture) -> None:
        if self.ledger.doomed or self.ledger.pivoted or self.ledger.phase != "forward":
            del self.futures[future.action]
            future.set_result(None)
        else:
            self.instance.begin_rollback(id, task, future)

    def _hold_back(self, future: SagaFuture, begin: Callable[[], None], *, always: bool = False) -> None:
        """While the ancestors are asked about the pivot nothing new begins: it waits for the answer.

        Not if all is to be undone by then, unless shielded (or `always`).
        """
        task: Any = self._task()
        self.held_back.append((future, always or (task is not None and task.shielded), begin))

    def pivot(self) -> Future[None]:
        """Pass the point of no return, together with the ancestors if there are any."""
        id, _ = self._place()
        future = self.loop.create_future()
        if self.ledger.asking:
            self._hold_back(future, lambda: self._pivot(id, future))
        else:
            self._pivot(id, future)
        return future

    def _pivot(self, id: str, future: SagaFuture) -> None:
        instance, ledger = self.instance, self.ledger
        busy = instance.busy_with()
        if ledger.pivoted:
            future.set_result(None)
        elif ledger.closing:
            future.cancel("the saga is being undone")  # even in a shield: no pivot after a cancel
        elif busy:
            future.set_exception(
                PivotRefused(
                    f"pivot() while {', '.join(busy)} in flight",
                    hint="await (or cancel and await) everything before the pivot",
                )
            )
        elif instance.parent:
            self.asking = future
            instance.issue(e.AskPivot(id))
        else:
            instance.issue(e.Pivot(id))
            future.set_result(None)

    def patched(self, change: str) -> bool:
        """Yes if this execution said so before, or gets here for the first time."""
        return self.instance.patched(change)

    def continue_as_new(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Ask for a new run; the current one ends here."""
        self._place()
        busy = self.instance.busy_with()
        if busy:
            raise Refused(
                f"continue_as_new() while {', '.join(busy)} in flight",
                hint="await (or cancel and await) everything first",
            )
        self.next_args = self._payload(self.saga.signature.bind(args, kwargs), self.saga.name)
        return self.loop.create_future()

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
        """Withdraw it."""
        if self.timers.pop(handle.id, None) is not None and not self.loop.dead:
            self.instance.withdraw_timer(handle.id)

    # ------------------------------------------------------------ what happened (after the ledger took it)

    def fired(self, id: str) -> None:
        """A timer came due."""
        timer = self.timers.pop(id, None)
        if timer is not None:
            self.loop.fire(timer)

    def signalled(self, name: str) -> None:
        """A signal arrived: the first that waits gets it."""
        kept = self.ledger.signals.get(name)
        waiting = self.waiting.get(name)
        while kept and waiting:
            future, reader, id = waiting.popleft()
            self.ledger.awaited.pop(id, None)
            if not future.done():
                self._give(future, reader, kept.popleft(), name)

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
        if value == NULL:
            future.set_result(None)
            return
        definition = call.step if isinstance(call, StepCall) else call.saga
        try:
            result = definition.signature.result.decode(value, f"result of {definition.name}")
        except Exception as error:  # noqa: BLE001 - the saga's business
            future.set_exception(error)
            return
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
                _cancel_future(waiting)
            else:
                begin()

    def cancel_action(self, future: ActionFuture) -> None:
        """Somebody cancelled the awaiting of an action."""
        if future.call is None:
            return
        action = self.ledger.actions.get(future.action)
        if action is None:
            future.give_up()
        else:
            self.instance.interrupt(action, future)

    def settle_parked(self, action: Action) -> None:
        """While the saga is being undone, a parked settlement holds up nobody."""
        if self.ledger.doomed and action.undo_state == UNDO_PARKED:
            self.release(action.id)
