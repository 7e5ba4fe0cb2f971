"""Async generators, context managers, contextvars, wait and as_completed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator
from typing import Any

from .world import Boom, program, say, shape, work

VALUE: contextvars.ContextVar[str] = contextvars.ContextVar("parity_value", default="none")


async def numbers(count: int) -> AsyncIterator[str]:
    try:
        for n in range(count):
            yield await work(f"n{n}")
    finally:
        say("numbers end")


@program
async def generator_of_steps() -> list[str]:
    return [item async for item in numbers(3)]


@program
async def generator_closed_early() -> None:
    async with contextlib.aclosing(numbers(5)) as items:
        async for item in items:
            say(item)
            if item == "n1":
                break
    say("after")


@program
async def generator_that_awaits_while_closing() -> None:
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            say("closing")
            await work("close", 2)
            say("closed")

    async with contextlib.aclosing(items()) as some:
        async for _ in some:
            break
    say("after")


@program
async def generator_that_fails() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await work("bad", 1, fail="boom: in a generator")

    try:
        async for item in items():
            say(item)
    except Boom as error:
        say(shape(error))


@program
async def generator_gets_values() -> None:
    async def echo() -> Any:
        got = yield "ready"
        while got != "stop":
            got = yield await work(got)

    talk = echo()
    say(await talk.asend(None))
    say(await talk.asend("a"))
    say(await talk.asend("b"))
    try:
        await talk.asend("stop")
    except StopAsyncIteration:
        say("stopped")


@program
async def generator_is_thrown_at() -> None:
    async def items() -> Any:
        try:
            yield 1
        except Boom as error:
            say("inside", shape(error))
            yield await work("saved")

    some = items()
    await anext(some)
    say(await some.athrow(Boom("thrown")))
    await some.aclose()


@program
async def generator_is_cancelled() -> None:
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say("cancelled inside")
            raise

    async def reader() -> None:
        async for item in items():
            say(item)

    task = asyncio.create_task(reader())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def generators_side_by_side() -> None:
    async def reader(name: str, count: int) -> None:
        async for item in numbers(count):
            say(name, item)

    async with asyncio.TaskGroup() as group:
        group.create_task(reader("a", 2))
        group.create_task(reader("b", 3))


@program
async def async_comprehensions() -> Any:
    doubled = {item: item * 2 async for item in numbers(2)}
    flat = [x for part in [[item async for item in numbers(2)] for _ in range(2)] for x in part]
    return [doubled, flat]


@program
async def own_context_manager() -> None:
    class Guard:
        async def __aenter__(self) -> str:
            return await work("enter")

        async def __aexit__(self, *error: object) -> bool:
            say("leaving", type(error[1]).__name__)
            await work("leave")
            return isinstance(error[1], Boom)

    async with Guard() as name:
        say(name)
    async with Guard():
        raise Boom("swallowed")
    say("after")


@program
async def exit_stack() -> None:
    async def leave(name: str) -> None:
        say("leave", await work(name))

    try:
        async with contextlib.AsyncExitStack() as stack:
            for name in "abc":
                stack.push_async_callback(leave, name)
            await work("x", 1, fail="boom: x")
    except Boom as error:
        say(shape(error))


@program
async def decorated_context_manager() -> None:
    @contextlib.asynccontextmanager
    async def held(name: str) -> AsyncIterator[str]:
        await work(f"get {name}")
        try:
            yield name
        finally:
            await work(f"free {name}")

    with contextlib.suppress(Boom):
        async with held("a") as a, held("b") as b:
            say(a, b)
            raise Boom("inside")
    say("after")


@program
async def context_variables() -> None:
    VALUE.set("body")

    async def other(name: str) -> None:
        say(name, VALUE.get())
        VALUE.set(name)
        await work(name)
        say(name, VALUE.get())

    await asyncio.gather(other("a"), other("b"))
    say("body", VALUE.get())
    await other("c")
    say("body", VALUE.get())


@program
async def context_given_to_a_task() -> None:
    VALUE.set("body")
    other = contextvars.Context()

    async def look() -> None:
        say(VALUE.get())
        VALUE.set("changed")
        await asyncio.sleep(1)
        say(VALUE.get())

    await asyncio.create_task(look(), context=other)
    say(VALUE.get(), other[VALUE])
    async with asyncio.TaskGroup() as group:
        group.create_task(look(), context=other)


@program
async def context_of_callbacks() -> None:
    loop = asyncio.get_running_loop()
    VALUE.set("when scheduled")
    empty = contextvars.Context()
    loop.call_soon(lambda: say("soon", VALUE.get()))
    loop.call_later(1, lambda: say("later", VALUE.get()))
    loop.call_later(2, lambda: say("empty", VALUE.get()), context=empty)
    loop.call_soon(lambda: say("empty", VALUE.get()), context=empty)
    task = asyncio.create_task(work("a"))
    task.add_done_callback(lambda _: say("done", VALUE.get()))
    VALUE.set("afterwards")
    await asyncio.sleep(3)


@program
async def context_across_a_generator() -> None:
    async def items() -> AsyncIterator[str]:
        VALUE.set("inside")
        yield VALUE.get()
        await work("a")
        yield VALUE.get()

    VALUE.set("outside")
    async for item in items():
        say(item, VALUE.get())
        VALUE.set("loop")


@program
async def wait_for_the_first() -> None:
    tasks = [asyncio.create_task(work(name, n)) for name, n in (("a", 3), ("b", 1), ("c", 2))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    say(sorted(task.result() for task in done), len(pending))
    done, pending = await asyncio.wait(pending)
    say(sorted(task.result() for task in done), len(pending))


@program
async def wait_for_the_first_error() -> None:
    tasks = [
        asyncio.create_task(work("a", 3)),
        asyncio.create_task(work("b", 1, fail="boom: b")),
    ]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    say(len(done), len(pending), shape(tasks[1].exception()))  # type: ignore[arg-type]
    await asyncio.wait(pending)


@program
async def wait_with_a_time_limit() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(n, n)) for n in (1, 3, 5)]
    done, pending = await asyncio.wait(tasks, timeout=4)
    say(sorted(task.result() for task in done), len(pending))
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)


@program(real=False)
async def wait_gives_sets_in_one_order() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(1 + n % 2, n)) for n in range(40)]
    done, pending = await asyncio.wait(tasks, timeout=1.5)
    say([task.result() for task in done])
    for task in pending:
        await work(str(await task), 1)
    parts = {asyncio.gather(asyncio.sleep(1, n)) for n in range(20)}
    done, _ = await asyncio.wait(parts)
    for part in done:
        await work(str(part.result()[0]), 1)
    for task in [asyncio.create_task(asyncio.sleep(9 + n)) for n in range(12)]:
        task.set_name(f"t{task.get_name()}")
    for task in asyncio.all_tasks():
        say(task.get_name())


@program
async def as_completed_of_tasks() -> None:
    tasks = [asyncio.create_task(work(name, n)) for name, n in (("a", 3), ("b", 1), ("c", 2))]
    for earliest in asyncio.as_completed(tasks):
        say(await earliest)


@program(real=False)
async def as_completed_of_calls() -> list[str]:
    async def pair(name: str) -> str:
        return await work(name + "1", 1) + await work(name + "2", 2)

    found = [await earliest for earliest in asyncio.as_completed([pair(name) for name in "abcdefgh"])]
    found += [await earliest for earliest in asyncio.as_completed([work(name, 2) for name in "abcdefgh"])]
    return found


@program(since=(3, 13), why="up to 3.12 as_completed is no asynchronous iterator")
async def as_completed_async_for() -> None:
    tasks = [asyncio.create_task(work(name, n)) for name, n in (("a", 3), ("b", 1), ("c", 2))]
    try:
        async for earliest in asyncio.as_completed(tasks, timeout=2.5):
            say(tasks.index(earliest), await earliest)
    except TimeoutError:
        say("too late")


@program(since=(3, 13), why="up to 3.12 as_completed begins when it is first asked")
async def as_completed_begins_at_once() -> None:
    async def part(n: int) -> int:
        say("begins", n)
        await asyncio.sleep(n)
        return n

    finishing = asyncio.as_completed([part(2)], timeout=3)
    await work("meanwhile", 1)
    for earliest in finishing:
        say(await earliest)


@program
async def as_completed_with_a_time_limit() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(n, n)) for n in (1, 3, 5)]
    try:
        for earliest in asyncio.as_completed(tasks, timeout=4):
            say(await earliest)
    except TimeoutError as error:
        say(shape(error))
    tasks[2].cancel()


@program
async def as_completed_with_errors() -> None:
    for earliest in asyncio.as_completed([work("a", 1, fail="boom: a"), work("b", 2)]):
        try:
            say(await earliest)
        except Boom as error:
            say(shape(error))


@program
async def callbacks_on_a_step() -> None:
    seen = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(work("a", 2))
    task.add_done_callback(lambda done: seen.set_result(done.result() * 2))
    say(await seen)
