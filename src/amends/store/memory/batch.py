"""One commit in memory: judge every write first, then carry out those that stand.

The order of effects is that of the port: starts, children, rows, changes; then consumed messages go and new
ones come; then releases, which thus see the messages of the whole batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..port import AWAKE, COMMITTED, SLEPT, Code, Header, Verdict, Write
from .state import Execution, State

ID_EXISTS = Verdict(Code.CONFLICT, reason="an execution of that id exists")
NOT_OWNED = Verdict(Code.CONFLICT, reason="this worker does not own the execution")


def commit(state: State, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
    """Apply a batch; the fence has been checked. Raises `StoreFull` (nothing changed)."""
    verdicts = _Judge(state, incarnation).judge(writes)
    standing = [(index, write) for index, write in enumerate(writes) if verdicts[index] is COMMITTED]
    state.make_room(sum(_size(write) for _, write in standing))
    for _, write in standing:
        if write.start is not None:
            state.add(write.start, incarnation)
    for _, write in standing:
        for child in write.children:
            state.add(child, incarnation if child.owner == incarnation else None)
    for _, write in standing:
        _journal(state, write)
    for _, write in standing:
        state.consume(state.executions[write.uid], write.consumed)
        state.audit += map(copy.copy, write.audit)
    for _, write in standing:
        for message in write.messages:
            state.put(message)
    for index, write in standing:
        if write.release is not None:
            verdicts[index] = _release(state, write)
    return verdicts


def _size(write: Write) -> int:
    return (
        (write.start is not None) + (write.row is not None) + len(write.children) + len(write.messages)
    ) - len(write.consumed)


def _journal(state: State, write: Write) -> None:
    execution = state.executions[write.uid]
    if write.row is not None:
        state.append(execution, write.row)
    if write.tasks or write.dropped:
        state.tasks.written(write)
    change = write.change
    if change is not None:
        header = execution.header
        header.status, header.cause = change.status, change.cause
        header.result, header.detail = change.result, change.detail
        header.finished_at = change.finished_at
        _touch(execution, write)


def _release(state: State, write: Write) -> Verdict:
    execution = state.executions[write.uid]
    release = write.release
    assert release is not None
    if execution.header.inbox_seq != release.inbox_seq:
        return AWAKE
    execution.lost = release.lost
    if release.lost:
        execution.death_head = SLEPT
    state.let_sleep(execution, release.wake_at)
    _touch(execution, write)
    return COMMITTED


def _touch(execution: Execution, write: Write) -> None:
    if write.row is not None:
        execution.header.updated_at = write.row.now


class _Judge:
    """Verdicts of the writes of a batch in turn, each seeing what those before it will have done."""

    def __init__(self, state: State, incarnation: int) -> None:
        self._state = state
        self._incarnation = incarnation
        self._uids: set[str] = set()
        self._started: set[str] = set()
        self._ids: set[tuple[str, str]] = set()
        self._rows: set[tuple[str, int]] = set()

    def judge(self, writes: Sequence[Write]) -> list[Verdict]:
        """One verdict per write (not yet about its release)."""
        return [self._verdict(write) for write in writes]

    def _verdict(self, write: Write) -> Verdict:
        born = [header for header in (write.start, *write.children) if header is not None]
        if not self._all_new(born):
            return ID_EXISTS
        if write.start is None and not self._owned(write.uid):
            return NOT_OWNED
        if write.row is not None and self._taken(write.uid, write.row.position):
            reason = f"the journal has a row at position {write.row.position}"
            return Verdict(Code.CONFLICT, reason=reason)
        born_uids = {header.uid for header in born}
        reason = unstorable(write) or _collision(write, born) or self._unreachable(write, born_uids)
        if reason:
            return Verdict(Code.POISON, reason=reason)
        if write.start is not None:
            self._started.add(write.uid)
        self._uids |= born_uids
        self._ids |= {(header.namespace, header.id) for header in born}
        if write.row is not None:
            self._rows.add((write.uid, write.row.position))
        return COMMITTED

    def _all_new(self, born: list[Header]) -> bool:
        return not any(
            self._state.has(header) or header.uid in self._uids or (header.namespace, header.id) in self._ids
            for header in born
        )

    def _owned(self, uid: str) -> bool:
        execution = self._state.executions.get(uid)
        return uid in self._started or (execution is not None and execution.header.owner == self._incarnation)

    def _taken(self, uid: str, position: int) -> bool:
        execution = self._state.executions.get(uid)
        return (uid, position) in self._rows or (execution is not None and position in execution.rows)

    def _unreachable(self, write: Write, born: set[str]) -> str:
        for message in write.messages:
            uid = message.uid
            if uid not in self._state.executions and uid not in self._uids and uid not in born:
                return f"a message to the unknown execution {uid}"
        return ""


def _collision(write: Write, born: list[Header]) -> str:
    """Does a write start two executions of one id, or another one than its own? No retry will help it."""
    if write.start is not None and write.start.uid != write.uid:
        return f"a write of {write.uid} starts {write.start.uid}"
    ids = {(header.namespace, header.id) for header in born}
    uids = {header.uid for header in born}
    return "" if len(ids) == len(born) == len(uids) else "the write starts two executions of one id"


def unstorable(value: Any) -> str:
    """Why a database could not store this value (no UTF-8, a NaN, a huge integer); empty if it could."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return str(error)
    elif isinstance(value, float):
        return "NaN cannot be stored" if value != value else ""  # noqa: PLR0124  # what a NaN is
    elif isinstance(value, int):
        return "" if -(1 << 63) <= value < 1 << 63 else "an integer over 64 bits cannot be stored"
    elif isinstance(value, msgspec.Struct):
        return _first_unstorable(getattr(value, name) for name in value.__struct_fields__)
    elif isinstance(value, (list, tuple)):
        return _first_unstorable(value)
    return ""


def _first_unstorable(values: Iterable[Any]) -> str:
    for value in values:
        if value is None or (type(value) is str and value.isascii()):
            continue  # most are, and there are many
        said = unstorable(value)
        if said:
            return said
    return ""
