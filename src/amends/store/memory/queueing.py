"""Queues, in memory (see `tasks`)."""

from __future__ import annotations

from collections.abc import Sequence

from ..queueing import (
    Ask,
    Pulse,
    QueueLimits,
    QueueStatus,
    Standing,
    Taken,
    TaskKey,
    TaskReport,
    TaskStatus,
    Token,
)
from .core import Core


class QueuePart(Core):
    """What queues need."""

    async def take_tasks(self, ask: Ask, now: float) -> Taken:
        """Lease tasks of a queue."""
        self._check_open()
        taken = self._state.tasks.take(ask, now)
        self._generation += taken.ended
        return taken

    async def renew_tasks(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """Move leases on, where they are still held."""
        self._check_open()
        return self._state.tasks.renew(pulses, lease, now)

    async def report_tasks(self, reports: Sequence[TaskReport]) -> list[bool]:
        """Tell owners of ends, where the lease is still held."""
        self._check_open()
        self._generation += 1
        return self._state.tasks.report(reports)

    async def return_tasks(self, tokens: Sequence[Token]) -> None:
        """Give back what was taken and not begun."""
        self._check_open()
        self._state.tasks.give_back(tokens)

    async def cancel_tasks(self, keys: Sequence[TaskKey]) -> list[bool]:
        """End what nobody has taken; holders of the rest hear it when they renew."""
        self._check_open()
        self._generation += 1
        return self._state.tasks.cancel(keys)

    async def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """All queues, by name."""
        self._check_open()
        return self._state.tasks.queues(namespace, now)

    async def set_queue(
        self, namespace: str, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None
    ) -> None:
        """Change a queue's settings."""
        self._check_open()
        self._state.tasks.set(namespace, name, paused, limits)

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """The tasks of an execution."""
        self._check_open()
        return self._state.tasks.of(uid)
