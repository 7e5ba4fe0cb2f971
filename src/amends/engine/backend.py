"""What handles and clients do, once for both, through the store's client side.

Whoever runs a worker in the same process is told of changes at once; everybody else looks again at
growing intervals.
"""

from __future__ import annotations

import asyncio
import getpass
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from .. import codec
from ..clock import Clock
from ..definition.naming import RESERVED
from ..definition.saga import Saga, SagaCall
from ..encryption.envelope import why_of
from ..errors import (
    AmendsError,
    EngineClosed,
    IdInUse,
    PayloadError,
    PayloadTooLarge,
    Refused,
    StoreBusy,
    UnknownName,
    did_you_mean,
)
from ..ids import Ids
from ..kernel import entries as e
from ..kernel.entries import Row
from ..kernel.limits import Limits
from ..store import port
from ..store.enclosed.hands import error_of
from ..store.partition import partition_of
from ..store.port import AuditRecord, Header, Message, Query, Store
from ..worker.writes import encode_event
from .family import ancestors, parked_below

POLL_FIRST, POLL_CEILING, POLL_LOCAL = 0.02, 1.0, 30.0
PATIENCE = 5.0
"""Seconds that an operator's request to an execution may take to reach those below it."""


class Backend:
    """The client side of one store and namespace."""

    def __init__(self, store: Store, namespace: str, clock: Clock, ids: Ids, limits: Limits) -> None:
        self.store = store
        self.namespace = namespace
        self.clock = clock
        self.ids = ids
        self.limits = limits
        self.waiters: dict[str, list[asyncio.Future[Any]]] = {}
        self.shared = port.is_shared(store)
        self.resident: Callable[[str], Resident | None] = _nowhere
        self.stir: Callable[[], None] = _nobody  # a worker of this process may look at once
        self.poll_local = POLL_LOCAL
        self.closed = False

    def close(self) -> None:
        """From now on nothing is heard of executions: whoever waits for one must know."""
        self.closed = True
        self.look_again()

    # ------------------------------------------------------------ starting

    def header_for(self, call: SagaCall[Any], id: str | None, attributes: Any) -> Header:
        """The header of a new execution. Raises `PayloadError`, `Refused` for an id that cannot be."""
        must_be_call(call)
        _must_be_attributes(attributes)
        if id is not None:
            check_id(id)
        data = codec.encode(call.args, call.saga.name)
        try:
            call.saga.signature.decode_args(data)  # what cannot be read back is refused now, not parked later
        except PayloadError as error:
            raise PayloadError(
                error.message, hint="pass what the annotations of the saga say, or annotate what you pass"
            ) from error
        if len(data) > self.limits.payload:
            raise PayloadTooLarge(
                f"arguments of {call.saga.name}: {len(data):,} bytes, the limit is {self.limits.payload:,}",
                hint="store the data elsewhere and pass a reference, or raise Limits(payload=…)",
            )
        saga = call.saga
        return new_header(
            self,
            saga.name,
            saga.version,
            data.decode(),
            id=id,
            attributes=attributes,
            deadline=call.deadline,
            namespace=self.namespace,
        )

    async def create(self, header: Header, call: SagaCall[Any]) -> Header:
        """Make it durable, for any worker to take; the same id again is the same execution."""
        if await self.store.create(header):
            return header
        return await self.existing(header, call)

    async def existing(self, wanted: Header, call: SagaCall[Any]) -> Header:
        """The execution that has this id. Raises `IdInUse` unless saga and arguments are the same."""
        return must_be_the_same(await self.find(wanted.id), wanted, call)

    # ------------------------------------------------------------ looking

    async def find(self, id: str) -> Header:
        """The header of an execution. Raises `UnknownName` with near ids."""
        must_be_text("an execution's id", id)
        header = await self.store.find(self.namespace, id)
        if header is None:
            raise UnknownName(f"no execution has the id {id!r}", hint=did_you_mean(id, await self._newest()))
        return header

    async def _newest(self) -> list[str]:
        """Ids that may have been meant. Where some cannot be read just now, none is known."""
        try:
            return [each.id for each in await self.store.headers(Query(namespace=self.namespace, limit=200))]
        except StoreBusy:
            return []

    async def wait(
        self, id: str, uid: str, *, local: bool, stale: Stale | None = None
    ) -> tuple[Header, list[Header]]:
        """The header once the execution has ended or needs attention, by itself or for nested sagas (which
        then come with it).

        That is so as soon as one is parked, whatever else goes on: as with an action of its own.
        """
        stale = stale or Stale()
        pause = POLL_FIRST
        while True:
            self.must_not_be_closed(id)
            waiter = self.expect(id)
            timer = None
            try:
                resident = self.resident(uid)
                header, nests, shows = resident or (await self.find(id), True, True)
                if shows and _settled(header, stale):
                    return header, []
                below = await parked_below(self.store, header) if nests else []
                fresh = [child for child in below if not stale.covers(child, self.clock.now())]
                if fresh:
                    return header, fresh
                if resident is None or below or self.shared:
                    ceiling = self.poll_local if local and not below and not self.shared else pause
                    if resident is not None and not below:
                        ceiling = POLL_CEILING  # we are told, unless another worker takes it and ends it
                    timer = asyncio.get_running_loop().call_later(ceiling, _look_again, waiter)
                found = await waiter
            finally:
                if timer is not None:
                    timer.cancel()
                self.forget(id, waiter)
            if found is not None and _settled(found, stale):
                return found, []
            pause = min(pause * 1.5, POLL_CEILING)

    def must_not_be_closed(self, id: str) -> None:
        """Raise `EngineClosed` once nothing is heard of executions any more."""
        if self.closed:
            raise EngineClosed(
                f"closed while {id} was waited for",
                hint="it goes on when a worker serves it; wait for it with another engine or client",
            )

    def expect(self, id: str) -> asyncio.Future[Any]:
        """A future that gets the header of that execution once it has ended or needs attention, or None when
        who waits must ask again. `forget` it afterwards.
        """
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = self.waiters.get(id)
        if waiting is None:
            self.waiters[id] = [waiter]
        else:
            waiting.append(waiter)
        return waiter

    def forget(self, id: str, waiter: asyncio.Future[Any]) -> None:
        """Nobody waits with this future any more."""
        waiting = self.waiters.get(id)
        if waiting is not None:
            if waiter in waiting:
                waiting.remove(waiter)
            if not waiting:
                del self.waiters[id]

    def look_again(self, *ids: str) -> None:
        """What is known of these executions (or of all) may be out of date: who waits must ask again."""
        for id in ids or list(self.waiters):
            for waiter in self.waiters.pop(id, ()):
                _look_again(waiter)

    def notify(self, header: Header) -> None:
        """Its status changed (durably): whoever waits for an end or for attention is told."""
        if header.namespace != self.namespace:
            return
        if header.status in port.FINAL or header.status == port.ATTENTION:
            for waiter in self.waiters.pop(header.id, ()):
                if not waiter.done():
                    waiter.set_result(header)
            if header.parent and self.waiters and header.status == port.ATTENTION:
                self.look_again(*ancestors(header.id))

    # ------------------------------------------------------------ sending

    def payload(self, value: Any, what: str, reader: codec.Decoder | None = None) -> e.Raw:
        """A value as it travels, refused here if it is too large, or if its `reader` could not take it."""
        data = codec.encode(value, what)
        if len(data) > self.limits.payload:
            raise PayloadTooLarge(
                f"{what}: {len(data):,} bytes, the limit is {self.limits.payload:,}",
                hint="store the data elsewhere and send a reference, or raise Limits(payload=…)",
            )
        if reader is not None:
            reader.decode(data, what)
        return e.Raw(data)

    async def send(self, header: Header, event: Any, *, key: str = "") -> None:
        """Put an event into the execution's inbox. Raises `Refused` when it has ended."""
        if header.status in port.FINAL:
            raise Refused(
                f"{header.id} has ended ({header.status}); nothing can be sent to it",
                hint="start a new execution",
            )
        await self.store.send([Message(header.uid, encode_event(event), key)])

    async def operate(
        self, header: Header, event: Any, action: str, reason: str, by: str | None, detail: str = ""
    ) -> None:
        """An operator's request: into the inbox and the audit, in one transaction."""
        _must_be_said(reason, by)
        record = AuditRecord(self.clock.now(), header.uid, by or operator(), action, reason, detail)
        await self.store.send([Message(header.uid, encode_event(event))], [record])

    async def unpark(self, header: Header, action: str, reason: str, by: str | None) -> None:
        """Let workers try a parked execution again."""
        _must_be_said(reason, by)
        record = AuditRecord(self.clock.now(), header.uid, by or operator(), action, reason)
        await self.store.unpark(header.uid, record)


