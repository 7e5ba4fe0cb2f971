"""Carrying out compensations: which function undoes an action, where it runs, and what its end means.

A compensation that asks for a `Transaction` has its effect and its journal row in one commit, as a
transactional step has.  A step's `.verify` runs after each attempt, in the same place.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..definition.context import Current
from ..definition.signature import Signature
from ..definition.step import Step, in_thread, invoke
from ..errors import AmendsError, DefinitionError
from ..kernel import entries as e
from ..kernel.actions import UNDO_RUNNING, Action
from ..kernel.failures import fault_of
from ..store.port import Transaction
from . import conclusions
from .attempts import Attempt
from .live import Live
from .resources import NO_TRANSACTION_YET
from .transactions import Job, wants_transaction

if TYPE_CHECKING:
    from .dispatcher import Dispatcher


class Verification(AmendsError):
    """A compensation's check said that it did not take."""

    code = "verification"


class Undo(msgspec.Struct):
    """One attempt to undo: the function (with `signature`), the action's result and its arguments."""

    step: Step[..., Any]
    function: Callable[..., Any]
    signature: Signature
    leading: tuple[Any, ...]
    args: Any
    timeout: float | None
    verifier: Callable[..., Any] | None = None

    @property
    def undo_is_async(self) -> bool:
        """Is the compensation itself an `async def`?"""
        return asyncio.iscoroutinefunction(self.function)

    @property
    def check_is_async(self) -> bool:
        """Is there a check, and is it an `async def`?"""
        return self.verifier is not None and asyncio.iscoroutinefunction(self.verifier)

    @property
    def transactional(self) -> bool:
        """Does it want to share its commit with the journal?"""
        return wants_transaction(self.signature.plan[2])

    def call(self, function: Callable[..., Any], resources: dict[str, Any] | None) -> Any:
        """Call the compensation or its check."""
        return invoke(function, self.signature, self.step.instance, self.leading, self.args, resources)

    def judge(self, sure: Any) -> None:
        """Raise `Verification` if the check says no."""
        if sure is False:
            raise Verification(f"the check after compensating {self.step.name} says it did not take")

    def plainly(self, resources: dict[str, Any] | None) -> None:
        """Undo and check, both by plain functions."""
        _must_be_plain(self.function, self.call(self.function, resources))
        if self.verifier is not None:
            self.judge(_must_be_plain(self.verifier, self.call(self.verifier, resources)))

    async def asynchronously(self, resources: dict[str, Any] | None) -> None:
        """Undo and check; what is plain of the two runs in a thread of its own."""
        if self.undo_is_async:
            await self.call(self.function, resources)
        else:
            _must_be_plain(self.function, await _waited_for(self.call, self.function, resources))
        if self.verifier is None:
            return
        if self.check_is_async:
            self.judge(await self.call(self.verifier, resources))
        else:
            self.judge(_must_be_plain(self.verifier, await _waited_for(self.call, self.verifier, resources)))


class Undoing:
    """The dispatcher's part for compensations."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def begin(self, live: Live, action: Action) -> None:
        """Begin the next attempt of a compensation."""
        if live.instance.dead:
            return
        dispatcher = self._dispatcher
        worker = dispatcher.worker
        try:
            step = worker.registry.step(action.name)
            undo = undo_of(step, action)
            current = dispatcher.current(live, action, action.undo_attempts + 1, "undo", undo.timeout)
            if undo.transactional:
                self._begin_transaction(live, action, undo, current)
                return
            if step.options.queue:
                worker.queued.ensure(live, action, "undo")
                return
            resources = worker.resources.for_function(undo.signature)
        except AmendsError as error:
            worker.deliver(live, e.UndoFailed(action.id, fault_of(error)))
            return
        is_async = undo.undo_is_async or undo.check_is_async
        attempt = Attempt(
            (live.header.uid, action.id, "undo"),
            partial(undo.asynchronously if is_async else undo.plainly, resources),
            current,
            lambda current, _, error: self._ended(action, step, current, error),
            is_async=is_async,
            timeout=undo.timeout,
            of=(live.header.namespace, live.header.saga),
        )
        dispatcher.attempts.start(attempt)

    def _begin_transaction(self, live: Live, action: Action, undo: Undo, current: Current) -> None:
        """Raises `DefinitionError` for a resource that is not there, or what cannot run in a transaction."""
        if undo.undo_is_async or undo.check_is_async:
            what = undo.function if undo.undo_is_async else undo.verifier
            raise DefinitionError(
                f"{getattr(what, '__qualname__', what)} works in a transaction and is async",
                hint="write it as a plain def: it runs on the store's own connection",
            )
        dispatcher = self._dispatcher
        resources = dispatcher.worker.resources
        resources.for_function(undo.signature, NO_TRANSACTION_YET)

        def perform(tx: Transaction) -> e.Undone:
            undo.plainly(resources.for_function(undo.signature, tx))
            return e.Undone(action.id)

        dispatcher.worker.transactions.run(
            live,
            Job(
                (live.header.uid, action.id, "undo"),
                current,
                lambda: action.undo_state == UNDO_RUNNING,
                perform,
                lambda error: self._ended(action, undo.step, current, error),
            ),
        )

    def _ended(
        self, action: Action, step: Step[..., Any], current: Current, error: BaseException | None
    ) -> None:
        worker = self._dispatcher.worker
        if error is None:
            worker.deliver_to(current.uid, e.Undone(action.id))
            return
        event: e.Event
        try:
            event = conclusions.conclude_undo(
                action,
                current.attempt,
                error,
                step,
                now=worker.clock.now(),
                chance=self._dispatcher.chance,
            )
        except Exception:  # an end that is dropped would be waited for without end
            worker.log.exception("[%s] the end of undoing %s cannot be judged", current.id, step.name)
            event = e.UndoFailed(action.id, fault_of(error))
        worker.deliver_to(current.uid, event)


async def _waited_for(function: Callable[..., Any], *args: Any) -> Any:
    """Call a plain function in a thread. That cannot be stopped: whoever stops this (a timeout) waits for its
    end, too, so that no other attempt runs beside it, and if it brings a value, that counts.
    """
    called = asyncio.ensure_future(asyncio.to_thread(in_thread, function, *args))
    while not called.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([called])  # noqa: TID251 - the sets are not used
    return called.result()


def _must_be_plain(function: Callable[..., Any], value: Any) -> Any:
    """A coroutine that nobody awaits would have no effect. Raises `DefinitionError`."""
    if not asyncio.iscoroutine(value):
        return value
    value.close()
    raise DefinitionError(
        f"{getattr(function, '__qualname__', function)} is a plain function that returns a coroutine",
        hint="write it as an async def, and await in it",
    )


def undo_of(step: Step[..., Any], action: Action) -> Undo:
    """What to call to undo an action. Raises `AmendsError` when there is nothing, `PayloadError`."""
    args = step.signature.decode_args(action.args)
    if action.kind == "adhoc":
        return Undo(step, step.function, step.signature, (), args, step.options.timeout)
    if step.undo is None:
        raise AmendsError(
            f"{step.name} no longer has a compensation, but this action needs one",
            hint="declare it again and retry, or resolve or skip by hand",
        )
    result = None
    if action.outcome == "succeeded" and action.value != e.NULL:
        result = step.signature.result.decode(action.value, f"result of {step.name}")
    function, signature = step.undo.candidates[conclusions.candidate(step, action.undo_attempts)]
    return Undo(step, function, signature, (result,), args, step.undo.options.timeout, step.verifier)
