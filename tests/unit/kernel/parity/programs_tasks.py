"""Awaiting, tasks and gather."""

from __future__ import annotations

import asyncio
from typing import Any

from .world import Bang, Boom, program, say, shape, work


@program
async def nothing() -> None:
    say("here")


@program
async def one_step() -> str:
    return await work("a", 2)


@program
async def steps_in_a_row() -> list[str]:
    return [await work(name, 1) for name in "abcde"]


@program
async def failing_step() -> None:
    await work("a", 1, fail="boom: no luck")


@program
async def failing_step_caught() -> str:
    try:
        await work("a", 1, fail="boom: no luck")
    except Boom as error:
        say("caught", shape(error))
    finally:
        say("finally")
    return await work("b", 1)


@program
async def failure_of_its_own() -> None:
    await work("a")
    raise ValueError("mine")


@program
async def coroutines_in_coroutines() -> str:
    async def inner(name: str) -> str:
        say("in", name)
        got = await work(name)
        say("out", name)
        return got

    async def middle() -> str:
        return await inner("a") + await inner("b")

    return await middle() + await middle()


@program
async def task_and_body() -> list[str]:
    async def other() -> str:
        say("other begins")
        await work("b", 1)
        say("other ends")
        return "b"

    task = asyncio.create_task(other())
    say("created")
    first = await work("a", 2)
    return [first, await task]


@program
async def task_of_a_step() -> list[str]:
    tasks = [asyncio.create_task(work(name, 4 - n)) for n, name in enumerate("abc")]
    for task in tasks:
        task.add_done_callback(lambda done: say("done", done.result()))
    return [await task for task in tasks]


@program
async def task_never_awaited() -> str:
    async def other() -> None:
        try:
            await work("b", 1)
            say("other")
            await asyncio.sleep(100)
        finally:
            say("other unwinds")

    asyncio.create_task(other())  # noqa: RUF006 - that is the case
    return await work("a", 3)


@program
async def task_never_started() -> str:
    async def other() -> None:
        say("must not be said")

    asyncio.create_task(other()).cancel()
    await asyncio.sleep(0)
    return "ok"


@program
async def step_task_never_started() -> str:
    task = asyncio.create_task(work("b", 5))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        say("cancelled", task.cancelled())
    return await work("a", 1)


@program
async def done_callbacks() -> None:
    async def other() -> str:
        return await work("a")

    task = asyncio.create_task(other())
    task.add_done_callback(lambda _: say("first"))
    late = lambda _: say("removed")  # noqa: E731
    task.add_done_callback(late)
    task.add_done_callback(lambda _: say("second"))
    say("removed", task.remove_done_callback(late))
    await task
    say("after")
    task.add_done_callback(lambda _: say("at once"))
    await asyncio.sleep(0)
    say("end")


@program
async def result_before_it_is_there() -> None:
    task = asyncio.create_task(work("a"))
    try:
        task.result()
    except asyncio.InvalidStateError:
        say("not yet")
    await task
    say(task.result(), task.exception(), task.done())


@program
async def names_of_tasks() -> None:
    async def who() -> None:
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        say(task.get_name())

    named = asyncio.create_task(who(), name="clerk")
    renamed = asyncio.create_task(who())
    renamed.set_name("porter")
    async with asyncio.TaskGroup() as group:
        group.create_task(who(), name="guard")
    await asyncio.gather(named, renamed)


@program
async def interleaving_by_sleep_zero() -> None:
    async def count(name: str) -> None:
        for n in range(4):
            say(name, n)
            await asyncio.sleep(0)

    await asyncio.gather(count("a"), count("b"), count("c"))


@program
async def ping_pong_of_futures() -> None:
    loop = asyncio.get_running_loop()
    ping, pong = loop.create_future(), loop.create_future()

    async def other() -> None:
        say("got", await ping)
        await work("b")
        pong.set_result("pong")

    task = asyncio.create_task(other())
    await work("a")
    ping.set_result("ping")
    say("got", await pong)
    await task


@program
async def future_with_an_error() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, Boom("set"))
    try:
        await future
    except Boom as error:
        say("caught", shape(error), future.exception() is error)


@program
async def future_is_set_twice() -> None:
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    try:
        future.set_result(2)
    except asyncio.InvalidStateError:
        say("only once")
    say(await future, future.cancel(), future.cancelled())


@program
async def call_soon_keeps_order() -> None:
    loop = asyncio.get_running_loop()
    for n in range(3):
        loop.call_soon(say, "soon", n)
    handle = loop.call_soon(say, "never")
    handle.cancel()
    say(handle.cancelled())
    await asyncio.sleep(0)
    say("end")


@program
async def callback_that_raises() -> str:
    loop = asyncio.get_running_loop()

    def bad() -> None:
        say("bad")
        raise Boom("in a callback")

    loop.call_soon(bad)
    loop.call_soon(say, "next")
    loop.call_later(1, bad)
    await asyncio.sleep(2)
    return await work("a")


