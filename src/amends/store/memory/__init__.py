"""A store in memory: the port's semantics with dictionaries, the oracle that other stores are compared with.

Values are copied at the border, so no caller shares state with the store.  Engines and clients of one
process may share one object; the first `open` and the last `close` count.  Closing keeps the data: an
engine that opens the same object again finds its executions, as after a restart.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ...errors import Refused, StoreError, UnknownName
from ...kernel.entries import Row
from ..port import (
    ATTENTION,
    COMMITTED,
    FINAL,
    MISSING,
    SLEPT,
    AuditRecord,
    Claim,
    Code,
    Header,
    History,
    Message,
    Query,
    Transaction,
    Verdict,
    Write,
    trees_over,
)
from ..where.matching import matches
from .batch import NOT_OWNED, commit, unstorable
from .core import Core, check_storable
from .keys import KeyPart
from .pausing import PausePart
from .queueing import QueuePart
from .state import Execution


class _WorkerPart(Core):
    """The worker's side of the port."""

    async def register(self, now: float, *, wait: bool) -> int | None:
        """Become the worker, after burying the dead. Another one lives: None, or wait until it is gone."""
        self._check_open()
        while self._worker is not None:
            if not wait:
                return None
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._standbys.append(future)
            await future
        state = self._state
        state.fences = dict.fromkeys(state.fences, False)
        for execution in state.owned_by():
            head = execution.head
            execution.deaths = execution.deaths + 1 if execution.death_head == head else 1
            execution.death_head = head
            execution.lost, execution.lost_by = True, execution.header.owner
            state.let_sleep(execution, now)
        self._worker = len(state.fences) + 1
        state.fences[self._worker] = True
        return self._worker

    async def retire(self, incarnation: int, settled: Collection[str] = ()) -> None:
        """End an incarnation; what it still owns becomes unowned, due and, unless it is `settled`, lost."""
        self._check_open()
        if not self._state.fences.get(incarnation):
            return
        self._state.fences[incarnation] = False
        for execution in self._state.owned_by(incarnation):
            execution.lost = execution.header.uid not in settled
            execution.lost_by = incarnation
            execution.death_head = max(execution.death_head, 0)
            self._state.let_sleep(execution, 0.0)
        if incarnation == self._worker:
            self._free_worker()

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Apply a batch; memory is always quick."""
        self._check_fence(incarnation)
        return commit(self._state, incarnation, writes)

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        """Apply a batch."""
        self._check_fence(incarnation)
        return commit(self._state, incarnation, writes)

    async def serve(
        self,
        incarnation: int,
        definitions: Collection[tuple[str, str]],
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """Say what this worker has the code of: what was parked for want of it becomes due."""
        self._check_fence(incarnation)
        if shares is not None:
            self._shares = dict(shares)
        known = frozenset(definitions)
        for execution in self._state.executions.values():
            header = execution.header
            waits = execution.parked is not None and header.cause == MISSING
            if waits and (header.saga, header.version) in known:
                self._unpark(execution)

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        """Take at most `limit` unowned executions due by `now`, with journal and inbox, in turns of the
        namespaces; none that a pause covers."""
        self._check_fence(incarnation)
        claims: list[Claim] = []
        taken: Counter[str] = Counter()

        def turn(execution: Execution) -> tuple[float, float, int]:
            of = execution.header.namespace
            return (taken[of] + 1) / self._shares.get(of, 1.0), execution.header.wake_at or 0.0, execution.num

        while len(claims) < limit:
            due = [each for each in self._state.next_due() if (each.header.wake_at or 0.0) <= now]
            if not due:
                break
            execution = min(due, key=turn)
            header = execution.header
            taken[header.namespace] += 1
            header.owner, header.wake_at = incarnation, None
            lost, execution.lost = execution.lost, False
            deaths = execution.deaths if execution.death_head == execution.head else 0
            rows, inbox = execution.journal(), execution.waiting()
            slept = lost and execution.death_head == SLEPT
            claim = Claim(copy.copy(header), rows, inbox, lost=lost, deaths=deaths, slept=slept)
            claim.lost_by = execution.lost_by if lost else None
            claims.append(claim)
        return claims

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of any unowned execution that may be claimed; None: nothing sleeps."""
        self._check_open()
        wakes = [each.header.wake_at for each in self._state.next_due()]
        return min((wake for wake in wakes if wake is not None), default=None)

    async def news(self, incarnation: int, after: int) -> list[Message]:
        """Messages with `seq` over `after` to executions this incarnation owns, in `seq` order."""
        self._check_open()
        found = [
            message
            for execution in self._state.owned_by(incarnation)
            if execution.inbox
            for message in execution.waiting(after)
        ]
        return sorted(found, key=lambda message: message.seq)

    async def transact(self, incarnation: int, uid: str, body: Callable[[Transaction], Row]) -> Verdict:
        """Run `body` and append the row it returns. There is no SQL here: `execute` says so."""
        self._check_fence(incarnation)
        execution = self._state.executions.get(uid)
        if execution is None or execution.header.owner != incarnation:
            return NOT_OWNED
        row = body(_NoDatabase())
        if row.position in execution.rows:
            return Verdict(Code.CONFLICT, reason=f"the journal has a row at position {row.position}")
        if reason := unstorable(row):
            return Verdict(Code.POISON, reason=reason)
        self._state.make_room(1)
        self._state.append(execution, row)
        return COMMITTED

    async def park(self, incarnation: int, uid: str, cause: str, detail: str, now: float) -> None:
        """Set an owned execution aside, without a journal row, until `unpark`."""
        self._check_fence(incarnation)
        execution = self._execution(uid)
        header = execution.header
        if header.owner != incarnation:
            raise Refused(f"execution {uid} is not owned by incarnation {incarnation}, so it cannot park it")
        check_storable(cause, detail, now)
        execution.parked = (header.status, header.cause, header.detail)
        header.status, header.cause, header.detail, header.updated_at = ATTENTION, cause, detail, now
        execution.lost = True  # its open commands may have been dispatched before
        execution.lost_by = incarnation
        execution.death_head = max(execution.death_head, 0)
        self._state.let_sleep(execution, None)


