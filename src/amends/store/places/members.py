"""The servers of a store: opening them, finding out whether each is the right one, and missing some."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from ...errors import Misplaced, StoreBusy, StoreError
from ...ids import RandomIds
from ..partition import PARTITIONS, Placement, Share, holder_of, partition_of, shares
from ..port import Shared

T = TypeVar("T")
AGAIN, LONGEST = 0.2, 5.0
"""Seconds until a server that was not there is looked for again."""
_log = logging.getLogger("amends.store")


class Server(Shared, Protocol):
    """A store that can be one of several."""

    alone: bool
    where: str

    async def holds(self, uid: str) -> bool:
        """Is there an execution of that uid?"""
        ...

    async def placement(self) -> Placement | None:
        """What the server says of its partitions, open or not; None: nothing. Raises `Misplaced`."""
        ...

    async def begin_placement(self, wanted: Placement) -> None:
        """Give a new server its share, unless it has one. Raises `Misplaced` when it is not new."""
        ...

    async def complete_placement(self, family: str) -> None:
        """All servers of that store have their shares."""
        ...


class Member:
    """One server. `refusal`: why it cannot be used for now; None: it can."""

    def __init__(self, store: Server, share: Share) -> None:
        self.store = store
        self.share = share
        self.refusal: StoreError | None = None
        store.alone = False

    def at_hand(self) -> Server:
        """Its store. Raises `StoreBusy` while it has not been reached yet, `Misplaced` when it is another."""
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)  # it is raised again and again, and would keep all frames
        return self.store

    def check(self, said: Placement | None, family: str) -> Placement:
        """Raise `Misplaced` unless what the server says is what it should say."""
        where = self.store.where
        if said is None:
            raise Misplaced(
                f"{where} should be {self.share.said}, and it says that it holds nothing of this store",
                hint="is it the right database and schema? If it was lost, restore its backup: its executions"
                " exist nowhere else",
            )
        if said.share != self.share:
            raise Misplaced(
                f"{where} is {said.share.said}, and the URL names it as {self.share.said}",
                hint="name all servers of the store, in the order in which it was made; for another number of"
                " servers see docs/places.md",
            )
        if said.family != family:
            raise Misplaced(
                f"{where} is {said.share.said} of another store than the first server named",
                hint="is it the right database and schema?",
            )
        return said


class Members:
    """What all parts of the store on several servers stand on."""

    shared = True
    aside = True

    def __init__(self, stores: Sequence[Server]) -> None:
        if not 2 <= len(stores) <= PARTITIONS:
            raise StoreError(f"a store is on 2 to {PARTITIONS} servers here, not on {len(stores)}")
        self.members = [
            Member(store, share) for store, share in zip(stores, shares(len(stores)), strict=True)
        ]
        self._open = False
        self._seeking: list[asyncio.Task[None]] = []

    @property
    def where(self) -> str:
        """All of them, for people."""
        return " ".join(member.store.where for member in self.members)

    def place_of(self, namespace: str, id: str) -> int:
        """The number of the server of an execution."""
        return holder_of(partition_of(namespace, id), len(self.members))

    def surplus(self) -> int:
        """Workers ask their own servers."""
        return 0

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        """Open all servers that are there, and compare what they say.

        Raises `Misplaced`, `SchemaMismatch`, `StoreBusy` (none is there; or one is not, and they are new).
        """
        if self._open:
            return
        self._open = True
        try:
            await self._open_all()
        except BaseException:
            await self.close()
            raise

    async def _open_all(self) -> None:
        """Each is asked before it is opened: nobody shall begin to work at one that is another."""
        said = await asyncio.gather(*(self._ask(member) for member in self.members))
        known = [each for each in said if each is not None and each.complete]
        if known:
            family = known[0].family
            here = [pair for pair in zip(self.members, said, strict=True) if pair[0].refusal is None]
            for member, each in here:
                member.check(each, family)
            await asyncio.gather(*(self._admit(member, each) for member, each in here if each))
        else:
            family = await self._make()
        away = [member for member in self.members if member.refusal is not None]
        if len(away) == len(self.members):
            raise away[0].refusal or StoreError("no server is there")
        for member in away:
            _log.warning("%s is not there yet: %s", member.share.said, member.refusal)
            self._seeking.append(asyncio.get_running_loop().create_task(self._seek(member, family)))

    async def _ask(self, member: Member) -> Placement | None:
        """What one says; if it is not there, it is refused for now."""
        try:
            said = await member.store.placement()
        except StoreBusy as error:
            member.refusal = error
            return None
        member.refusal = None
        return said

    async def _admit(self, member: Member, said: Placement) -> None:
        """Open one that is the right one; if it has gone meanwhile, it is refused for now."""
        try:
            await member.store.open()
            if not said.complete:
                await member.store.complete_placement(said.family)
        except StoreBusy as error:
            await member.store.close()
            member.refusal = error
        else:
            member.refusal = None

    async def _make(self) -> str:
        """The servers are new: give each its share. Returns the family. Raises `StoreBusy` unless all are
        there."""
        away = [member.refusal for member in self.members if member.refusal is not None]
        if away:
            raise StoreBusy(
                f"a store on {len(self.members)} servers is made when all are there, and one is not:"
                f" {away[0].message}",
                hint="start it, then try again",
            )
        family = RandomIds().uid(0.0)
        for member in self.members:
            await member.store.open()
            await member.store.begin_placement(Placement(family=family, share=member.share))
            said = await member.store.placement()
            if said is not None and member is self.members[0]:
                family = said.family  # another process may make it just now, or has been interrupted
            member.check(said, family)
        for member in self.members:
            await member.store.complete_placement(family)
        return family

    async def _seek(self, member: Member, family: str) -> None:
        """Until a server is there that was not."""
        pause = AGAIN
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
            try:
                await self._admit(member, member.check(await member.store.placement(), family))
            except StoreBusy as error:
                member.refusal = error
            except StoreError as error:
                _log.error("%s cannot be used: %s", member.share.said, error)
                member.refusal = error
                return
            if member.refusal is None:
                _log.warning("%s is there", member.share.said)
                return

    async def close(self) -> None:
        """Let go of all servers."""
        self._open = False
        seeking, self._seeking = self._seeking, []
        for task in seeking:
            task.cancel()
        await asyncio.gather(*seeking, return_exceptions=True)
        await asyncio.gather(*(member.store.close() for member in self.members))

    # ------------------------------------------------------------ asking several

    async def _each(
        self, ask: Callable[[Server], Awaitable[T]], numbers: Iterable[int] | None = None
    ) -> list[T | StoreError]:
        """What each of them says (all, unless told), or why it does not."""

        async def one(member: Member) -> T | StoreError:
            try:
                return await ask(member.at_hand())
            except StoreError as error:
                return error

        chosen = range(len(self.members)) if numbers is None else numbers
        return await asyncio.gather(*(one(self.members[number]) for number in chosen))

    async def _all(
        self, ask: Callable[[Server], Awaitable[T]], numbers: Iterable[int] | None = None
    ) -> list[T]:
        """What all of them say. Raises what the first says that does not, once all have been asked."""
        answers = await self._each(ask, numbers)
        failed = next((answer for answer in answers if isinstance(answer, StoreError)), None)
        if failed is not None:
            raise failed
        return [answer for answer in answers if not isinstance(answer, StoreError)]
