"""The hot path: one batch of writes as a handful of statements.

**Theory of operation.**  `Batch.apply` runs inside a transaction.  It goes by table, not by write: all
starts, all children, all rows, all changes, all consumed and all new messages, all releases; each is one
statement per chunk of rows.  Within a batch a release therefore sees the messages that other writes of the
same batch send.  What one saga at a time writes mostly goes to SQLite in one call, which is a transaction of
its own (`alone`, `Writer.alone`): a row and nothing else, the first row with the execution that it
begins, the last one with its end.

Two refusals are told from the outcome of a statement and leave only their write out: a start whose id
exists (it is not among the RETURNING rows) and a write of an execution that this incarnation does not own
(`owned` says; it is kept by this process, and the fence, checked in the same transaction, is what makes it
true).  Anything else that a row can do wrong raises; then the transaction is rolled back and `sift` finds
the guilty writes.

`owned` maps the uid of each execution we own to its row number in `amends_executions`: the journal is keyed
by that number, which keeps its index small (see the schema).  It changes only after the commit (`settle`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ...errors import Fenced
from ..port import AWAKE, COMMITTED, AuditRecord, Change, Code, Header, Release, Verdict, Write
from . import tasks
from .faults import BadWrite
from .sql import load

_ALIVE = "EXISTS (SELECT 1 FROM amends_fences WHERE incarnation = ? AND retired = 0)"
SQL = load("commit.sql", alive=_ALIVE)
FENCE = SQL["fence"]
APPEND_ALONE, BEGIN_ALONE, END_ALONE = SQL["append_alone"], SQL["begin_alone"], SQL["end_alone"]
_START, _APPEND, _CHANGE = SQL.bulk("start"), SQL.bulk("append"), SQL.bulk("change")
_RELEASE, _FINISH, _CONSUME = SQL.bulk("release"), SQL.bulk("finish"), SQL.bulk("consume")
_POST, _WAKE = SQL.bulk("post"), SQL.bulk("wake")
_AUDIT = load("control.sql").bulk("audit")

NOT_OWNED = Verdict(Code.CONFLICT, reason="this worker does not own the execution")
ID_EXISTS = Verdict(Code.CONFLICT, reason="an execution of that id exists")


def check_fence(db: apsw.Connection, incarnation: int) -> None:
    """Raise `Fenced` unless the incarnation is alive. In the same transaction as what depends on it."""
    if not db.execute(FENCE, (incarnation,)).fetchall():
        raise fenced(incarnation)


def fenced(incarnation: int) -> Fenced:
    """What a retired incarnation is told."""
    return Fenced(
        f"worker incarnation {incarnation} is retired; nothing it writes counts any more",
        hint="register again and take the work up from the journal",
    )


def alone(write: Write, owned: dict[str, int], incarnation: int) -> tuple[str, tuple[Any, ...]] | None:
    """The statements that carry out this write by itself, with their values; None: only a batch can."""
    row = write.row
    if row is None or write.consumed or write.messages or write.children or write.audit:
        return None
    if write.tasks or write.dropped:
        return None
    start, change, release, num = write.start, write.change, write.release, owned.get(write.uid)
    values = (row.position, row.now, row.events, row.commands, row.checksum)
    if change is None and release is None:
        if start is None and num is not None:
            return APPEND_ALONE, (num, *values, incarnation)
        if start is not None and start.uid == write.uid:
            return BEGIN_ALONE, (*header_values(start, incarnation, None), incarnation, *values)
    elif change is not None and release is not None and num is not None and start is None:
        return END_ALONE, (num, *values, incarnation, num, *_ending(change, release), row.now)
    return None


def settle_alone(write: Write, told: Any, owned: dict[str, int]) -> Verdict:
    """The verdict on what `alone` carried out, by what that returned; brings `owned` up to date."""
    if write.start is not None:
        owned[write.uid] = told
    elif write.release is not None:
        if told is not None:
            return AWAKE
        del owned[write.uid]
    return COMMITTED


class UnknownReceiver(BadWrite):
    """A message to an execution that does not exist."""

    def __init__(self, uid: str) -> None:
        super().__init__(f"a message to the unknown execution {uid}")
        self.uid = uid


class Batch:
    """One commit. After `apply` and COMMIT, call `settle`."""

    def __init__(self, incarnation: int, writes: Sequence[Write], owned: dict[str, int]) -> None:
        self.writes = writes
        self.verdicts: list[Verdict] = [COMMITTED] * len(writes)
        self.gained: dict[str, int] = {}
        self._incarnation = incarnation
        self._owned = owned
        self._children: list[Any] = []
        self._mine: set[str] = set()
        self._rows: list[Any] = []
        self._changes: list[Any] = []
        self._consumed: list[int] = []
        self._messages: list[tuple[str, str | None, str]] = []
        self._audit: list[Any] = []
        self._tasks: tuple[list[Any], list[Any]] | None = None
        self._releases: list[Any] = []
        self._finishes: list[Any] = []
        self._leaving: list[tuple[int, str, int]] = []  # index, uid and number of writes with a release

    def apply(self, db: apsw.Connection) -> None:
        """Carry out all writes, in the caller's transaction."""
        check_fence(db, self._incarnation)
        if any([write.start is not None for write in self.writes]):  # noqa: C419  # a list is faster here
            self._start(db)
        self._gather()
        execute = db.execute
        if self._children:
            born = _START.fetch(execute, self._children)
            if len(born) * _START.width != len(self._children):
                raise BadWrite("a child's id exists")
            self.gained.update((uid, num) for uid, num in born if uid in self._mine)
        _APPEND.run(execute, self._rows)
        if self._changes:
            _CHANGE.run(execute, self._changes)
        if self._consumed:
            _CONSUME.run(execute, self._consumed)
        if self._messages:
            post(db, self._messages, self._number)
        if self._audit:
            _AUDIT.run(execute, self._audit)
        if self._tasks is not None:
            tasks.write(db, *self._tasks)
        if self._leaving:
            self._let_go(db)

    def settle(self) -> None:
        """The commit is durable: bring `owned` up to date."""
        owned = self._owned
        if self.gained:
            owned.update(self.gained)
        for index, uid, _ in self._leaving:
            if self.verdicts[index] is COMMITTED:
                del owned[uid]

    def _number(self, uid: str) -> int | None:
        return self._owned.get(uid) or self.gained.get(uid)

    def _start(self, db: apsw.Connection) -> None:
        values: list[Any] = []
        for write in self.writes:
            if write.start is not None:
                if write.start.uid != write.uid:
                    raise BadWrite(f"a write of {write.uid} starts {write.start.uid}")
                values += header_values(write.start, self._incarnation, None)
        self.gained = dict(_START.fetch(db.execute, values))
        seen: set[str] = set()
        for index, write in enumerate(self.writes):
            if write.start is not None:
                if write.uid not in self.gained or write.uid in seen:
                    self.verdicts[index] = ID_EXISTS
                seen.add(write.uid)

    def _gather(self) -> None:
        """Sort what the writes ask for by table."""
        owned, gained, verdicts, rows = self._owned, self.gained, self.verdicts, self._rows
        for index, write in enumerate(self.writes):
            if verdicts[index] is not COMMITTED:
                continue
            num = owned.get(write.uid) or gained.get(write.uid)
            if num is None:
                verdicts[index] = NOT_OWNED
                continue
            row = write.row
            if row is not None:
                rows += (num, row.position, row.now, row.events, row.commands, row.checksum)
            if write.change is not None or write.release is not None:
                self._gather_header(index, write, num)
            if write.consumed or write.messages or write.children or write.audit:
                self._gather_mail(write)
            if write.tasks or write.dropped:
                self._gather_tasks(write)

    def _gather_mail(self, write: Write) -> None:
        self._consumed += write.consumed
        for record in write.audit:
            self._audit += audit_values(record)
        self._messages += [(each.uid, each.key or None, each.event) for each in write.messages]
        for child in write.children:
            if child.owner == self._incarnation:
                self._mine.add(child.uid)
                self._children += header_values(child, child.owner, None)
            else:
                self._children += header_values(child, None, 0.0)

    def _gather_tasks(self, write: Write) -> None:
        if self._tasks is None:
            self._tasks = [], []
        dropped, added = self._tasks
        for action, direction in write.dropped:
            dropped += (write.uid, action, direction)
        for task in write.tasks:
            added += tasks.values(task)

    def _gather_header(self, index: int, write: Write, num: int) -> None:
        now = write.row.now if write.row is not None else None
        change, release = write.change, write.release
        if release is None:
            if change is not None:
                self._changes += (num, *_changed(change), now)
            return
        self._leaving.append((index, write.uid, num))
        if change is None:
            self._releases += (num, release.inbox_seq, release.wake_at, release.lost, now)
        else:
            self._finishes += (num, *_ending(change, release), now)

    def _let_go(self, db: apsw.Connection) -> None:
        gone = {num for (num,) in _RELEASE.fetch(db.execute, self._releases)}
        gone.update(num for num, owner in _FINISH.fetch(db.execute, self._finishes) if owner is None)
        for index, _, num in self._leaving:
            if num not in gone:
                self.verdicts[index] = AWAKE