@program
async def done_callback_that_raises() -> str:
    def bad(_: Any) -> None:
        raise Boom("in a done callback")

    task = asyncio.create_task(work("a"))
    task.add_done_callback(bad)
    task.add_done_callback(lambda _: say("still called"))
    await task
    return await work("b")


@program
async def gather_of_steps() -> list[str]:
    return await asyncio.gather(work("a", 3), work("b", 1), work("c", 2))


@program
async def gather_of_nothing() -> list[Any]:
    return await asyncio.gather()


@program
async def gather_fails_first() -> str:
    async def slow() -> None:
        try:
            await work("slow", 5)
            say("slow goes on")
        finally:
            say("slow ends")

    try:
        await asyncio.gather(slow(), work("bad", 1, fail="boom: now"), work("c", 2))
    except Boom as error:
        say("caught", shape(error))
    return await work("after", 6)


@program
async def gather_returns_exceptions() -> list[Any]:
    got = await asyncio.gather(
        work("a", 2), work("b", 1, fail="boom: b"), work("c", 3, fail="bang: c"), return_exceptions=True
    )
    return [shape(item) if isinstance(item, BaseException) else item for item in got]


@program
async def gather_two_failures() -> None:
    try:
        await asyncio.gather(work("a", 1, fail="boom: a"), work("b", 1, fail="bang: b"))
    except (Boom, Bang) as error:
        say("caught", shape(error))
    await asyncio.sleep(1)


@program
async def gather_same_twice() -> list[str]:
    task = asyncio.create_task(work("a"))
    return await asyncio.gather(task, task, work("b"))


@program
async def gather_nested() -> list[Any]:
    return await asyncio.gather(
        asyncio.gather(work("a", 2), work("b", 1)), asyncio.gather(work("c", 3)), work("d", 1)
    )


@program
async def gather_cancelled() -> None:
    async def part(name: str) -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError as error:
            say(name, "cancelled", shape(error))
            raise

    both = asyncio.gather(part("a"), part("b"))
    asyncio.get_running_loop().call_later(2, both.cancel)
    try:
        await both
    except asyncio.CancelledError:
        say("caught", both.cancelled())


@program
async def gather_child_cancelled() -> None:
    async def sleeper() -> None:
        await asyncio.sleep(9)

    child = asyncio.create_task(sleeper())
    asyncio.get_running_loop().call_later(1, child.cancel, "you")
    try:
        await asyncio.gather(work("a", 2), child)
    except asyncio.CancelledError:
        say("caught", child.cancelled())
    await asyncio.sleep(3)


@program(since=(3, 12), why="gather of futures that are done already returns without a trip through the loop")
async def gather_of_what_is_done() -> None:
    done = [asyncio.create_task(work(name)) for name in "ab"]
    await asyncio.gather(*done)
    asyncio.get_running_loop().call_soon(say, "soon")
    say("before")
    say(await asyncio.gather(*done))
    say("after")
    await asyncio.sleep(0)


@program
async def gather_of_some_done_and_some_not() -> list[Any]:
    loop = asyncio.get_running_loop()
    done, failed = loop.create_future(), loop.create_future()
    done.set_result("done")
    failed.set_exception(Boom("failed"))
    loop.call_soon(say, "soon")
    mixed = asyncio.gather(done, work("a"), failed, return_exceptions=True)
    loop.call_soon(say, "later")
    got = await mixed
    return [shape(item) if isinstance(item, BaseException) else item for item in got]


@program
async def ensure_future_of_all_kinds() -> list[Any]:
    class Later:
        def __await__(self) -> Any:
            return work("c").__await__()

    task = asyncio.create_task(work("a"))
    same = asyncio.ensure_future(task) is task
    return [same, await task, await asyncio.ensure_future(work("b")), await asyncio.ensure_future(Later())]


@program
async def many_tasks() -> int:
    async def one(n: int) -> int:
        await asyncio.sleep(n % 7)
        await work(f"w{n}", 1 + n % 3)
        return n

    return sum(await asyncio.gather(*(one(n) for n in range(40))))


@program
async def recursion_of_tasks() -> int:
    async def fan(depth: int) -> int:
        if not depth:
            await work(f"leaf{depth}", 1)
            return 1
        parts = await asyncio.gather(fan(depth - 1), fan(depth - 1))
        return sum(parts)

    return await fan(4)


@program
async def waits_for_ever() -> None:
    say("before")
    await asyncio.get_running_loop().create_future()


@program
async def deadlock_of_two() -> None:
    one, two = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        await one.wait()
        two.set()

    async def second() -> None:
        await two.wait()
        one.set()

    await work("a")
    await asyncio.gather(first(), second())
