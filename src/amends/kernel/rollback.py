"""A savepoint's rollback in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import within

if TYPE_CHECKING:
    from .backward import Plan
    from .loop import SagaTask
    from .program import Program
    from .run import ActionFuture


class Rollback:
    """First the tasks created inside end (settling their actions), then the members are undone.

    They are cancelled once. What they create while they clean up is a member too, and is waited for.
    """

    __slots__ = ("future", "plan", "scope", "task")

    def __init__(self, scope: str, task: SagaTask, future: ActionFuture) -> None:
        self.scope = scope
        self.task = task
        self.future = future
        self.plan: Plan | None = None  # made when the tasks have ended

    def running(self, program: Program | None) -> list[SagaTask]:
        """The tasks created inside that have not ended."""
        tasks = [] if program is None else program.loop.tasks
        return [t for t in tasks if t is not self.task and not t.done() and within(t.scope, self.scope)]
