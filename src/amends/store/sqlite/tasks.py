"""The part that queued tasks have in a commit (see `store.queueing`)."""

from __future__ import annotations

from typing import Any

import apsw

from ..queueing import Task, kept
from .sql import load

SQL = load("tasks.sql")
_ADD, _DROP = SQL.bulk("add"), SQL.bulk("drop")


def values(task: Task) -> tuple[Any, ...]:
    """A task as one row of the statement `add`."""
    state = "delayed" if task.delay > 0 else "waiting"
    return (*kept(task), state, task.at + task.delay)


def write(db: apsw.Connection, dropped: list[Any], added: list[Any]) -> None:
    """The part of a commit: tasks whose end is journaled, and tasks that are issued."""
    _DROP.run(db.execute, dropped)
    _ADD.run(db.execute, added)