class Stale:
    """What an operator has acted upon already: attention last updated then is no news.

    What stands below the execution acted upon may not be moved by it at all, so it counts as news again after
    `PATIENCE` seconds.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def mark(self, header: Header, below: Sequence[Header] = (), now: float = 0.0) -> None:
        """An operator acts upon this, and through it on what is below."""
        self._known[header.uid] = (header.updated_at, math.inf)
        for child in below:
            self._known[child.uid] = (child.updated_at, now + PATIENCE)

    def covers(self, header: Header, now: float = 0.0) -> bool:
        """Is its attention the one that was acted upon?"""
        updated_at, until = self._known.get(header.uid, (-math.inf, 0.0))
        return header.updated_at <= updated_at and now <= until


def _settled(header: Header, stale: Stale) -> bool:
    """Has it ended, or does it need attention (other than what was acted upon)?"""
    if header.status == port.ATTENTION:
        return not stale.covers(header)
    return header.status in port.FINAL


class Resident(NamedTuple):
    """An execution in this process's memory.

    nests: may nested sagas hold it?  shows: is its status durable? (Else its next commit tells.)
    """

    header: Header
    nests: bool
    shows: bool


def _nowhere(uid: str) -> None:
    """Without a worker in this process no execution is resident."""


def _nobody() -> None:
    """Without a worker in this process nobody looks."""


def ask_again_in_time(backend: Backend, waiter: asyncio.Future[Any]) -> asyncio.TimerHandle | None:
    """Another worker may take what is waited for, and end it unheard: so who waits asks again in time."""
    if not backend.shared:
        return None
    return waiter.get_loop().call_later(POLL_CEILING, _look_again, waiter)


def _look_again(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def must_be_call(call: Any) -> None:
    """Refuse what is no call of a saga."""
    if isinstance(call, SagaCall):
        return
    if isinstance(call, Saga):
        raise Refused(
            f"a call is needed, got the saga {call.name} itself",
            hint=f"call it: engine.run({call.fn.__name__}(…), id=…)",
        )
    raise Refused(
        f"a call of a saga is needed, got {call!r}",
        hint="decorate the function with @amends.saga; a step by itself is just awaited",
    )


def check_id(id: str) -> None:
    """Refuse ids that cannot be addressed."""
    if not isinstance(id, str) or not id or id != id.strip() or len(id) > 500:
        raise Refused(
            f"an execution's id must be visible text of at most 500 characters, got {id!r}",
            hint="for example the order's number",
        )
    if RESERVED in id:
        raise Refused(
            f"the id {id!r} contains {RESERVED!r}, which separates children from parents",
            hint="use another character",
        )


def must_be_text(what: str, given: Any) -> None:
    """Refuse what is no text that can be stored: a message with it could not be read by the worker."""
    if not isinstance(given, str):
        raise Refused(f"{what} is a text, got {given!r:.200}", hint=f'for example "{given!s:.40}"')
    if not given.isascii() and any("\ud800" <= letter <= "\udfff" for letter in given):
        raise Refused(f"{what} is no valid Unicode text: {given!r:.200}", hint="it was decoded wrongly")


def _must_be_said(reason: Any, by: Any) -> None:
    must_be_text("reason", reason)
    if by is not None:
        must_be_text("by", by)


def _must_be_attributes(given: Any) -> None:
    if not given:
        return
    if not isinstance(given, Mapping):
        raise Refused(f"attributes is a mapping, got {given!r:.200}", hint='attributes={"customer": "c-17"}')
    for name in given:
        must_be_text("an attribute's name", name)


def new_header(
    backend: Backend,
    saga: str,
    version: str,
    input: str,
    *,
    id: str | None,
    attributes: Any,
    deadline: float | None,
    namespace: str,
) -> Header:
    """The header of a new execution, of what is checked already. deadline: seconds from now."""
    now = backend.clock.now()
    uid = backend.ids.uid(now)
    id = uid if id is None else id
    return Header(
        uid=uid,
        id=id,
        partition=partition_of(namespace, id),
        saga=saga,
        version=version,
        input=input,
        created_at=now,
        updated_at=now,
        namespace=namespace,
        root=uid,
        deadline=None if deadline is None else now + deadline,
        attributes=codec.encode(attributes, "attributes").decode() if attributes else "{}",
    )


def operator() -> str:
    """Who acts by hand: the login name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def must_be_the_same(found: Header, wanted: Header, call: SagaCall[Any]) -> Header:
    """What was found under the wanted id. Raises `IdInUse` unless saga and arguments are the same."""
    if found.saga != wanted.saga:
        raise IdInUse(
            f"the id {wanted.id!r} belongs to an execution of {found.saga}, not of {wanted.saga}",
            hint="choose another id",
        )
    if (closed := why_of(found.input)) is not None:
        raise error_of(closed, f"whether {wanted.id} was started with the same arguments cannot be told")
    if found.input != wanted.input and not _same_values(found, call):
        raise IdInUse(
            f"the id {wanted.id!r} was started with other arguments\n"
            f"    then:  {found.input[:300]}\n    now:   {wanted.input[:300]}",
            hint="an id stands for one request: choose another id, or send the same arguments",
        )
    return found


def _same_values(found: Header, call: SagaCall[Any]) -> bool:
    """Do the stored arguments mean the same, read with today's annotations?"""
    try:
        return bool(
            call.saga.signature.decode_args(found.input.encode())
            == call.saga.signature.decode_args(codec.encode(call.args))
        )
    except AmendsError:
        return False


def events_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The journal for people and programs: one mapping per row."""
    return [
        {
            "position": row.position,
            "now": row.now,
            "events": [_plain(x) for x in e.decode_events(row.events)],
            "commands": [_plain(x) for x in e.decode_commands(row.commands)],
        }
        for row in rows
    ]


def _plain(entry: Any) -> dict[str, Any]:
    names = type(entry).__struct_fields__
    values = msgspec.json.decode(e.encode_entry(entry))
    return {"type": values[0], **dict(zip(names, values[1:], strict=False))}
