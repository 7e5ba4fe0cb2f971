"""Starting a saga in somebody else's transaction: what a store says about it.

The caller's connection runs the statements, and the caller commits.  So the execution's header is inserted
as `ClientSide.create` would insert it, unowned and due, by SQL that any driver can run; workers hear of it by
the commit (PostgreSQL delivers the notification then; on SQLite the file has changed) and claim it as they
claim anything.  Nothing of the engine's is involved before that: a rollback, also to a savepoint, leaves no
trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .port import Header

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Enlistment:
    """The statements, with values written ``:name``, each name once.

    dialect: as SQLAlchemy calls it.  where: the database, for people.  admit: raises `StoreError` for a
    connection object that must not be used, before anything is sent on it.  identify: its rows say which
    database a connection leads to; `verify` raises `StoreError` unless it is the store's.  create inserts the
    `values` of a header; it yields a row, or none when the id (or uid) exists.  find (``:namespace``,
    ``:id``) yields the row that `read` makes a header of, with no more than uid, id, saga and input.
    """

    dialect: str
    where: str
    admit: Callable[[Any], None]
    identify: str
    verify: Callable[[Rows], None]
    create: str
    values: Callable[[Header], Mapping[str, Any]]
    find: str
    key: Callable[[Header], Mapping[str, Any]]
    read: Callable[[tuple[Any, ...]], Header]


@runtime_checkable
class Enlists(Protocol):
    """A store whose executions can be created on a connection of the caller's."""

    async def enlistment(self) -> Enlistment:
        """Raises `StoreError` when the store must be open for it, and is not."""
        ...
