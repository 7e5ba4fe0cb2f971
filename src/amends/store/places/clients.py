"""What clients ask of a store on several servers: each question goes where its answer is."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Sequence

from ...definition.naming import RESERVED
from ...errors import Refused, StoreError, UnknownName
from ...kernel.entries import Row
from ..pausing import AUDITED
from ..port import AuditRecord, Header, History, Message, Query
from .members import Members, Server

REMEMBERED = 100_000
"""Executions of which it is remembered where they are."""
KEYS = "key "
"""How the names begin under which the audit keeps what was done to keys."""


class ClientPart(Members):
    """The client's side of the port."""

    def __init__(self, stores: Sequence[Server]) -> None:
        super().__init__(stores)
        self._known: OrderedDict[str, int] = OrderedDict()

    # ------------------------------------------------------------ where it is

    def _remember(self, uid: str, number: int) -> None:
        self._known[uid] = number
        self._known.move_to_end(uid)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _number_of(self, uid: str) -> int | None:
        """The server of an execution; None: it does not exist. (It never moves, so what was seen holds.)

        Raises what a server says that could have it and cannot be asked.
        """
        number = self._known.get(uid)
        if number is not None:
            return number
        answers = await self._each(lambda store: store.holds(uid))
        for number, answer in enumerate(answers):
            if answer is True:
                self._remember(uid, number)
                return number
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        return None

    async def _store_of(self, uid: str) -> Server:
        """The store of an execution; of what does not exist the first server says so."""
        return self.members[await self._number_of(uid) or 0].at_hand()

    # ------------------------------------------------------------ one execution

    async def create(self, header: Header) -> bool:
        """See the port."""
        number = self.place_of(header.namespace, header.id)
        created = await self.members[number].at_hand().create(header)
        if created:
            self._remember(header.uid, number)
        return created

    async def find(self, namespace: str, id: str) -> Header | None:
        """See the port."""
        number = self.place_of(namespace, id)
        header = await self.members[number].at_hand().find(namespace, id)
        if header is not None:
            self._remember(header.uid, number)
        return header

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """See the port."""
        return await (await self._store_of(uid)).read(uid)

    async def unpark(self, uid: str, audit: AuditRecord) -> None:
        """See the port."""
        await (await self._store_of(uid)).unpark(uid, audit)

    async def audited(self, uid: str) -> list[AuditRecord]:
        """See the port. What was done to keys may be on any server, what was done to pauses is on all."""
        if uid.startswith((KEYS, AUDITED)):
            found = await self._all(lambda store: store.audited(uid))
            merged = sorted(itertools.chain.from_iterable(found), key=lambda record: record.at)
            return [each for place, each in enumerate(merged) if each not in merged[:place]]
        return await (await self._store_of(uid)).audited(uid)

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """See the port; in one transaction for each server that is concerned."""
        letters: dict[int, tuple[list[Message], list[AuditRecord]]] = defaultdict(lambda: ([], []))
        for message in messages:
            number = await self._number_of(message.uid)
            if number is None:
                raise UnknownName(f"no execution has the uid {message.uid!r}; nothing was sent")
            letters[number][0].append(message)
        for record in audit:
            letters[await self._number_of(record.uid) or 0][1].append(record)
        for number in sorted(letters):
            await self.members[number].at_hand().send(*letters[number])

    # ------------------------------------------------------------ many

    async def headers(self, query: Query) -> list[Header]:
        """See the port. Raises `StoreBusy` when a server is not there that may have some."""
        number = await self._only(query)
        chosen = range(len(self.members)) if number is None else [number]
        found = await self._all(lambda store: store.headers(query), chosen)
        for each, headers in zip(chosen, found, strict=True):
            for header in headers:
                self._remember(header.uid, each)
        merged = heapq.merge(*found, key=lambda header: header.uid, reverse=True)
        return list(itertools.islice(merged, query.limit))

    async def _only(self, query: Query) -> int | None:
        """The only server that can have what is asked for: that of one tree."""
        if query.namespace and RESERVED in query.id_prefix:
            return self.place_of(query.namespace, query.id_prefix)
        uid = query.root or query.parent
        return await self._number_of(uid) if uid else None

    async def prune(self, uids: Sequence[str], before: float) -> list[str]:
        """See the port; in one transaction for each server that is concerned."""
        doomed: dict[int, list[str]] = defaultdict(list)
        for uid in uids:
            number = await self._number_of(uid)
            if number is not None:
                doomed[number].append(uid)
        gone: list[str] = []
        for number in sorted(doomed):
            gone += await self.members[number].at_hand().prune(doomed[number], before)
        for uid in gone:
            self._known.pop(uid, None)
        return sorted(gone)

    async def restore(self, histories: Sequence[History]) -> bool:
        """See the port. Raises `Refused` for trees on several servers at once."""
        numbers = {self.place_of(each.header.namespace, each.header.id) for each in histories}
        if not numbers:
            return True
        if len(numbers) > 1:
            raise Refused("these trees belong on several servers", hint="restore one root at a time")
        return await self.members[numbers.pop()].at_hand().restore(histories)