class _ClientPart(Core):
    """The client's side of the port."""

    async def create(self, header: Header) -> bool:
        """Add an unowned execution, due now. False: that (namespace, id) exists; nothing changed."""
        self._check_open()
        check_storable(header)
        if self._state.has(header):
            return False
        self._state.make_room(1)
        self._state.add(header, None)
        self._generation += 1
        return True

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """Put messages into inboxes and wake their receivers, with the audit records, in one go."""
        self._check_open()
        for message in messages:
            if message.uid not in self._state.executions:
                raise UnknownName(f"no execution has the uid {message.uid!r}; nothing was sent")
        check_storable(*messages, *audit)
        self._state.make_room(len(messages))
        for message in messages:
            self._state.put(message)
        self._state.audit += map(copy.copy, audit)
        self._generation += 1

    async def unpark(self, uid: str, audit: AuditRecord) -> None:
        """Make an execution parked by `park` claimable again, with its status before."""
        self._check_open()
        execution = self._execution(uid)
        if execution.parked is None:
            raise Refused(
                f"execution {uid} is not parked", hint="send it a message instead; look at its status first"
            )
        check_storable(audit)
        execution.header.updated_at = audit.at
        self._unpark(execution)
        self._state.audit.append(copy.copy(audit))
        self._generation += 1

    async def find(self, namespace: str, id: str) -> Header | None:
        """The execution of that id, or None."""
        self._check_open()
        uid = self._state.uids.get((namespace, id))
        return None if uid is None else copy.copy(self._state.executions[uid].header)

    async def headers(self, query: Query) -> list[Header]:
        """Headers that match, newest first."""
        self._check_open()
        found = [execution.header for execution in self._state.executions.values()]
        found = [header for header in found if _matches(header, query)]
        found.sort(key=lambda header: header.uid, reverse=True)
        return [copy.copy(header) for header in found[: query.limit]]

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """A copy of an execution, its journal and its waiting inbox."""
        self._check_open()
        execution = self._state.executions.get(uid)
        if execution is None:
            return None
        return copy.copy(execution.header), execution.journal(), execution.waiting()

    async def audited(self, uid: str) -> list[AuditRecord]:
        """The audit records of an execution, oldest first."""
        self._check_open()
        return [copy.copy(record) for record in self._state.audit if record.uid == uid]

    async def prune(self, uids: Sequence[str], before: float) -> list[str]:
        """Delete roots that are over, with all that is nested in them."""
        self._check_open()
        asked = set(uids)
        trees = [
            each
            for each in self._state.executions.values()
            if each.header.uid in asked or (each.header.parent and each.header.root in asked)
        ]
        gone = trees_over([_member(each.header, before) for each in trees], asked)
        for each in trees:
            if (each.header.root if each.header.parent else each.header.uid) in gone:
                self._state.remove(each)
        return sorted(gone)

    async def restore(self, histories: Sequence[History]) -> bool:
        """Add executions with all that is kept of them, all or none."""
        self._check_open()
        state = self._state
        names = {(each.header.namespace, each.header.id) for each in histories}
        uids = {each.header.uid for each in histories}
        if any(state.has(each.header) for each in histories) or min(len(names), len(uids)) < len(histories):
            return False
        check_storable(histories)
        state.make_room(sum(1 + len(each.rows) + len(each.inbox) for each in histories))
        for each in histories:
            execution = state.add(each.header, None)
            for row in each.rows:
                state.append(execution, row)
            over = each.header.status in FINAL
            execution.lost = not over
            state.let_sleep(execution, None if over else 0.0)
            for message in each.inbox:
                state.put(message)
            state.audit += map(copy.copy, each.audit)
        self._generation += 1
        return True


class MemoryStore(_WorkerPart, _ClientPart, KeyPart, PausePart, QueuePart):
    """A store that ends with the process. `capacity` limits rows, executions and messages together."""


class _NoDatabase:
    """What a transactional step gets from a store without a database."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Say that there is none."""
        raise StoreError(
            "the memory store has no SQL database for transactional steps",
            hint="use a SQLite store: open_store('sqlite:///sagas.db')",
        )


def _matches(header: Header, query: Query) -> bool:
    return (
        (not query.namespace or header.namespace == query.namespace)
        and (not query.statuses or header.status in query.statuses)
        and (not query.saga or header.saga == query.saga)
        and (not query.root or header.root == query.root)
        and (not query.parent or header.parent == query.parent)
        and header.id.startswith(query.id_prefix)
        and (not query.after or header.uid < query.after)
        and _within(header.created_at, query.created_from, query.created_until)
        and _within(header.finished_at, query.finished_from, query.finished_until)
        and matches(query.where, header)
    )


def _member(header: Header, before: float) -> tuple[str, str, str, bool]:
    ended = header.finished_at is not None and header.finished_at < before
    over = ended and header.status in FINAL and header.owner is None
    return header.uid, header.root, header.parent, over


def _within(moment: float | None, begin: float | None, end: float | None) -> bool:
    if begin is None and end is None:
        return True
    return moment is not None and (begin is None or begin <= moment) and (end is None or moment < end)
