"""A store behind which payloads stand in envelopes (see `amends.encryption` for the theory).

It has the port of the store that it keeps everything in (`kept`), and passes on whatever concerns no payload.
For its worker it remembers, of every execution that is owned, the key and the checksum at the head of what is
stored (`Head`), because a row is chained to the row before it as *stored*.  Claims, starts and the parents of
children say what that is; whatever was refused is read again.

Whatever is to be enclosed and cannot be, because its key is gone:

* a row of an execution that was opened: refused as a conflict, so that the worker reads it again and parks
  it;
* the end of one that never opened (it can be terminated, no more): its payloads are left out;
* a start, or a message that carries a payload: refused.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from ...clock import Clock
from ...encryption import envelope
from ...encryption.codec import Codec, DataKey
from ...encryption.payloads import detail_passed, event_passed
from ...errors import StoreBusy, Unopened
from ...kernel.entries import Row
from ..enlisting import Enlistment, Enlists
from ..port import (
    AuditRecord,
    Claim,
    Code,
    Header,
    History,
    KeySide,
    Message,
    Query,
    Store,
    Transaction,
    Verdict,
    Write,
    commits_aside,
)
from . import rows as r
from .core import key_in
from .hands import Closing, Found, Gone, Opening, error_of
from .tasks import TaskPart, task_passed

T = TypeVar("T")


class Head:
    """What a worker knows of an execution's stored side. `key`: None where nothing is encrypted."""

    __slots__ = ("checksum", "key")

    def __init__(self, key: Found, checksum: int = 0) -> None:
        self.key = key
        self.checksum = checksum


