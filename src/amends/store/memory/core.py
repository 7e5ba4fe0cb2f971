"""What the parts of the store in memory share: who has it open, who works, and what changed."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from ...errors import Fenced, StoreError, UnknownName
from .batch import unstorable
from .state import Execution, State


class Core:
    """Life, and what both sides share."""

    def __init__(self, *, capacity: int | None = None) -> None:
        self._state = State(capacity)
        self._opened = 0
        self._worker: int | None = None
        self._standbys: list[asyncio.Future[None]] = []
        self._shares: dict[str, float] = {}
        self._generation = 0
        self._callers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()

    @property
    def capacity(self) -> int | None:
        """How many rows, executions and messages may be held together; None: no limit."""
        return self._state.capacity

    @capacity.setter
    def capacity(self, limit: int | None) -> None:
        self._state.capacity = limit

    async def open(self) -> None:
        """Count one more user."""
        self._opened += 1

    async def close(self) -> None:
        """Count one user less; with the last goes the worker, if it did not retire (as if it had died)."""
        self._opened = max(0, self._opened - 1)
        if not self._opened:
            self._free_worker()

    def abandon(self) -> None:
        """The worker vanishes as if killed, and with it one user (for simulations of crashes)."""
        self._opened = max(0, self._opened - 1)
        self._free_worker()

    async def tidy(self) -> None:
        """Nothing to tidy."""

    async def changed(self) -> bool:
        """May anybody have created, sent or unparked since this task last asked?"""
        self._check_open()
        caller = asyncio.current_task()
        if caller is None:
            return True
        seen, now = self._callers.get(caller), self._generation + self._state.tasks.changes
        self._callers[caller] = now
        return seen != now

    def _check_open(self) -> None:
        if not self._opened:
            raise StoreError(
                "the store is not open",
                hint="use it inside `async with` of its engine or client",
            )

    def _check_fence(self, incarnation: int) -> None:
        self._check_open()
        if not self._state.fences.get(incarnation):
            raise Fenced(
                f"worker incarnation {incarnation} is retired; nothing it writes counts any more",
                hint="register again and take the work up from the journal",
            )

    def _execution(self, uid: str) -> Execution:
        execution = self._state.executions.get(uid)
        if execution is None:
            raise UnknownName(f"no execution has the uid {uid!r}")
        return execution

    def _unpark(self, execution: Execution) -> None:
        assert execution.parked is not None
        header = execution.header
        header.status, header.cause, header.detail = execution.parked
        execution.parked = None
        execution.deaths = 0
        self._state.let_sleep(execution, 0.0)

    def _free_worker(self) -> None:
        self._worker = None
        standbys, self._standbys = self._standbys, []
        for future in standbys:
            future.get_loop().call_soon_threadsafe(_wake, future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def check_storable(*values: Any) -> None:
    """Raises `StoreError` for what no database could keep."""
    if reason := unstorable(values):
        raise StoreError(f"a value cannot be stored: {reason}; nothing was changed")
