"""Tasks that run at once, up to their first wait.

Python 3.12 and later can start a task eagerly.  Python 3.11 queues its first step; there we take it from
the end of the loop's queue, where the task has just put it, and run it as the loop would, with whatever task
is running set aside meanwhile.  That is possible only in asyncio's own loops; elsewhere the task starts with
the loop's next turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

if sys.version_info >= (3, 12):

    def start_eagerly(
        coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: Context, name: str
    ) -> asyncio.Task[T]:
        """A task that has run to its first wait (or to its end)."""
        return asyncio.Task(coroutine, loop=loop, context=context, name=name, eager_start=True)

else:
    from asyncio.tasks import Task, _current_tasks, _enter_task, _leave_task  # type: ignore[attr-defined]

    def start_eagerly(
        coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: Context, name: str
    ) -> asyncio.Task[T]:
        """A task that has run to its first wait (or to its end), where that is possible."""
        task = Task(coroutine, loop=loop, context=context, name=name)
        queue: Any = getattr(loop, "_ready", None)
        if queue:
            step = queue.pop()
            around = _current_tasks.get(loop)
            if around is None:
                step._context.run(step._callback, *step._args)
            else:
                _leave_task(loop, around)
                try:
                    step._context.run(step._callback, *step._args)
                finally:
                    _enter_task(loop, around)
        return task
