"""TaskGroup and exception groups."""

from __future__ import annotations

import asyncio

from .world import Bang, Boom, program, say, shape, work

STABLE_COUNT = (
    "3.13 takes the group's own cancel request back after its tasks have ended, so the count stays right"
)


@program
async def group_of_steps() -> list[str]:
    async with asyncio.TaskGroup() as group:
        a = group.create_task(work("a", 3))
        b = group.create_task(work("b", 1))
    return [a.result(), b.result()]


@program
async def group_of_nothing() -> None:
    async with asyncio.TaskGroup():
        say("inside")


@program
async def group_one_fails() -> None:
    async def sleeper(name: str) -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say(name, "cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for name in "abcdefgh":
                group.create_task(sleeper(name))
            group.create_task(work("bad", 1, fail="boom: in a group"))
            say("body ends")
    except* Boom as caught:
        say("caught", shape(caught))


@program
async def group_steps_are_aborted() -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("a", 5))
            group.create_task(work("b", 6))
            group.create_task(work("bad", 1, fail="boom: now"))
    except* Boom as caught:
        say("caught", shape(caught))
    await work("after")


@program
async def group_many_aborted_in_order() -> None:
    async def sleeper(n: int) -> None:
        try:
            await asyncio.sleep(50)
        finally:
            say("abort", n)

    try:
        async with asyncio.TaskGroup() as group:
            for n in range(30):
                group.create_task(sleeper(n))
            await asyncio.sleep(1)
            raise Boom("body")
    except* Boom as caught:
        say("caught", shape(caught))


@program
async def group_two_fail_at_once() -> None:
    start = asyncio.Event()

    async def fails(error: Exception) -> None:
        await start.wait()
        raise error

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(Boom("one")))
            group.create_task(fails(Bang("two")))
            await work("a")
            start.set()
    except BaseExceptionGroup as caught:
        say("caught", shape(caught))


@program
async def group_fails_while_cleaning_up() -> None:
    async def clumsy() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            raise Bang("while cleaning up")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(clumsy())
            group.create_task(work("bad", 1, fail="boom: first"))
    except* (Boom, Bang) as caught:
        say("caught", shape(caught))


@program
async def group_body_fails() -> None:
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work("a", 5))
            await work("b", 1)
            raise ValueError("the body's own")
    except* ValueError as caught:
        say("caught", shape(caught), task.cancelled())


@program
async def group_uncaught() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work("a", 1, fail="boom: a"))
        group.create_task(work("b", 1))


@program
async def groups_in_groups() -> None:
    async def inner() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("x", 1, fail="boom: x"))
            group.create_task(work("y", 2))

    try:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(inner())
            outer.create_task(work("z", 5))
    except BaseExceptionGroup as caught:
        say("caught", shape(caught))


@program
async def except_star_splits() -> None:
    start = asyncio.Event()

    async def fails(error: Exception) -> None:
        await start.wait()
        raise error

    try:
        try:
            async with asyncio.TaskGroup() as group:
                for error in (Boom("1"), Bang("2"), ValueError("3")):
                    group.create_task(fails(error))
                start.set()
        except* Boom as some:
            say("some", shape(some))
        except* Bang as others:
            say("others", shape(others))
    except ExceptionGroup as rest:
        say("rest", shape(rest))


@program
async def raising_in_except_star() -> None:
    try:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work("a", 1, fail="boom: a"))
        except* Boom:
            raise Bang("instead") from None
    except ExceptionGroup as caught:
        say("caught", shape(caught))


@program
async def group_task_creates_tasks() -> list[str]:
    done: list[str] = []

    async def branch(group: asyncio.TaskGroup, name: str, depth: int) -> None:
        done.append(await work(name))
        if depth:
            group.create_task(branch(group, name + "l", depth - 1))
            group.create_task(branch(group, name + "r", depth - 1))

    async with asyncio.TaskGroup() as group:
        group.create_task(branch(group, "t", 2))
    return done


@program
async def group_is_used_wrongly() -> None:
    group = asyncio.TaskGroup()

    async def other() -> None:
        say("must not be said")

    coroutine = other()
    try:
        group.create_task(coroutine)
    except RuntimeError as error:
        say(type(error).__name__)
        coroutine.close()
    async with group:
        await work("a")
    coroutine = other()
    try:
        group.create_task(coroutine)
    except RuntimeError as error:
        say(type(error).__name__)
        coroutine.close()


@program
async def group_survives_a_cancelled_child() -> None:
    async with asyncio.TaskGroup() as group:
        child = group.create_task(asyncio.sleep(9))
        group.create_task(work("a", 2))
        await asyncio.sleep(1)
        child.cancel()
    say(child.cancelled())


@program
async def group_child_swallows_the_abort() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say("stubborn")
            await asyncio.sleep(3)
        return "stayed"

    try:
        async with asyncio.TaskGroup() as group:
            child = group.create_task(stubborn())
            group.create_task(work("bad", 1, fail="boom: now"))
    except* Boom:
        say("after", child.result())


@program
async def group_cancelled_as_a_whole() -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(9))
            await asyncio.sleep(9)

    task = asyncio.create_task(run())
    await work("a", 1)
    task.cancel("stop")
    try:
        await task
    except asyncio.CancelledError as error:
        say("caught", str(error), task.cancelled())


@program(since=(3, 13), why=STABLE_COUNT)
async def timeout_after_a_failed_group() -> None:
    async with asyncio.timeout(5):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work("bad", 1, fail="boom: now"))
        except* Boom:
            say("caught", asyncio.current_task().cancelling())  # type: ignore[union-attr]
        await asyncio.sleep(9)


@program(since=(3, 13), why=STABLE_COUNT)
async def counts_around_groups() -> None:
    me = asyncio.current_task()
    assert me is not None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("bad", 1, fail="boom: in exit"))
    except* Boom:
        say("in exit", me.cancelling())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("bad", 1, fail="boom: in the body"))
            await asyncio.sleep(9)
    except* Boom:
        say("in the body", me.cancelling())


@program(since=(3, 13), why="3.13 cancels again when a group failed while its parent was being cancelled")
async def group_fails_while_cancelled() -> None:
    async def clumsy() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            raise Bang("while cleaning up")

    async def run() -> None:
        me = asyncio.current_task()
        assert me is not None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(clumsy())
                await asyncio.sleep(9)
        except* Bang as caught:
            say("caught", shape(caught), me.cancelling())
        try:
            await work("after")
            say("went on")
        except asyncio.CancelledError:
            say("cancelled again")
            raise

    task = asyncio.create_task(run())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def group_fails_in_a_timeout_at_once() -> None:
    try:
        async with asyncio.timeout(0), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            raise Boom("in the body")
    except* Boom as caught:
        say("caught", shape(caught), asyncio.current_task().cancelling())  # type: ignore[union-attr]
    await work("after")


@program
async def nested_groups_fail_together() -> None:
    try:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(work("o", 1, fail="boom: outer"))
            try:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(work("i", 1, fail="bang: inner"))
                    await asyncio.sleep(9)
            except* Bang as caught:
                say("inner", shape(caught))
            say("between", asyncio.current_task().cancelling())  # type: ignore[union-attr]
            await asyncio.sleep(9)
    except* Boom as caught:
        say("outer", shape(caught))
    say("end", asyncio.current_task().cancelling())  # type: ignore[union-attr]
