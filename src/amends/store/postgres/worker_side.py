"""What the worker does with the store: register, commit, claim, park, and steps with their own SQL."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import psycopg

from ...errors import CommitUnknown, Fenced, Refused, StoreBusy, StoreFull, UnknownName
from ...kernel.entries import Row
from ..port import SLEPT, Claim, Message, Told, Transaction, Verdict, Write
from . import reading, transact
from .commit import NOT_OWNED, Batch, fenced
from .core import Core
from .faults import Lost, is_data_error
from .link import Rows, Run
from .literals import get, numbers, put, texts
from .reading import History
from .sift import Sift

_STANDBY_POLL = 0.05
_log = logging.getLogger("amends.store")


class WorkerPart(Core):
    """The worker's side of the port."""

    async def register(self, now: float, *, wait: bool) -> int | None:
        """Begin an incarnation, after looking for the dead. Any number of workers serve one database.

        None: this object has an incarnation already; with `wait`, not before it is retired.
        """
        self._control.check_open()
        while self._incarnation is not None:
            if not wait:
                return None
            await asyncio.sleep(_STANDBY_POLL)
        try:
            await self._keeper.find_estates(now)
            incarnation = await self._keeper.register(self._place())
        except Exception as error:
            raise self._said(error) from error
        self._incarnation = incarnation
        self._jitter = random.Random(incarnation)
        self._owned.clear()
        self._told.clear()
        self._keeper.start(incarnation)
        if not self.pooled:
            self._listener.start(incarnation)
        return incarnation

    async def retire(self, incarnation: int, settled: Collection[str] = ()) -> None:
        """End an incarnation, after the commit it may have under way: from another connection, which waits
        for it. What it still owns becomes unowned and due, and lost, but for `settled`."""
        mine = incarnation == self._incarnation
        if mine:
            self._keeper.stop()
        try:
            await self._keeper.retire(incarnation, settled)
        except Exception as error:
            raise self._said(error) from error
        if mine:
            await self._listener.stop()
            self._incarnation = None
            self._keeper.fenced = False
            self._owned.clear()
        self._wrote()

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Never: there is a network between us and the database."""
        return None

    def commit_soon(self, incarnation: int, writes: Sequence[Write], told: Told) -> bool:
        """Begin a commit whose end is told, if nothing stands before it (see `port.Prompt`)."""
        batch = Batch(incarnation, writes, self._owned)

        def answered(row: dict[str, Any], error: Exception | None) -> None:
            try:
                if error is not None:
                    raise error
                batch.judge(row)
            except Fenced as fence:
                told(fence)
            except psycopg.Error:  # refused as a whole
                told(None)
            except Exception as doubt:  # noqa: BLE001 - it may be durable
                told(self._unknown(doubt))
            else:
                batch.settle(self._owned)
                told(batch.verdicts)

        try:
            return self._writer.send(*batch.statement(self._sql, self._channel), answered)
        except Exception as error:
            if not is_data_error(error):
                raise
            return False

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        """Make a batch durable: one statement, one round trip, one transaction."""
        if not writes:
            return []
        self._writer.check_open()
        batch = Batch(incarnation, writes, self._owned)
        try:
            batch.judge(await self._writer.ask(*batch.statement(self._sql, self._channel)))
        except Lost as error:
            raise self._unknown(error) from error
        except Exception as error:
            if not is_data_error(error):
                raise self._said(error) from error
            return await self._commit_the_innocent(incarnation, writes)
        batch.settle(self._owned)
        return batch.verdicts

    async def _commit_the_innocent(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        sift = Sift(self._sql, self._channel, incarnation, writes, self._owned)

        async def work(run: Run) -> Sift:
            await self._hold_fence(run, incarnation)
            return await sift.run(run)

        try:
            await self._writer.transact(work)
        except Lost as error:
            raise self._unknown(error) from error
        except Exception as error:
            raise self._said(error) from error
        sift.settle(self._owned)
        return sift.verdicts

    async def _hold_fence(self, run: Run, incarnation: int) -> None:
        if not await run(self._sql["hold"], {"me": incarnation}):
            raise fenced(incarnation)

    def _unknown(self, error: Exception) -> CommitUnknown:
        return CommitUnknown(
            f"the connection to {self.where} was lost; what was under way may or may not be durable: {error}",
            hint="the worker retires its incarnation and reads again",
        )

    def _unread(self, error: Exception) -> CommitUnknown:
        return CommitUnknown(
            f"what was claimed on {self.where} could not be read: {error}",
            hint="the worker retires its incarnation and claims again",
        )

    async def serve(
        self,
        incarnation: int,
        definitions: Collection[tuple[str, str]],
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """Say what this worker has the code of: it claims that, and what it adopts (see `Keeper`)."""
        if shares is not None:
            self._shares = {put(namespace): weight for namespace, weight in shares.items()}
        try:
            alive, unparked = await self._keeper.serve(incarnation, definitions)
            await self._keeper.adopt(incarnation)
        except Exception as error:
            raise self._said(error) from error
        if not alive:
            raise fenced(incarnation)
        if unparked:
            _log.info("%d executions go on that waited for definitions", unparked)
        self._wrote()

    def surplus(self) -> int:
        """How many executions others could take off its hands. Each look of the keeper is told once."""
        surplus, self._keeper.surplus = self._keeper.surplus, 0
        return surplus

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        """Take at most `limit` executions, with journal and inbox: what has no owner and is due by `now`, in
        turns of the namespaces, and (at a pace) what the dead owned. Neither takes the other's half."""
        taken: Rows = []
        waits = False
        try:
            since = self._keeper.inheritance()
            waits = since is not None and since <= now
            taken = await self._claim_due(incarnation, now, limit // 2 if waits else limit)
            inherited = await self._keeper.inherit(incarnation, now, limit - len(taken)) if waits else []
            if inherited is None:
                raise fenced(incarnation)
            taken = inherited + taken
            if not taken:
                return []
            loaded = await self._control.read(self._sql["load"], {"nums": numbers(row[0] for row in taken)})
        except Lost as error:
            raise self._unknown(error) from error
        except Exception as error:
            said = self._said(error)
            if (taken or waits) and isinstance(said, (StoreBusy, StoreFull)):  # "nothing was taken"
                raise self._unread(error) from error
            raise said from error
        found = dict(map(reading.history, loaded))
        return [self._claimed(found[num], num, *said) for num, *said in taken]

    async def _claim_due(self, incarnation: int, now: float, limit: int) -> Rows:
        """Number, uid, lost, deaths and their head, and who lost it, of each."""
        if limit <= 0:
            return []
        values: dict[str, Any] = {"me": incarnation, "now": now, "limit": limit}
        values["declared"] = self._keeper.declared
        values |= {"namespaces": texts(list(self._shares)), "weights": numbers(self._shares.values())}
        taken = await self._control.fetch(self._sql["claim"], values)
        if not taken[0][0]:
            raise fenced(incarnation)
        return [row[1:] for row in taken if row[1] is not None]

    def _claimed(
        self,
        history: History,
        num: int,
        uid: str,
        lost: bool,
        deaths: int,
        death_head: int,
        lost_by: int | None,
    ) -> Claim:
        self._owned[get(uid)] = num
        head = history.rows[-1].position + 1 if history.rows else 0
        same_head = deaths if death_head == head else 0
        slept = lost and death_head == SLEPT
        return Claim(*history, lost=lost, deaths=same_head, slept=slept, lost_by=lost_by if lost else None)

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of any unowned execution that may be claimed, or when more of what the dead
        owned may be taken over; None: nothing sleeps."""
        values = {"me": self._incarnation or 0, "declared": self._keeper.declared}
        wake: float | None = (await self._read("next_wake", **values))[0][0]
        due = self._keeper.inheritance()
        return wake if due is None else due if wake is None else min(wake, due)

    async def news(self, incarnation: int, after: int) -> list[Message]:
        """Messages to executions this incarnation owns, with `seq` over `after`, in `seq` order.

        Numbers are drawn before they are committed, so a lower one may appear after a higher one, of another
        execution: what has not been told before is told whatever its number.
        """
        waiting = [reading.message(row) for row in await self._read("news", me=incarnation)]
        fresh = [message for message in waiting if message.seq > after or message.seq not in self._told]
        self._told = {message.seq for message in waiting}
        return fresh

    async def transact(self, incarnation: int, uid: str, body: Callable[[Transaction], Row]) -> Verdict:
        """Run `body` in a thread, on a connection of its own, and append the row it returns, in one
        transaction. The fence is held meanwhile; past `step_seconds` the body is interrupted."""
        self._control.check_open()
        num = self._owned.get(uid)
        if num is None:
            if not await self._alive(incarnation):
                raise fenced(incarnation)
            return NOT_OWNED
        step = transact.Step(
            self.conninfo,
            self._sql,
            self.where,
            self._step_seconds,
            incarnation,
            num,
            body,
            pooled=self.pooled,
        )
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, step.run)
        running.add_done_callback(_heard)
        return await asyncio.shield(running)

    async def _alive(self, incarnation: int) -> bool:
        return bool(await self._read("hold", me=incarnation))

    async def park(self, incarnation: int, uid: str, cause: str, detail: str, now: float) -> None:
        """Set an owned execution aside, without a journal row, until `unpark`."""
        values = {"me": incarnation, "uid": put(uid), "cause": put(cause), "detail": put(detail), "now": now}
        try:
            alive, parked, exists = (await self._control.fetch(self._sql["park"], values))[0]
        except Lost as error:
            raise self._unknown(error) from error
        except Exception as error:
            raise self._said(error) from error
        if not alive:
            raise fenced(incarnation)
        if not exists:
            raise UnknownName(f"no execution has the uid {uid!r}")
        if not parked:
            raise Refused(f"execution {uid} is not owned by incarnation {incarnation}, so it cannot park it")
        self._owned.pop(uid, None)

    async def changed(self) -> bool:
        """See `Core.changed`; and whoever has been retired by others hears it here."""
        if self._keeper.fenced and self._incarnation is not None:
            raise Fenced(f"worker incarnation {self._incarnation} was retired by others: its lease ran out")
        return await super().changed()

    async def _read(self, name: str, **values: Any) -> Rows:
        return await self._ask(self._sql[name], values)

    async def _ask(self, sql: str, values: Mapping[str, Any]) -> Rows:
        try:
            return await self._control.read(sql, values)
        except Exception as error:
            raise self._said(error) from error


def _heard(running: asyncio.Future[Verdict]) -> None:
    """Whoever asked has the error, unless it was dropped meanwhile; nobody else need be told."""
    if not running.cancelled():
        running.exception()
