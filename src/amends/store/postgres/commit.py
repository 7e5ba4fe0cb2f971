"""The hot path: one batch of writes as one statement.

**Theory of operation.**  `Batch` sorts what the writes ask for by table, one array a column, and names the
parts of `commit.sql` that it needs; the statement that is put together from them is sent once and commits
itself.  What the statement returns tells the verdicts.

All parts of a statement see the database as it was before it.  So what a batch does to an execution that it
also makes (its first row's change of status, its release, messages to it) is folded here, into the row to be
inserted; and each header is changed by one part only, which counts the messages of the whole batch before it
decides on a release.

Ownership is not asked of the database row by row: `owned` says what this incarnation owns, and the fence,
locked by this same statement, is what makes it true.  `owned` maps uids to the numbers that the journal is
keyed by; it changes only after the commit (`settle`).

Two refusals leave only their write out: a write to what we do not own, and a start whose id exists (it is not
among what the statement returns, and its gate keeps out what else its write asks for).  Anything else that a
row can do wrong makes the statement fail as a whole; then `sift` finds the guilty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import Fenced
from ..port import AWAKE, COMMITTED, Code, Header, Verdict, Write
from . import columns
from .faults import BadWrite
from .statement import Composed, Statements

NOT_OWNED = Verdict(Code.CONFLICT, reason="this worker does not own the execution")
ID_EXISTS = Verdict(Code.CONFLICT, reason="an execution of that id exists")


def fenced(incarnation: int) -> Fenced:
    """The error of whoever is no living incarnation."""
    return Fenced(
        f"worker incarnation {incarnation} is retired; nothing it writes counts any more",
        hint="register again and take the work up from the journal",
    )


class Batch:
    """One commit: `statement`, then `judge` what it returned, then (it is durable) `settle`."""

    def __init__(self, incarnation: int, writes: Sequence[Write], owned: Mapping[str, int]) -> None:
        self.writes = writes
        self.verdicts: list[Verdict] = [COMMITTED] * len(writes)
        self._me = incarnation
        self._owned = owned
        self._gained: dict[str, int] = {}
        self._leaving: dict[int, int] = {}  # index of a write with a release → number of its execution
        self._starting: dict[str, int] = {}  # uid → index of its write
        self._staying: set[str] = set()  # of what is started: not released at once
        self._children: dict[str, tuple[Header, str | None]] = {}  # uid → header, gate
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    def statement(self, sql: Statements, channel: str) -> tuple[Composed, dict[str, str]]:
        """The statement, and its parameters. Raises `BadWrite`."""
        self._sort()
        found = self._rows
        values = {"me": str(self._me), "channel": channel}
        parts: list[str] = []
        for part, kind in _PARTS:
            if part in found:
                kind.put(values, found[part])
                parts.append(part)
        if "heads" in found or "posted" in found:
            at = parts.index("posted") if "posted" in parts else len(parts)
            parts.insert(at, "locked")
            if "heads" in parts:
                parts.remove("heads")
            else:
                columns.HEADS.put(values, ())
            parts += ["news" if "posted" in parts else "no_news", "heads"]
        return sql.write(tuple(parts), fenced=True), values

    def judge(self, answer: Mapping[str, Any]) -> None:
        """Verdicts from what the statement returned. Raises `Fenced` (then nothing was changed)."""
        if not answer["alive"]:
            raise fenced(self._me)
        if self._starting:
            started = dict(zip(answer["started"], answer["started_nums"], strict=True))
            for uid, index in self._starting.items():
                if uid not in started:
                    self.verdicts[index] = ID_EXISTS
                elif uid in self._staying:
                    self._gained[uid] = started[uid]
        if self._children:
            born = zip(answer["born"], answer["born_nums"], strict=True)
            self._gained.update((uid, num) for uid, num in born if self._children[uid][0].owner == self._me)
        if self._leaving:
            unowned = set(answer["unowned"])
            for index, num in self._leaving.items():
                if num not in unowned:
                    self.verdicts[index] = AWAKE

    def settle(self, owned: dict[str, int]) -> None:
        """The commit is durable: bring `owned` up to date."""
        owned.update(self._gained)
        for index in self._leaving:
            if self.verdicts[index] is COMMITTED:
                del owned[self.writes[index].uid]

    # ------------------------------------------------------------ sorting

    def _add(self, part: str, row: tuple[Any, ...]) -> None:
        rows = self._rows.get(part)
        if rows is None:
            self._rows[part] = [row]
        else:
            rows.append(row)

    def _sort(self) -> None:
        """Sort what the writes ask for by table."""
        owned = self._owned
        extras: list[tuple[int, Write]] = []
        appended: list[tuple[Any, ...]] = []
        for index, write in enumerate(self.writes):
            if write.start is not None:
                extras.append((index, write))
                continue
            num = owned.get(write.uid)
            if num is None:
                self.verdicts[index] = NOT_OWNED
                continue
            row = write.row
            if row is not None:
                appended.append((num, _number(row.now), row.checksum, row.position, row.events, row.commands))
            if write.change is not None or write.release is not None:
                self._head(index, write, num)
            if (
                write.children
                or write.messages
                or write.consumed
                or write.audit
                or write.tasks
                or write.dropped
            ):
                extras.append((index, write))
        if appended:
            self._rows["appended"] = appended
        if extras:
            self._more(extras)

    def _head(self, index: int, write: Write, num: int) -> None:
        now = write.row.now if write.row is not None else None
        change, release = write.change, write.release
        new: tuple[Any, ...] = (False, None, None, None, None, None)
        if change is not None:
            new = (True, change.status, change.cause, change.result, change.detail, change.finished_at)
        leave: tuple[Any, ...] = (None, None, False)
        if release is not None:
            leave = (release.inbox_seq, release.wake_at, release.lost)
            self._leaving[index] = num
        self._add("heads", (num, *new, now, *leave))

    def _more(self, extras: list[tuple[int, Write]]) -> None:
        """What is less common: new executions, messages, the inbox, the audit."""
        writes = [write for _, write in extras]
        for index, write in extras:
            if write.start is not None:
                if write.start.uid != write.uid:
                    raise BadWrite(f"a write of {write.uid} starts {write.start.uid}")
                if write.uid in self._starting:
                    raise BadWrite(f"two writes start {write.uid}")
                self._starting[write.uid] = index
        for write in writes:
            self._mail(write)
        if self._children:
            self._check_ids(writes)
        counts = self._welcome(writes)
        for index, write in extras:
            if write.start is not None:
                self._start(index, write, write.start, counts[write.uid])
        for uid, (child, gate) in self._children.items():
            mine = child.owner == self._me
            owner, wake_at = (self._me, None) if mine else (None, 0.0)
            self._add("born", (*columns.header_values(child, owner, counts[uid], wake_at), gate))

    def _mail(self, write: Write) -> None:
        gate = write.uid if write.start is not None else None
        if gate is None:
            num = self._owned[write.uid]
            for seq in write.consumed:
                self._add("consumed", (num, seq))
        for record in write.audit:
            self._add("audited", columns.audit_values(record, gate))
        for action, direction in write.dropped:
            self._add("dropped", (write.uid, action, direction))
        for task in write.tasks:
            self._add("queued", columns.task_values(task, gate))
        for child in write.children:
            if child.uid in self._children or child.uid in self._starting:
                raise BadWrite(f"two executions of the uid {child.uid} at once")
            self._children[child.uid] = (child, gate)

    def _check_ids(self, writes: list[Write]) -> None:
        """A child whose id is also that of another new execution: which of them is first shows one by one."""
        new = [write.start for write in writes if write.start is not None]
        ids = Counter({(each.namespace, each.id): 1 for each in new})
        ids.update((child.namespace, child.id) for child, _ in self._children.values())
        if max(ids.values()) > 1:
            raise BadWrite("a child's id exists")

    def _welcome(self, writes: list[Write]) -> Counter[str]:
        """Messages to what exists go their way; those to what is new are counted into its header."""
        counts: Counter[str] = Counter()
        keys: set[tuple[str, str]] = set()
        for write in writes:
            gate = write.uid if write.start is not None else None
            for message in write.messages:
                uid, key = message.uid, message.key or None
                child = self._children.get(uid)
                if child is None and uid not in self._starting:
                    self._add("posted", (uid, key, message.event, gate))
                    continue
                if gate is not None and uid != gate and (child is None or child[1] != gate):
                    raise BadWrite("a message between two new executions")
                if key is not None:
                    if (uid, key) in keys:
                        continue
                    keys.add((uid, key))
                counts[uid] += 1
                mine = child is None or child[0].owner == self._me
                self._add("welcomed", (uid, key, message.event, self._me if mine else None, gate))
        return counts

    def _start(self, index: int, write: Write, header: Header, messages: int) -> None:
        """The row of a new execution, as the whole write leaves it."""
        change, row, release = write.change, write.row, write.release
        left = release is not None and release.inbox_seq == messages
        whose: tuple[int | None, int, float | None]
        if release is not None and left:
            whose = (None, messages, release.wake_at)
            lost = release.lost
        else:
            whose, lost = (self._me, messages, None), False
            self._staying.add(write.uid)
        if release is not None and not left:
            self.verdicts[index] = AWAKE
        values = list(columns.header_values(header, *whose, lost=lost))
        if change is not None:
            new = (change.status, change.cause, change.result, change.detail, change.finished_at)
            for place, value in zip(_CHANGING, new, strict=True):
                values[place] = value
        if row is not None:
            if change is not None or left:
                values[_UPDATED_AT] = row.now
            begun = (write.uid, _number(row.now), row.checksum, row.position, row.events, row.commands)
            self._add("begun", begun)
        self._add("started", tuple(values))


def _number(now: float) -> float:
    if now != now:  # noqa: PLR0124  # what a NaN is: the database would take it
        raise BadWrite("a time that is not a number")
    return now


_CHANGING = (6, 7, 22, 23, 19)  # status, cause, result, detail, finished_at in a row of STARTED
_UPDATED_AT = 18
_PARTS = (
    ("started", columns.STARTED),
    ("begun", columns.BEGUN),
    ("appended", columns.APPENDED),
    ("born", columns.BORN),
    ("welcomed", columns.WELCOMED),
    ("consumed", columns.CONSUMED),
    ("posted", columns.POSTED),
    ("heads", columns.HEADS),
    ("audited", columns.AUDITED),
    ("dropped", columns.DROPPED),
    ("queued", columns.QUEUED),
)
