"""Attempts run at once up to their first wait, as ordinary tasks."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from amends.eager import start_eagerly

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def from_a_callback(body: Any) -> list[Any]:
    """Start `body` from a plain callback of the loop; what had happened when `start_eagerly` returned, and
    in the end."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        said: list[Any] = []
        made: asyncio.Future[asyncio.Task[None]] = loop.create_future()

        def begin() -> None:
            context = copy_context()
            context.run(WHO.set, "the step")
            task = start_eagerly(body(said), loop, context, "a")
            said.append(("returned", task.done()))
            made.set_result(task)

        loop.call_soon(begin)
        task = await made
        await asyncio.wait_for(asyncio.shield(task), 5) if not task.done() else None
        said.append(("ended", task.done()))
        return said

    return asyncio.run(main())


def test_what_waits_for_nothing_has_ended_when_it_was_started() -> None:
    async def body(said: list[Any]) -> None:
        said.append(WHO.get())

    assert from_a_callback(body) == ["the step", ("returned", True), ("ended", True)]


def test_what_waits_goes_on_later() -> None:
    async def body(said: list[Any]) -> None:
        said.append("before")
        await asyncio.sleep(0)
        said.append(WHO.get())

    assert from_a_callback(body) == ["before", ("returned", False), "the step", ("ended", True)]


def test_it_is_a_real_task_from_its_first_line() -> None:
    async def body(said: list[Any]) -> None:
        first = asyncio.current_task()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        said.append(first is not None and asyncio.current_task() is first)

    assert from_a_callback(body) == [("returned", False), True, ("ended", True)]


def test_inside_a_task_it_runs_at_once_too_as_a_task_of_its_own() -> None:
    async def body(said: list[Any]) -> None:
        said.append(asyncio.current_task())
        await asyncio.sleep(0)
        said.append(asyncio.current_task())

    async def main() -> None:
        said: list[Any] = []
        around = asyncio.current_task()
        task = start_eagerly(body(said), asyncio.get_running_loop(), copy_context(), "a")
        assert said == [task]
        assert asyncio.current_task() is around
        await task
        assert said == [task, task]

    asyncio.run(main())


def test_one_within_the_other_and_the_inner_fails() -> None:
    async def inner() -> None:
        raise ValueError("no")

    async def outer(said: list[Any]) -> None:
        me = asyncio.current_task()
        task = start_eagerly(inner(), asyncio.get_running_loop(), copy_context(), "b")
        said.append((task.done(), asyncio.current_task() is me))
        with pytest.raises(ValueError, match="no"):
            await task

    assert from_a_callback(outer)[0] == (True, True)


def test_other_callbacks_keep_their_order() -> None:
    async def main() -> list[str]:
        loop, said = asyncio.get_running_loop(), []
        done = loop.create_future()

        async def body() -> None:
            said.append("step")

        def begin() -> None:
            loop.call_soon(said.append, "queued before")
            start_eagerly(body(), loop, copy_context(), "a")
            loop.call_soon(said.append, "queued after")
            loop.call_soon(done.set_result, None)

        loop.call_soon(begin)
        await done
        return said

    assert asyncio.run(main()) == ["step", "queued before", "queued after"]


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
def test_an_error_ends_only_the_task(error: BaseException) -> None:
    async def body(said: list[Any]) -> None:
        try:
            raise error
        except BaseException as raised:
            said.append(raised)

    assert from_a_callback(body) == [error, ("returned", True), ("ended", True)]
