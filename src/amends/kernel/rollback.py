"""A savepoint's rollback in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import within

if TYPE_CHECKING:
    from .loop import SagaTask
    from .program import ActionFuture, Program


class Rollback:
    """First the tasks created inside end (settling their actions), then the members are undone."""

    __slots__ = ("future", "scope", "task", "tasks")

    def __init__(self, scope: str, task: SagaTask, future: ActionFuture) -> None:
        self.scope = scope
        self.task = task
        self.future = future
        self.tasks: list[SagaTask] = []

    def cancel_tasks(self, program: Program | None) -> None:
        """Cancel what was created inside the savepoint and still runs."""
        if program is None:
            return
        self.tasks = [
            t
            for t in program.loop.tasks
            if t is not self.task and not t.done() and within(t.scope, self.scope)
        ]
        for task in self.tasks:
            task.cancel("the savepoint is rolled back")

    @property
    def quiet(self) -> bool:
        """Have the inner tasks ended?"""
        return all(t.done() for t in self.tasks)