def _changed(change: Change) -> tuple[Any, ...]:
    return (change.status, change.cause, change.result, change.detail, change.finished_at)


def _ending(change: Change, release: Release) -> tuple[Any, ...]:
    return (release.inbox_seq, release.wake_at, release.lost, *_changed(change))


def header_values(header: Header, owner: int | None, wake_at: float | None) -> tuple[Any, ...]:
    """A header as one row of the statement `start`."""
    return (
        header.uid,
        header.namespace,
        header.id,
        header.partition,
        header.saga,
        header.version,
        header.status,
        header.cause,
        owner,
        0,
        wake_at,
        header.root,
        header.parent,
        header.parent_action,
        header.depth,
        header.deadline,
        header.created_at,
        header.updated_at,
        header.finished_at,
        header.attributes,
        header.input,
        header.result,
        header.detail,
    )


def audit_values(record: AuditRecord) -> tuple[Any, ...]:
    """An audit record as one row of the statement `audit`."""
    return (record.at, record.uid, record.by, record.action, record.reason, record.detail)


def insert(db: apsw.Connection, values: list[Any]) -> dict[str, int]:
    """Insert executions (rows of `header_values`); returns those whose id was free, with their numbers."""
    return dict(_START.fetch(db.execute, values))


def append(db: apsw.Connection, values: list[Any]) -> None:
    """Add journal rows."""
    _APPEND.run(db.execute, values)


def post(
    db: apsw.Connection,
    messages: Sequence[tuple[str, str | None, str]],
    number: Callable[[str], int | None],
) -> None:
    """Put messages (uid, key, event) into inboxes and wake their receivers. Raises `UnknownReceiver`.

    `number` may know receivers' row numbers; the others are looked up.
    """
    nums = {uid: number(uid) for uid, _, _ in messages}
    if missing := [uid for uid, num in nums.items() if num is None]:
        nums.update(db.execute(SQL["receivers"], (json.dumps(missing),)))
        for uid in missing:
            if nums[uid] is None:
                raise UnknownReceiver(uid)
    values: list[Any] = []
    for uid, key, event in messages:
        values += (nums[uid], key, event)
    news = Counter(num for (num,) in _POST.fetch(db.execute, values))
    _WAKE.run(db.execute, [value for pair in news.items() for value in pair])
