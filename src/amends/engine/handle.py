"""Handles: one execution, from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import codec
from ..definition.registry import REGISTRY
from ..definition.saga import Saga
from ..definition.signal import Signal
from ..errors import PayloadError, Refused, UnknownName, did_you_mean
from ..kernel import entries as e
from ..kernel.entries import NULL, Raw
from ..kernel.holding import PauseRequested, ResumeRequested
from ..store import port
from ..store.port import AuditRecord
from ..store.queueing import TaskStatus
from .backend import Stale, events_of, must_be_text, operator
from .family import parked_below
from .forking import forked
from .outcome import Result, elsewhere, result_of
from .status import Status, damaged, status_of
from .struggling import struggling

if TYPE_CHECKING:
    from .backend import Backend

R = TypeVar("R")
T = TypeVar("T")


class Handle(Generic[R]):
    """One execution: wait for it, look at it, talk to it, and (for operators, audited) act on it.

    Every method raises `UnknownName` when no execution has the id.
    """

    def __init__(
        self, backend: Backend, saga: Saga[..., R] | None, id: str, uid: str = "", *, local: bool
    ) -> None:
        self.id = id
        self._backend = backend
        self._saga = saga
        self._uid = uid
        self._local = local
        self._stale = Stale()

    def __repr__(self) -> str:
        return f"<handle of {self.id}>"

    # ------------------------------------------------------------ looking

    async def result(self) -> R:
        """Wait for the end and return the saga's value.

        Raises `Compensated` (with cause and residue), `NeedsAttention` when it waits for a person,
        `Terminated`.
        """
        return (await self.outcome()).unwrap()

    async def outcome(self) -> Result[R]:
        """Wait for the end (or for ``attention``) and return it as a value; never raises for how it ended
        (but `EngineClosed` when its engine or client is closed meanwhile, and `Refused` when it is an
        execution of another saga than the handle's).

        It needs attention, too, when a nested saga below it does: ``items`` name it under ``execution``.
        After `retry`, `skip`, `resolve` or `cancel` on this handle it waits for what comes of them.
        """
        if not self._uid:
            self._uid = (await self._backend.find(self.id)).uid
        header, below = await self._backend.wait(self.id, self._uid, local=self._local, stale=self._stale)
        self._must_be_its_saga(header.saga)
        return result_of(header, self._saga, below)

    def _must_be_its_saga(self, name: str) -> None:
        """Else its result would be read as what it is not."""
        if self._saga is not None and self._saga.name != name:
            raise Refused(
                f"{self.id} is an execution of {name!r}, not of {self._saga.name!r}",
                hint="make the handle with that saga: engine.handle(saga, id)",
            )

    async def status(self) -> Status:
        """Where it stands now; a nested saga that needs attention shows in its ancestors' status, too."""
        header = await self._backend.find(self.id)
        store = self._backend.store
        return status_of(header, await parked_below(store, header), await store.pauses(header.namespace))

    async def history(self) -> list[dict[str, Any]]:
        """Its journal, one mapping per activation: position, now, events, commands."""
        header = await self._backend.find(self.id)
        found = await self._backend.store.read(header.uid)
        return events_of(found[1]) if found else []

    async def tasks(self) -> list[TaskStatus]:
        """What of it is in a queue: attempts that wait or run elsewhere, how far they are, oldest first."""
        header = await self._backend.find(self.id)
        found = await self._backend.store.tasks_of(header.uid)
        return [task for task in found if task.state != "done"]

    async def audit(self) -> list[AuditRecord]:
        """What operators did to it."""
        header = await self._backend.find(self.id)
        return await self._backend.store.audited(header.uid)

    # ------------------------------------------------------------ talking

    async def send(self, signal: Signal[T], value: T, *, key: str = "") -> None:
        """Send a signal; durable when this returns. A second one with the same `key` counts once.

        Raises `Refused` when the execution has ended (or for what is no signal), `PayloadError` for a
        value that cannot be journaled or is not of the signal's type, `PayloadTooLarge`.
        """
        if not isinstance(signal, Signal):
            raise Refused(
                f"send() takes a Signal, got {signal!r:.200}",
                hint='define it once, as the saga does: approved = Signal[Approval]("approved")',
            )
        must_be_text("key", key)
        header = await self._backend.find(self.id)
        data = self._backend.payload(value, f"signal {signal.name!r}", codec.decoder(signal.type))
        await self._backend.send(
            header, e.Signalled(signal.name, data, key), key=key and f"signal {signal.name} {key}"
        )

    async def cancel(self, reason: str, *, by: str | None = None) -> None:
        """Ask that the execution be undone (durable when this returns; wait with `outcome`).

        After the pivot or the return it is recorded and changes nothing.  A parked execution is
        undone from its journal.
        """
        header = await self._backend.find(self.id)
        self._still_open(header, "cancel")
        event = e.CancelRequested(reason, by=by or "")
        below = await parked_below(self._backend.store, header)
        await self._act(header, event, "cancel", reason, by)
        self._stale.mark(header, below, self._backend.clock.now())
        await self._unpark_if_parked("cancel", reason, by)

    # ------------------------------------------------------------ for operators

    async def retry(
        self,
        *,
        action: str = "",
        args: tuple[Any, ...] | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> None:
        """Run what is parked again: a stuck compensation, a held action (`action` names one), or the whole
        execution after a deploy.  Where nothing is parked, what has failed and waits for its next attempt
        does not wait any longer.

        `args` replaces a held action's arguments (a new idempotency key goes with them); refused
        while an attempt with the old ones may have had an effect.
        """
        header = await self._backend.find(self.id)
        parked = header.status == port.ATTENTION
        if parked and status_of(header).parked_whole:
            if action or args is not None:
                raise Refused(
                    f"{self.id} is parked as a whole ({header.cause}); there is no single action to retry",
                    hint="retry() without action and args runs all of it again",
                )
            await self._unpark(header, "retry", reason, by)
            return
        if parked and damaged(header) and not action and args is None:
            await self._retry_unread(header, reason, by)
            return
        await self._items(header, action, "retry")
        raw = NULL
        if args is not None:
            action, raw = self._new_args(header, action, args)
        event = e.Retried(action, by or "", raw)
        await self._act(header, event, "retry", reason, by, detail=action)

    async def _retry_unread(self, header: port.Header, reason: str, by: str | None) -> None:
        """What is parked cannot be read in the header; the store and the journal still know."""
        try:
            await self._unpark(header, "retry", reason, by)
        except Refused:  # not as a whole
            await self._act(header, e.Retried("", by or ""), "retry", reason, by)

    def _new_args(self, header: port.Header, action: str, args: tuple[Any, ...]) -> tuple[str, Raw]:
        """The one action they are for, and the arguments as they travel."""
        if not isinstance(args, (tuple, list)):
            raise Refused(f"args is a tuple of all arguments, got {args!r}", hint=f"args=({args!r},)")
        held = [i for i in status_of(header).items if i.get("direction") == "do"]
        chosen = [i for i in held if i.get("action") == action] if action else held
        if len(chosen) != 1:
            raise Refused(
                f"new arguments need exactly one held action, {len(chosen)} match",
                hint="name it: retry(action=…, args=…)" if held else "a compensation keeps its arguments",
            )
        if chosen[0].get("outcome") == "unknown":
            raise Refused(
                "an attempt with the old arguments may have had an effect, so they cannot be replaced",
                hint="retry with the old arguments, or resolve by hand",
            )
        step = REGISTRY.step(str(chosen[0]["step"]))
        given = step.signature.bind(args, {})
        reader = codec.decoder(step.signature.args)
        raw = self._backend.payload(given, f"arguments of {step.name}", reader)
        return str(chosen[0]["action"]), raw

    async def skip(self, reason: str, *, action: str = "", by: str | None = None) -> None:
        """Give up on what is parked: a compensation becomes residue, a held action yields None.

        Without `action` that is all that is parked now, and nothing that is parked later.  Where nothing is
        parked, it is what fails and is tried again; what then may have had an effect is recorded as residue.
        """
        _must_be_reason("skip", reason)
        header = await self._backend.find(self.id)
        self._not_whole(header, "skip")
        for id in _ids(await self._items(header, action, "skip")):
            await self._act(header, e.Skipped(reason, id, by or ""), "skip", reason, by, detail=id)

    async def resolve(
        self, value: Any = None, reason: str = "", *, action: str = "", by: str | None = None
    ) -> None:
        """Say that what is parked was settled by hand: `value` is a held action's result (which is undone
        like any other if it comes to that); a compensation took place.  Where nothing is parked, it is what
        fails and is tried again.

        Of several held actions it must name one. Raises `PayloadError` when the step could not have given
        that value.
        """
        _must_be_reason("resolve", reason)
        header = await self._backend.find(self.id)
        self._not_whole(header, "resolve")
        raw = self._backend.payload(value, "value")
        items = await self._items(header, action, "resolve")
        held = [item for item in items if item.get("direction") == "do"]
        if len(held) > 1:
            ids = ", ".join(_ids(held)[:10])
            raise Refused(
                f"a value is the result of one action; {len(held)} could have it: {ids}",
                hint=f'name it: resolve(…, action="{_ids(held)[0]}")',
            )
        for item in held:
            self._must_be_result(str(item.get("step")), value)
        for id in _ids(items):
            await self._act(header, e.Resolved(reason, raw, id, by or ""), "resolve", reason, by, detail=id)

    def _must_be_result(self, name: str, value: Any) -> None:
        """Could this step have given that value? (Where the step is not defined, the saga finds out.)"""
        step = REGISTRY.steps.get(name)
        if step is None:
            return
        try:
            self._backend.payload(value, f"result of {name}", step.signature.result)
        except PayloadError as error:
            kind = step.signature.hints.get("return", Any)
            raise PayloadError(
                f"{name} returns {getattr(kind, '__name__', kind)}; {value!r:.200} is none: {error.message}",
                hint="resolve with what the step would have returned; or skip it: the saga goes on with None",
            ) from error

    async def pause(self, reason: str, *, by: str | None = None) -> None:
        """Let it stand still, with all that is nested in it, until `resume` (durable when this returns).

        What runs comes to its end, which is recorded; nothing more is begun, neither forwards nor backwards.
        Signals are kept.  Timers and the deadline go on by the clock: what has become due in the pause is due
        at its end.  `cancel` and `terminate` end the pause.  Paused twice is paused once.
        """
        _must_be_reason("pause", reason)
        header = await self._backend.find(self.id)
        self._still_open(header, "pause")
        event = PauseRequested(self._backend.clock.now(), reason, by or operator())
        await self._act(header, event, "pause", reason, by)

    async def resume(self, *, reason: str = "", by: str | None = None) -> None:
        """End a pause, also of what is nested in it. What is not paused just goes on."""
        header = await self._backend.find(self.id)
        self._still_open(header, "resume")
        await self._act(header, ResumeRequested(reason, by or operator()), "resume", reason, by)

    async def terminate(self, reason: str, *, by: str | None = None) -> None:
        """End it now. Nothing is undone, and the status says so."""
        _must_be_reason("terminate", reason)
        header = await self._backend.find(self.id)
        self._still_open(header, "terminate")
        event = e.TerminateRequested(reason, by or "")
        below = await parked_below(self._backend.store, header)
        await self._act(header, event, "terminate", reason, by)
        self._stale.mark(header, below, self._backend.clock.now())
        await self._unpark_if_parked("terminate", reason, by)

    async def fork(
        self, step: str, *, id: str | None = None, reason: str = "", by: str | None = None
    ) -> Handle[R]:
        """Start another execution that goes on from the journal of this one, which has ended, as if `step`
        had not been begun yet; with the code of today.

        step: its name, or the last part of that; ``"charge#2"`` when it was begun several times; or an
        action's id.  What was begun at the same moment, or later, is decided anew.  id: of the new execution
        (default: this one's and ``-fork``).

        What was done before keeps its idempotency keys, and is the new execution's to undo.  So an execution
        is forked once: to ask again for the same is to get the same.

        Raises `UnknownName` for a step that it has not begun, `Refused` when it has not ended, when something
        that was begun before was undone since, when something that was begun afterwards still stands, or when
        it was forked otherwise; `IdInUse`, `Unopened`, `CorruptJournal`.
        """
        header = await forked(self._backend, self.id, step, new_id=id, reason=reason, by=by)
        return Handle(self._backend, self._saga, header.id, header.uid, local=self._local)

    async def _act(
        self, header: port.Header, event: Any, action: str, reason: str, by: str | None, detail: str = ""
    ) -> None:
        await self._backend.operate(header, event, action, reason, by, detail)
        self._stale.mark(header)

    async def _unpark(self, header: port.Header, action: str, reason: str, by: str | None) -> None:
        await self._backend.unpark(header, action, reason, by)
        self._stale.mark(header)

    # ------------------------------------------------------------ checks

    async def _unpark_if_parked(self, action: str, reason: str, by: str | None) -> None:
        """(Asked after the request is durable: it may have been parked meanwhile.)"""
        header = await self._backend.find(self.id)
        if header.status != port.ATTENTION or not (status_of(header).parked_whole or damaged(header)):
            return
        try:
            await self._unpark(header, action, reason, by)
        except Refused:  # the worker that parked it has seen the request, and was quicker
            self._stale.mark(header)

    def _still_open(self, header: port.Header, what: str) -> None:
        if header.status in port.FINAL:
            raise Refused(f"{self.id} has ended ({header.status}); there is nothing to {what}")

    async def _nothing_to(self, header: port.Header, what: str) -> Refused:
        """Why there is nothing to retry, skip or resolve, and where to look instead."""
        below = await parked_below(self._backend.store, header)
        if below:
            ids = ", ".join(child.id for child in below[:5])
            return Refused(
                f"nothing of {self.id} itself is parked; what needs attention is below it: {ids}",
                hint=elsewhere(below[0].saga, below[0].id),
            )
        stands = header.status if header.status in port.FINAL else f"{header.status}, and nothing of it fails"
        return Refused(
            f"{self.id} is {stands}; {what} is for executions that need attention",
            hint="see handle.status()",
        )

    async def _items(self, header: port.Header, action: str, what: str) -> Sequence[Mapping[str, Any]]:
        """The items an operator means: the one of that action, or all. Raises `Refused`, `UnknownName`."""
        if not isinstance(action, str):
            raise Refused(f"an action is named by its id, a text, got {action!r}", hint=f'action="{action}"')
        if header.status in port.FINAL:
            raise await self._nothing_to(header, what)
        if damaged(header):
            raise Refused(
                f"what is parked of {self.id} cannot be read: its header is damaged",
                hint="retry() tries all of it again, and writes anew what is parked then",
            )
        items: Sequence[Mapping[str, Any]] = status_of(header).items
        tried = await struggling(self._backend.store, header) if not items or action else ()
        chosen = [item for item in (*items, *tried) if not action or item.get("action") == action]
        if not items and not tried:
            raise await self._nothing_to(header, what)
        if not chosen:
            known = [str(item.get("action")) for item in (*items, *tried)]
            raise UnknownName(
                f"{self.id} has no parked or failing action {action!r}", hint=did_you_mean(action, known)
            )
        return chosen

    def _not_whole(self, header: port.Header, what: str) -> None:
        if header.status == port.ATTENTION and status_of(header).parked_whole:
            raise Refused(
                f"{self.id} is parked as a whole ({header.cause}); no single action can be {what}ped"
                if what == "skip"
                else f"{self.id} is parked as a whole ({header.cause}); there is no single action to {what}",
                hint="deploy a fix and retry, cancel to undo it from its journal, or terminate",
            )


def _ids(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(item["action"]) for item in items]


def _must_be_reason(what: str, reason: str) -> None:
    if not isinstance(reason, str) or not reason.strip():
        raise Refused(f"{what}() needs a reason: it is audited", hint='reason="refunded by phone"')
