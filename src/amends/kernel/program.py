"""The saga's code at work: what it asks for becomes commands.

The program is a `Run` of the saga's body that is the `Port` definitions talk to.  It writes to the
ledger only through `Instance.issue`, so whatever it asks for is journaled.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import codec
from ..definition.context import Current
from ..definition.saga import SagaCall
from ..definition.step import Step, StepCall
from ..errors import PivotRefused, Refused
from . import entries as e
from .entries import RunStep
from .issuing import open_step
from .loop import SagaFuture
from .rollback import Rollback
from .run import ActionFuture, Run

if TYPE_CHECKING:
    pass

_log = logging.getLogger("amends.saga")
_cancel_future = asyncio.Future.cancel


class Program(Run):
    """One run of a saga's body. See the module's head."""

    # ------------------------------------------------------------ plain questions

    def now(self) -> float:
        """Time of the activation."""
        return self.loop.now

    def random(self) -> random.Random:
        """The current task's own stream, seeded by execution, run and place."""
        task = self._task()
        if task is None:
            if self._orphan_chance is None:
                self._orphan_chance = random.Random(self._seed("callbacks"))
            return self._orphan_chance
        if task.chance is None:
            task.chance = random.Random(self._seed(task.path))
        chance: random.Random = task.chance
        return chance

    def _seed(self, place: str) -> str:
        return f"{self.instance.identity.uid}/{self.ledger.run}/{place}"

    def draw_anew(self) -> None:
        """The streams in use go on as this execution's own, not as those of the one it was forked from."""
        if self._orphan_chance is not None:
            self._orphan_chance.seed(self._seed("callbacks"))
        for task in self.loop.tasks:
            if task.chance is not None:
                task.chance.seed(self._seed(task.path))

    def current(self) -> Current:
        """Who and where."""
        instance, identity = self.instance, self.instance.identity
        return Current(
            identity.id,
            identity.uid,
            self.ledger.run,
            instance.saga_name,
            deadline_at=self.ledger.deadline,
        )

    # ------------------------------------------------------------ commands

    def run_step(self, call: StepCall[Any]) -> Future[Any]:
        """Issue a step."""
        step, name = call.step, call.step.name
        if len(self.futures) >= self.limits.fan_out:
            self.limits.check_fan_out(len(self.futures), name)
        id, scope = self._place()
        args = self.payload(call.args, name)
        if step.undo is not None:
            undo = e.UNDO_STEP
        else:
            undo = e.UNDO_IRREVERSIBLE if step.options.irreversible else e.UNDO_NONE
        command = RunStep(id, name, args, undo, scope)
        future = self._action_future(id, call)
        ledger = self.ledger
        if ledger.asking:
            self._hold_back(future, partial(self._issue_step, command))
        else:  # `_issue_step`, on every step's way
            instance = self.instance
            instance.commands.append(command)
            instance.decision.run.append(open_step(ledger, command, instance.position))  # type: ignore[union-attr]
        return future

    def _issue_step(self, command: RunStep) -> None:
        """`Instance.issue` for steps (the most frequent command): dispatched once the row is durable."""
        instance = self.instance
        instance.commands.append(command)
        instance.decision.run.append(open_step(self.ledger, command, instance.position))  # type: ignore[union-attr]

    def run_child(self, call: SagaCall[Any]) -> Future[Any]:
        """Start a nested saga. Its uid follows from ours, so that a replay names the same child."""
        instance = self.instance
        self.limits.check_depth(instance.depth + 1, call.saga.name)
        self.limits.check_fan_out(len(self.futures), call.saga.name)
        id, scope = self._place()
        now = self.loop.now
        digest = hashlib.blake2b(f"{instance.identity.uid}/{id}".encode(), digest_size=10).hexdigest()
        command = e.StartChild(
            id,
            call.saga.name,
            call.saga.version,
            self.payload(call.args, call.saga.name),
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
        future = self._signal_future(id)
        self.instance.issue(e.AwaitSignal(id, name))
        given, value = self.ledger.given
        if given == id:
            self._give(future, reader, value, name)
        else:
            self.waiting[id] = (future, reader)
        return future

    def undo_with(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Register an ad hoc compensation."""
        id, scope = self._place()
        payload = self.payload(step.signature.bind(args, kwargs), step.name)
        self.instance.issue(e.UndoWith(id, step.name, payload, scope))

    def enter_savepoint(self) -> str:
        """Open a savepoint in the current task."""
        id, scope = self._place()
        task: Any = self._task()
        self.instance.issue(e.EnterScope(id, scope))
        task.scope = self.scopes[id] = f"{scope}/{id}"
        return id

    def leave_savepoint(self, id: str) -> None:
        """Back to the scope around it.

        A savepoint of an async generator may be left in a task that is not in it (whoever closes the
        generator): that one's scope is its own.
        """
        task: Any = self._task()
        scope = self.scopes.pop(id)
        if task is not None and task.scope == scope:
            task.scope = scope.rpartition("/")[0]

    def roll_back(self, id: str) -> Future[None]:
        """Undo what was done inside; nothing to do where all will be undone (or nothing) anyway."""
        future = self._action_future(f"rollback {id}", None)
        begin = partial(self._begin_rollback, id, self.scopes[id], self._task(), future)
        if self.ledger.asking:
            self._hold_back(future, begin, always=True)
        else:
            begin()
        return future

    def _begin_rollback(self, id: str, scope: str, task: Any, future: ActionFuture) -> None:
        if self.ledger.doomed or self.ledger.pivoted or self.ledger.phase != "forward":
            del self.futures[future.action]
            future.set_result(None)
        else:
            self.instance.issue(e.RollBack(id))
            rollback = Rollback(scope, task, future)
            self.instance.rollbacks.append(rollback)
            for inner in rollback.running(self):
                inner.cancel("the savepoint is rolled back")

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
        known = self.answers.get(change)
        if known is not None:
            return known
        answer = change in self.instance.journaled_patches or not self.replaying
        self.answers[change] = answer
        if answer:
            self.instance.issue(e.Patch(change))
        return answer

    def continue_as_new(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Ask for a new run; the current one ends here."""
        self._place()
        busy = self.instance.busy_with()
        if busy:
            raise Refused(
                f"continue_as_new() while {', '.join(busy)} in flight",
                hint="await (or cancel and await) everything first",
            )
        self.next_args = self.payload(self.saga.signature.bind(args, kwargs), self.saga.name)
        return self.loop.create_future()
