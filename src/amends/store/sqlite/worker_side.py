"""What the worker does with the store: register, commit, claim, park, and steps with their own SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import apsw

from ...errors import Refused, UnknownName
from ...kernel.entries import Row
from ..port import Claim, Message, Transaction, Verdict, Write
from . import reading, transact
from .claims import Claiming, count_due
from .commit import Batch, alone, check_fence, settle_alone
from .core import Core
from .faults import is_data_error
from .sift import Sift
from .sql import load
from .writer import NOT_NOW

CONTROL = load("control.sql")

_FEW = 8  # executions that are loaded in the caller's thread


class WorkerPart(Core):
    """The worker's side of the port."""

    async def register(self, now: float, *, wait: bool) -> int | None:
        """Become the worker of this file: take the lock, bury the dead, begin an incarnation.

        Another worker lives: None; with `wait`, stand by until it is gone.
        """
        self._writer.check_open()
        while self._incarnation is not None or not self._lock.take():
            if not wait:
                return None
            await asyncio.sleep(self._standby_poll)
        try:
            incarnation = await self._writer.run(lambda db: _register(db, now), self._registered)
        except asyncio.CancelledError:  # the transaction may still come: keep the lock until close
            raise
        except BaseException:
            self._lock.release()
            raise
        self._writer.take_checkpoints(True)
        return incarnation

    def _registered(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._was_worker = True
        self._writer.unknown = False
        self._owned.clear()

    async def retire(self, incarnation: int, settled: Collection[str] = ()) -> None:
        """End an incarnation. What it still owns is lost, but for `settled`. The lock goes to a standby,
        unless a commit's outcome is unknown: then it is kept for this process to register again."""
        keep = self._writer.unknown
        await self._writer.run(lambda db: _retire(db, incarnation, settled))
        if incarnation != self._incarnation:
            return
        if keep:
            self._incarnation = None
            self._owned.clear()
            return
        await self._writer.job(self._writer.truncate_log)
        self._writer.take_checkpoints(False)
        self._incarnation = None
        self._owned.clear()
        self._lock.release()

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Commit in this thread; None when the batch is large, the writer is at work, or the disk is slow."""
        if len(writes) > self._inline_rows:
            return None
        if len(writes) == 1 and (one := alone(writes[0], self._owned, incarnation)) is not None:
            found = self._writer.alone(*one)
            if found is NOT_NOW:
                return None
            if found:
                return [settle_alone(writes[0], found[0][0], self._owned)]
        done = self._writer.now(self._commit(incarnation, writes), _settle)
        return None if done is NOT_NOW else done.verdicts

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        """Make a batch durable, in the writer's thread. Cancelling the caller does not stop it."""
        done = await self._writer.run(self._commit(incarnation, writes), _settle)
        return done.verdicts

    def _commit(self, incarnation: int, writes: Sequence[Write]) -> Callable[[apsw.Connection], Batch | Sift]:
        owned = self._owned

        def work(db: apsw.Connection) -> Batch | Sift:
            batch = Batch(incarnation, writes, owned)
            try:
                batch.apply(db)
            except Exception as error:
                if not is_data_error(error):
                    raise
                if db.in_transaction:
                    db.execute("ROLLBACK")
                db.execute("BEGIN IMMEDIATE")
                return Sift(incarnation, writes, owned).run(db)
            return batch

        return work

    async def serve(
        self,
        incarnation: int,
        definitions: Collection[tuple[str, str]],
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """Say what this worker has the code of: what was parked for want of it becomes due. As the only
        worker of the file it takes what it has no code of as well."""
        if shares is not None:
            self._shares = dict(shares)
        known = json.dumps(list(definitions))

        def work(db: apsw.Connection) -> None:
            check_fence(db, incarnation)
            db.execute(CONTROL["unpark_defined"], (known,))

        await self._writer.soon(work)

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        """Take at most `limit` unowned executions due by `now`, with journal and inbox, in turns of the
        namespaces."""
        due = self._read(lambda db: _count_due(db, incarnation, now, limit))
        if not due:
            return []

        claiming = Claiming(incarnation, now, limit, self._owned, self._shares)
        run = self._writer.soon if due <= _FEW else self._writer.run
        await run(claiming.take, claiming.load)
        return claiming.claims

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of any unowned execution; None: nothing sleeps."""
        wake: float | None = self._read(lambda db: db.execute(reading.SQL["next_wake"]).fetchall()[0][0])
        return wake

    async def news(self, incarnation: int, after: int) -> list[Message]:
        """Messages with `seq` over `after` to executions this incarnation owns, in `seq` order."""
        return [reading.message(*values) for values in self._fetch("news", (after, incarnation))]

    async def transact(self, incarnation: int, uid: str, body: Callable[[Transaction], Row]) -> Verdict:
        """Run `body` in the writer's thread and append the row it returns, in one transaction.

        All other commits wait meanwhile; past `step_seconds` the body is interrupted.
        """

        def work(db: apsw.Connection) -> Verdict:
            return transact.run(db, self._guard, self._step_seconds, incarnation, self._owned.get(uid), body)

        try:
            return await self._writer.run(work)
        except transact.Left as left:
            return left.verdict
        except transact.Raised as raised:
            raise raised.error from None

    async def park(self, incarnation: int, uid: str, cause: str, detail: str, now: float) -> None:
        """Set an owned execution aside, without a journal row, until `unpark`."""

        def work(db: apsw.Connection) -> None:
            check_fence(db, incarnation)
            num, owner, _ = state(db, uid)
            if owner != incarnation:
                raise Refused(
                    f"execution {uid} is not owned by incarnation {incarnation}, so it cannot park it"
                )
            db.execute(CONTROL["park"], (num, cause, detail, now))

        await self._writer.soon(work, lambda _: self._owned.pop(uid, None))


def state(db: apsw.Connection, uid: str) -> tuple[int, int | None, str | None]:
    """Number, owner and parked state of an execution. Raises `UnknownName`."""
    found: list[Any] = db.execute(CONTROL["state"], (uid,)).fetchall()
    if not found:
        raise UnknownName(f"no execution has the uid {uid!r}")
    num, owner, parked = found[0]
    return num, owner, parked


def _settle(done: Batch | Sift) -> None:
    done.settle()


def _register(db: apsw.Connection, now: float) -> int:
    db.execute(CONTROL["retire_all"])
    db.execute(CONTROL["bury"], (now,))
    incarnation: Any = db.execute(CONTROL["register"], (now,)).fetchall()[0][0]
    return int(incarnation)


def _retire(db: apsw.Connection, incarnation: int, settled: Collection[str]) -> None:
    db.execute(CONTROL["retire"], (incarnation,))
    db.execute(CONTROL["hand_back"], (incarnation, json.dumps(list(settled))))


def _count_due(db: apsw.Connection, incarnation: int, now: float, limit: int) -> int:
    check_fence(db, incarnation)
    return count_due(db, now, limit)
