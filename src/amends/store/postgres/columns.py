"""Rows of Python values turned into the parameters of a statement: one array literal a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..port import AuditRecord, Header
from ..queueing import Task, kept
from .literals import maybe_texts, numbers, texts, truths

Column = Callable[[Any], str]


class Columns:
    """The columns of one part of a statement: the prefix of its parameters, and how each is written."""

    def __init__(self, prefix: str, **columns: Column) -> None:
        self._names = [f"{prefix}_{name}" for name in columns]
        self._columns = list(columns.values())
        self._empty = dict.fromkeys(self._names, "{}")

    def put(self, values: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Add the parameters for these rows."""
        if not rows:
            values.update(self._empty)
            return
        for name, write, column in zip(self._names, self._columns, zip(*rows, strict=True), strict=True):
            values[name] = write(column)


_EXECUTION: dict[str, Column] = {
    "uid": texts, "namespace": texts, "id": texts, "partition": numbers, "saga": texts, "version": texts,
    "status": texts, "cause": texts, "owner": numbers, "inbox_seq": numbers, "wake_at": numbers,
    "lost": truths, "root": texts, "parent": texts, "parent_action": texts, "depth": numbers,
    "deadline": numbers, "created_at": numbers, "updated_at": numbers, "finished_at": numbers,
    "attributes": texts, "input": texts, "result": maybe_texts, "detail": maybe_texts,
}  # fmt: skip

STARTED = Columns("s", **_EXECUTION)
BORN = Columns("c", **_EXECUTION, gate=maybe_texts)
BEGUN = Columns("b", uid=texts, now=numbers, checksum=numbers, position=numbers, events=texts, commands=texts)
APPENDED = Columns(
    "r", execution=numbers, now=numbers, checksum=numbers, position=numbers, events=texts, commands=texts
)
WELCOMED = Columns("w", uid=texts, key=maybe_texts, event=texts, owner=numbers, gate=maybe_texts)
CONSUMED = Columns("g", execution=numbers, seq=numbers)
POSTED = Columns("m", uid=texts, key=maybe_texts, event=texts, gate=maybe_texts)
HEADS = Columns(
    "h", num=numbers, changes=truths, status=maybe_texts, cause=maybe_texts, result=maybe_texts,
    detail=maybe_texts, finished_at=numbers, now=numbers, seen=numbers, wake_at=numbers, lost=truths,
)  # fmt: skip
AUDITED = Columns(
    "a", at=numbers, uid=texts, by=texts, action=texts, reason=texts, detail=texts, gate=maybe_texts
)

DROPPED = Columns("d", uid=texts, action=texts, direction=texts)
QUEUED = Columns(
    "q", uid=texts, action=texts, direction=texts, namespace=texts, queue=texts, step=texts, call=texts,
    attempt=numbers, key=texts, pool=texts, priority=numbers, delay=numbers, gate=maybe_texts,
)  # fmt: skip


def header_values(
    header: Header, owner: int | None, inbox_seq: int, wake_at: float | None, *, lost: bool = False
) -> tuple[Any, ...]:
    """A header as a row of STARTED (and of BORN, without its gate)."""
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
        inbox_seq,
        wake_at,
        lost,
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


def audit_values(record: AuditRecord, gate: str | None = None) -> tuple[Any, ...]:
    """An audit record as a row of AUDITED."""
    return (record.at, record.uid, record.by, record.action, record.reason, record.detail, gate)


def task_values(task: Task, gate: str | None) -> tuple[Any, ...]:
    """A task as a row of QUEUED."""
    return (*kept(task), task.delay, gate)