class Enclosed(TaskPart):
    """See the module's head. `kept`: the store behind it; `keys`: where the keys are."""

    def __init__(self, kept: Store, codec: Codec, clock: Clock, keys: KeySide | None = None) -> None:
        super().__init__(kept, codec, clock, keys)
        self._heads: dict[str, Head] = {}
        self._begun: dict[str, Found] = {}

    # ------------------------------------------------------------ the worker's side

    async def register(self, now: float, *, wait: bool) -> int | None:
        """See the port; a new incarnation knows nothing of what is stored."""
        self._heads.clear()
        return await self.kept.register(now, wait=wait)

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """See the port: in place only with keys that are at hand, and not for nothing."""
        if commits_aside(self.kept):
            return None
        for write in writes:
            head = self._heads.get(write.uid) if write.start is None else self._begin(write)
            if head is None or not self.keeping.fresh(head.key):
                return None
        enclosed = [self._enclosed(write) for write in writes]
        verdicts = self.kept.commit_now(incarnation, enclosed)
        if verdicts is not None:
            self._committed(writes, enclosed, verdicts)
        return verdicts

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        """See the port. Raises `KeyUnavailable`, which is a `StoreBusy`."""
        refused = await self._ready(writes)
        given = [write for place, write in enumerate(writes) if place not in refused]
        enclosed = [self._enclosed(write) for write in given]
        verdicts = await self.kept.commit(incarnation, enclosed) if given else []
        self._committed(given, enclosed, verdicts)
        for place in sorted(refused):
            self._heads.pop(writes[place].uid, None)
            self._begun.pop(writes[place].uid, None)
            verdicts.insert(place, refused[place])
        return verdicts

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        """See the port. What does not open comes with a placeholder for its input (see `why_of`)."""
        claims = await self.kept.claim(incarnation, now, limit)
        if not claims:
            return claims
        heads, opened = await self._patiently(lambda: self._opened_claims(claims))
        self._heads.update(heads)
        return opened

    async def news(self, incarnation: int, after: int) -> list[Message]:
        """See the port."""
        messages = await self.kept.news(incarnation, after)
        if not any(r.SIGN in message.event for message in messages):
            return messages

        def opened(keys: Mapping[str, Found], missing: set[str]) -> list[Message]:
            return [self._message(message, keys, missing) for message in messages]

        return await self._patiently(lambda: self._with_keys(opened, ()))

    async def transact(self, incarnation: int, uid: str, body: Callable[[Transaction], Row]) -> Verdict:
        """See the port."""
        refused = await self._ready([Write(uid)])
        if refused:
            self._heads.pop(uid, None)
            return refused[0]
        head = self._heads.get(uid)
        if head is None:  # it does not exist: the store says so
            return await self.kept.transact(incarnation, uid, body)
        key, checksum = head.key, head.checksum
        made: list[Row] = []

        def enclosed(tx: Transaction) -> Row:
            made.append(r.enclosed_row(body(tx), self._closing(uid, key), checksum))
            return made[-1]

        verdict = await self.kept.transact(incarnation, uid, enclosed)
        if verdict.code is Code.COMMITTED:
            head.checksum = made[-1].checksum
        else:
            self._heads.pop(uid, None)
        return verdict

    async def park(self, incarnation: int, uid: str, cause: str, detail: str, now: float) -> None:
        """See the port. What is said of an execution that does not open tells nothing of it, and stays."""
        if cause != Unopened.cause and detail:
            refused = await self._ready([Write(uid)])
            head = self._heads.get(uid)
            key = Gone("", "forgotten") if refused or head is None else head.key
            detail = detail_passed(detail, self._closing(uid, key))
        await self.kept.park(incarnation, uid, cause, detail, now)
        self._heads.pop(uid, None)

    # ------------------------------------------------------------ the client's side

    async def begin(self, header: Header, subject: str) -> None:
        """An execution is about to be started: its payloads are those of that subject, whose key is made if
        it has none.

        Raises `Unopened`, `KeyUnavailable`, `StoreError`.
        """
        self._begun[header.uid] = await self.keeping.of_subject(header.namespace, subject, self._clock.now())

    def started(self, header: Header) -> Header:
        """The header of one that was begun, as it is stored."""
        return r.header_passed(header, self._closing(header.uid, self._begun.pop(header.uid)))

    async def enlistment(self) -> Enlistment:
        """See `enlisting`: the header of an execution that was begun, in its envelope.

        The one that is there already opens only with a key that is at hand; that of the wanted one is.
        """
        said = await cast("Enlists", self.kept).enlistment()

        def read(row: tuple[Any, ...]) -> Header:
            header = said.read(row)
            keys = self.keeping.known_to(key_in(header.input))
            return r.header_passed(header, Opening(self._codec, header.uid, keys, set()))

        return dataclasses.replace(said, values=lambda header: said.values(self.started(header)), read=read)

    async def create(self, header: Header) -> bool:
        """See the port."""
        if header.uid not in self._begun:
            await self.begin(header, "")
        return await self.kept.create(self.started(header))

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """See the port. Raises `Unopened` for a payload that nobody could read."""
        enclosed = [await self._enclosed_message(message) for message in messages]
        await self.kept.send(enclosed, audit)

    async def find(self, namespace: str, id: str) -> Header | None:
        """See the port."""
        header = await self.kept.find(namespace, id)
        return None if header is None else (await self._opened_headers([header]))[0]

    async def headers(self, query: Query) -> list[Header]:
        """See the port."""
        return await self._opened_headers(await self.kept.headers(query))

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """See the port. What does not open comes with a placeholder for its input (see `why_of`)."""
        found = await self.kept.read(uid)
        if found is None:
            return None
        _, opened = await self._opened_claims([Claim(*found)])
        return opened[0].header, opened[0].rows, opened[0].inbox

    # ------------------------------------------------------------ enclosing

    def _begin(self, write: Write) -> Head | None:
        """The head of an execution that the write starts. (Tried again, it begins again.)"""
        if write.uid not in self._begun:
            return None
        head = self._heads[write.uid] = Head(self._begun[write.uid])
        return head

    async def _ready(self, writes: Sequence[Write]) -> dict[int, Verdict]:
        """Know the head of each and have its key fresh; returns, by place, what must not be written."""
        stale: dict[int, DataKey] = {}
        for place, write in enumerate(writes):
            if write.start is not None:
                if write.uid not in self._begun:
                    await self.begin(write.start, "")
                head = self._begin(write)
            else:
                head = self._heads.get(write.uid) or await self._head_of(write.uid)
            if head is not None and isinstance(head.key, DataKey) and not self.keeping.fresh(head.key):
                stale[place] = head.key
        found = await self.keeping.by_ids({key.id for key in stale.values()}) if stale else {}
        refused: dict[int, Verdict] = {}
        for place, key in stale.items():
            fresh = found[key.id]
            if isinstance(fresh, DataKey):
                self._heads[writes[place].uid].key = fresh
            else:
                code = Code.CONFLICT if writes[place].start is None else Code.POISON
                refused[place] = Verdict(code, reason=f"the key {key.id} of its payloads is gone")
        return refused

    async def _head_of(self, uid: str) -> Head | None:
        """The head of one that was not claimed through here, or was refused since."""
        found = await self.kept.read(uid)
        if found is None:
            return None
        heads, _ = await self._opened_claims([Claim(*found)])
        self._heads.update(heads)
        return heads[uid]

    def _enclosed(self, write: Write) -> Write:
        head = self._heads.get(write.uid)
        if head is None:  # it does not exist: the store says so
            return write
        hand = self._closing(write.uid, head.key)
        change = write.change
        return msgspec.structs.replace(
            write,
            row=None if write.row is None else r.enclosed_row(write.row, hand, head.checksum),
            start=None if write.start is None else r.header_passed(write.start, hand),
            change=None if change is None else _change_passed(change, hand),
            children=[r.header_passed(c, self._closing(c.uid, head.key)) for c in write.children],
            messages=[
                msgspec.structs.replace(m, event=event_passed(m.event, self._closing(m.uid, head.key)))
                for m in write.messages
            ],
            tasks=[task_passed(task, hand) for task in write.tasks],
        )

    def _committed(
        self, writes: Sequence[Write], enclosed: Sequence[Write], verdicts: Sequence[Verdict]
    ) -> None:
        """Remember the heads of what is stored now; forget those of what is not, or is given up."""
        for write, stored, verdict in zip(writes, enclosed, verdicts, strict=True):
            if write.start is not None:
                self._begun.pop(write.uid, None)
            head = self._heads.get(write.uid)
            if verdict.code is not Code.COMMITTED or head is None:
                self._heads.pop(write.uid, None)
                continue
            if stored.row is not None:
                head.checksum = stored.row.checksum
            for child in write.children:
                self._heads[child.uid] = Head(head.key)
            if write.release is not None and not verdict.awake:
                del self._heads[write.uid]

    async def _enclosed_message(self, message: Message) -> Message:
        key = await self._key_of(message.uid)
        event = event_passed(message.event, self._closing(message.uid, key))
        if isinstance(key, Gone) and event != message.event:
            raise error_of(key.why, f"nothing can be sent to {message.uid}")
        return msgspec.structs.replace(message, event=event)

    # ------------------------------------------------------------ opening

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What a worker has taken over it must come to know, however long a master key is out of reach."""
        pause = 0.1
        while True:
            try:
                return await work()
            except StoreBusy:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)

    async def _opened_headers(self, headers: list[Header]) -> list[Header]:
        def opened(keys: Mapping[str, Found], missing: set[str]) -> list[Header]:
            return [r.header_passed(h, Opening(self._codec, h.uid, keys, missing)) for h in headers]

        return await self._with_keys(opened, [self._remember(header) for header in headers])

    async def _opened_claims(self, claims: Sequence[Claim]) -> tuple[dict[str, Head], list[Claim]]:
        """Executions as their worker reads them, and the heads of their stored sides."""
        ids = {claim.header.uid: self._remember(claim.header) for claim in claims}

        def opened(keys: Mapping[str, Found], missing: set[str]) -> list[tuple[Head, Claim]]:
            return [self._claim(claim, keys, missing, ids[claim.header.uid]) for claim in claims]

        done = await self._with_keys(opened, list(ids.values()))
        for head, claim in done:
            if head.key is None:  # it began in the clear; what comes now is enclosed
                await self._give_key(head, claim.header)
        heads = {claim.header.uid: head for head, claim in done}
        return heads, [claim for _, claim in done]

    async def _give_key(self, head: Head, header: Header) -> None:
        """The key of those that name no subject. Without it nothing can be written, so nothing must go on."""
        try:
            head.key = await self.keeping.of_subject(header.namespace, "", self._clock.now())
        except Unopened:
            head.key = Gone("", "no_master")
            header.input = envelope.missing_raw("no_master", "").decode()

    def _claim(
        self, claim: Claim, keys: Mapping[str, Found], missing: set[str], id: str
    ) -> tuple[Head, Claim]:
        hand = Opening(self._codec, claim.header.uid, keys, missing)
        header = r.header_passed(claim.header, hand)
        rows = r.opened_rows(claim.rows, hand)
        inbox = [r.opened_message(message, hand) for message in claim.inbox]
        trouble = hand.trouble
        if trouble is not None:
            header.input = envelope.missing_raw(trouble.why, trouble.id).decode()
        head = Head(keys.get(id), claim.rows[-1].checksum if claim.rows else 0)
        return head, msgspec.structs.replace(claim, header=header, rows=rows, inbox=inbox)

    def _message(self, message: Message, keys: Mapping[str, Found], missing: set[str]) -> Message:
        hand = Opening(self._codec, message.uid, keys, missing)
        opened = r.opened_message(message, hand)
        if hand.trouble is None:
            return opened
        return msgspec.structs.replace(opened, event=f'{r.UNOPENED}{hand.trouble.why}"]')


def _change_passed(change: Any, hand: Closing) -> Any:
    return msgspec.structs.replace(
        change,
        result=None if change.result is None else hand.raw("result", change.result.encode()).decode(),
        detail=None if change.detail is None else detail_passed(change.detail, hand),
    )


def enclosed(kept: Store, codec: Codec, clock: Clock, keys: KeySide | None = None) -> Store:
    """The store, with payloads in envelopes. keys: where the keys are (default: there, too)."""
    return cast("Store", Enclosed(kept, codec, clock, keys))


def as_kept(store: Store) -> Store:
    """The store as it is, envelopes and all: for copies, and for archives."""
    return store.kept if isinstance(store, Enclosed) else store


async def copied(store: Store, uid: str, history: History) -> History:
    """What was read of the execution `uid`, and is to be another's, as the store keeps it (see `as_kept`): in
    that one's envelopes, of the same key.

    Raises `Unopened` when that is gone, `KeyUnavailable`.
    """
    if not isinstance(store, Enclosed):
        return history
    key = await store._key_of(uid)
    if isinstance(key, Gone):
        raise error_of(key.why, f"nothing can be copied from {uid}")
    hand, rows, checksum = store._closing(history.header.uid, key), [], 0
    for row in history.rows:
        rows.append(r.enclosed_row(row, hand, checksum))
        checksum = rows[-1].checksum
    return msgspec.structs.replace(history, header=r.header_passed(history.header, hand), rows=rows)


def unopened(
    store: Store, header: Header, rows: Sequence[Row] = (), inbox: Sequence[Message] = ()
) -> Unopened | None:
    """Why this execution, as `claim` or `read` gave it, cannot go on here; None: its payloads are open.

    (An argument list is a JSON object whose keys are names of parameters, so nobody can pass off his data as
    an envelope there.)
    """
    why = envelope.why_of(header.input)
    if why is None and not isinstance(store, Enclosed) and r.has_envelopes(rows, inbox):
        why = "no_codec"
    return None if why is None else error_of(why, header.id)


def unopened_message(store: Store, message: Message) -> Unopened | None:
    """The same for one message, as `news` gave it."""
    if isinstance(store, Enclosed):
        if not message.event.startswith(r.UNOPENED):
            return None
        why = message.event.removeprefix(r.UNOPENED).removesuffix('"]')
        return error_of(why, f"a message to {message.uid}")
    if r.SIGN in message.event and r.has_envelopes((), [message]):
        return error_of("no_codec", f"a message to {message.uid}")
    return None
