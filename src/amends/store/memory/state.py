"""What the memory store remembers: executions with their journals and inboxes, fences, audit records.

Executions that sleep stand in a heap by the time they are due, one for each saga of a namespace; an entry
that no longer holds (claimed meanwhile, or due at another time) is skipped when it comes up.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterable

import msgspec

from ...errors import StoreFull
from ...kernel.entries import Row
from ..pausing import Pause
from ..port import AuditRecord, Header, Key, Message
from .tasks import Tasks


class Execution:
    """One execution with all that belongs to it."""

    __slots__ = ("death_head", "deaths", "header", "inbox", "lost", "lost_by", "num", "parked", "rows")

    def __init__(self, header: Header, num: int) -> None:
        self.header = header
        self.num = num  # counts up: the order of creation
        self.rows: dict[int, Row] = {}
        self.inbox: dict[int, Message] = {}
        self.lost = False
        self.lost_by: int | None = None
        self.deaths = 0
        self.death_head = 0
        self.parked: tuple[str, str, str | None] | None = None

    @property
    def head(self) -> int:
        """Position of the next row."""
        return max(self.rows) + 1 if self.rows else 0

    def journal(self) -> list[Row]:
        """The rows in order (they are frozen: no copy needed)."""
        return [self.rows[position] for position in sorted(self.rows)]

    def waiting(self, after: int = 0) -> list[Message]:
        """Copies of the messages in the inbox with `seq` over `after`, in order."""
        return [copy.copy(message) for seq, message in sorted(self.inbox.items()) if seq > after]


class State:
    """Everything. `capacity` limits rows, executions and messages together (None: no limit)."""

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.executions: dict[str, Execution] = {}
        self.uids: dict[tuple[str, str], str] = {}
        self.fences: dict[int, bool] = {}  # by incarnation: is it alive?
        self.audit: list[AuditRecord] = []
        self.keys: dict[str, Key] = {}
        self.pauses: dict[tuple[str, str], Pause] = {}
        self.used = 0
        self._created = 0
        self._messages = 0
        self._due: dict[tuple[str, str], list[tuple[float, int, str]]] = {}
        self.tasks = Tasks(self)

    def make_room(self, more: int) -> None:
        """Raise `StoreFull` unless so many more things fit."""
        if self.capacity is not None and self.used + more > self.capacity:
            raise StoreFull(
                f"the memory store holds {self.used} things and may hold {self.capacity}",
                hint="raise its `capacity`; held work continues by itself once there is room",
            )

    def has(self, header: Header) -> bool:
        """Is the id or the uid taken?"""
        return (header.namespace, header.id) in self.uids or header.uid in self.executions

    def add(self, header: Header, owner: int | None) -> Execution:
        """A new execution: owned, or unowned and due."""
        fresh = msgspec.structs.replace(header, owner=owner, inbox_seq=0, wake_at=None)
        self._created += 1
        execution = Execution(fresh, self._created)
        self.executions[header.uid] = execution
        self.uids[header.namespace, header.id] = header.uid
        self.used += 1
        if owner is None:
            self.let_sleep(execution, 0.0)
        return execution

    def remove(self, execution: Execution) -> None:
        """Forget an execution with its rows, messages and audit records."""
        header = execution.header
        del self.executions[header.uid], self.uids[header.namespace, header.id]
        self.used -= 1 + len(execution.rows) + len(execution.inbox)
        self.tasks.forget(header.uid)
        self.audit = [record for record in self.audit if record.uid != header.uid]

    def append(self, execution: Execution, row: Row) -> None:
        """Add a journal row."""
        execution.rows[row.position] = row
        self.used += 1

    def consume(self, execution: Execution, seqs: Iterable[int]) -> None:
        """Remove messages that the journal holds by now."""
        for seq in seqs:
            if execution.inbox.pop(seq, None) is not None:
                self.used -= 1

    def put(self, message: Message) -> None:
        """Put a message into its receiver's inbox and wake it; drop it when its key already waits."""
        execution = self.executions[message.uid]
        if message.key and any(other.key == message.key for other in execution.inbox.values()):
            return
        self._messages += 1
        seq = self._messages
        execution.inbox[seq] = msgspec.structs.replace(message, seq=seq)
        execution.header.inbox_seq += 1
        self.used += 1
        if execution.header.owner is None and execution.parked is None:
            self.let_sleep(execution, 0.0)

    def let_sleep(self, execution: Execution, wake_at: float | None) -> None:
        """The execution is unowned until `wake_at` (None: until a message)."""
        execution.header.owner = None
        execution.header.wake_at = wake_at
        if wake_at is not None:
            header = execution.header
            due = self._due.setdefault((header.namespace, header.saga), [])
            heapq.heappush(due, (wake_at, execution.num, execution.header.uid))

    def next_due(self) -> list[Execution]:
        """Of each saga of each namespace the unowned execution that is due first, if no pause covers it."""
        return [
            execution
            for of, due in self._due.items()
            if not (self.pauses and self._paused(*of)) and (execution := self._first(due)) is not None
        ]

    def _paused(self, namespace: str, saga: str) -> bool:
        return (namespace, saga) in self.pauses or (namespace, "") in self.pauses

    def _first(self, due: list[tuple[float, int, str]]) -> Execution | None:
        while due:
            wake_at, _, uid = due[0]
            execution = self.executions.get(uid)
            header = None if execution is None else execution.header  # None: pruned
            if header is not None and header.owner is None and header.wake_at == wake_at:
                return execution
            heapq.heappop(due)
        return None

    def owned_by(self, incarnation: int | None = None) -> list[Execution]:
        """Executions that this incarnation owns (None: that anybody owns)."""
        return [
            execution
            for execution in self.executions.values()
            if execution.header.owner is not None and incarnation in {None, execution.header.owner}
        ]
