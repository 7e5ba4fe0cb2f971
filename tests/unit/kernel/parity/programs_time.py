"""sleep, timeout, wait_for, and the loop's own timers."""

from __future__ import annotations

import asyncio
from typing import Any

from .world import Boom, program, say, shape, tick, work


@program
async def sleeps() -> list[Any]:
    say("a")
    got = await asyncio.sleep(2, "value")
    say("b")
    await asyncio.sleep(0)
    await asyncio.sleep(-1)
    await asyncio.sleep(0.5)
    return [got, tick()]


@program
async def sleeps_side_by_side() -> None:
    async def nap(name: str, ticks: float) -> None:
        await asyncio.sleep(ticks)
        say(name)

    await asyncio.gather(nap("c", 3), nap("a", 1), nap("b", 2), nap("b2", 2), nap("a2", 1))


@program
async def timeout_expires() -> None:
    try:
        async with asyncio.timeout(2):
            await work("a", 5)
    except TimeoutError as error:
        say("caught", shape(error))
    await work("b")


@program
async def timeout_in_time() -> str:
    async with asyncio.timeout(5) as limit:
        got = await work("a", 2)
    say(limit.expired())
    return got


@program
async def timeout_of_a_sleep() -> None:
    async with asyncio.timeout(2):
        await asyncio.sleep(9)


@program
async def timeout_none_and_zero() -> None:
    async with asyncio.timeout(None):
        await work("a")
    try:
        async with asyncio.timeout(0):
            say("inside")
            await asyncio.sleep(9)
    except TimeoutError:
        say("at once")
    async with asyncio.timeout(0):  # noqa: ASYNC100 - that is the case
        say("nothing awaited")


@program
async def timeout_in_the_past() -> None:
    try:
        async with asyncio.timeout(-3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            say("not reached")
    except TimeoutError:
        say("caught")


@program
async def timeout_at_a_time() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(loop.time() + 3) as limit:
        say(round(limit.when() - loop.time(), 3))  # type: ignore[operator]
        try:
            await asyncio.sleep(9)
        finally:
            say("leaving")


@program
async def timeout_is_moved() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(2) as limit:
        await work("a", 1)
        limit.reschedule(loop.time() + 4)
        await work("b", 3)
        limit.reschedule(None)
        await work("c", 9)
    say(limit.expired(), limit.when())


@program
async def timeout_is_moved_to_now() -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5) as limit:
            await work("a", 1)
            limit.reschedule(loop.time() - 1)
            say("moved")
            await asyncio.sleep(3)
    except TimeoutError:
        say("caught")


@program
async def timeouts_nested_inner_first() -> None:
    try:
        async with asyncio.timeout(5):
            try:
                async with asyncio.timeout(2):
                    await asyncio.sleep(9)
            except TimeoutError:
                say("inner")
            await asyncio.sleep(9)
    except TimeoutError:
        say("outer", asyncio.current_task().cancelling())  # type: ignore[union-attr]


@program
async def timeouts_nested_outer_first() -> None:
    try:
        async with asyncio.timeout(2):
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(9)
            except TimeoutError:
                say("must not be said")
    except TimeoutError:
        say("outer")


@program
async def timeouts_nested_together() -> None:
    try:
        async with asyncio.timeout(2):
            try:
                async with asyncio.timeout(2):
                    await asyncio.sleep(9)
            except TimeoutError as error:
                say("inner", shape(error))
                raise
    except TimeoutError as error:
        say("outer", shape(error))


@program
async def timeout_around_a_group() -> None:
    async def sleeper(name: str) -> None:
        try:
            await asyncio.sleep(9)
        finally:
            say(name, "ends")

    try:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(sleeper(name))
    except TimeoutError as error:
        say("caught", shape(error))


@program
async def timeout_with_another_error() -> None:
    try:
        async with asyncio.timeout(2):
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                raise Boom("instead") from None
    except Boom as error:
        say("caught", shape(error), asyncio.current_task().cancelling())  # type: ignore[union-attr]
    await work("b")


@program
async def timeout_swallowed_inside() -> None:
    try:
        async with asyncio.timeout(2):
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                say("swallowed")
            await work("b")
            say("went on")
    except TimeoutError:
        say("no timeout any more?")
    say(asyncio.current_task().cancelling())  # type: ignore[union-attr]


@program
async def timeout_of_the_step_that_fails() -> None:
    try:
        async with asyncio.timeout(5):
            await work("a", 2, fail="boom: before")
    except Boom as error:
        say("caught", shape(error))


@program
async def timeout_with_cleanup_that_awaits() -> None:
    try:
        async with asyncio.timeout(2):
            try:
                await asyncio.sleep(9)
            finally:
                await work("cleanup", 3)
                say("cleaned")
    except TimeoutError:
        say("caught")


@program
async def wait_for_in_time() -> str:
    return await asyncio.wait_for(work("a", 2), 5)


@program
async def wait_for_too_late() -> None:
    try:
        await asyncio.wait_for(work("a", 5), 2)
    except TimeoutError as error:
        say("caught", shape(error))
    await work("b")


@program
async def wait_for_without_limit() -> str:
    return await asyncio.wait_for(work("a", 2), None)


@program
async def wait_for_no_time() -> None:
    started = []

    async def never() -> None:
        started.append(1)

    try:
        await asyncio.wait_for(never(), 0)
    except TimeoutError as error:
        say("caught", shape(error), started)
    done = asyncio.get_running_loop().create_future()
    done.set_result("there")
    say(await asyncio.wait_for(done, 0))


@program
async def wait_for_a_task() -> None:
    task = asyncio.create_task(asyncio.sleep(9, "slept"))
    try:
        await asyncio.wait_for(task, 2)
    except TimeoutError:
        say("caught", task.cancelled())


@program
async def wait_for_a_shielded_task() -> None:
    task = asyncio.create_task(work("a", 4))
    try:
        await asyncio.wait_for(asyncio.shield(task), 2)
    except TimeoutError:
        say("caught", task.done())
    say(await task)


@program
async def wait_for_swallowed_cancel() -> Any:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say("stubborn")
        return "anyway"

    return await asyncio.wait_for(stubborn(), 2)


@program
async def wait_for_failing_step() -> None:
    try:
        await asyncio.wait_for(work("a", 1, fail="boom: a"), 3)
    except Boom as error:
        say("caught", shape(error))


@program
async def wait_for_with_error_in_cleanup() -> None:
    async def clumsy() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            raise Boom("cleanup")

    try:
        await asyncio.wait_for(clumsy(), 2)
    except Boom as error:
        say("caught", shape(error))


@program
async def wait_for_cancelled_from_outside() -> None:
    async def run() -> None:
        try:
            await asyncio.wait_for(asyncio.sleep(9), 5)
        except asyncio.CancelledError as error:
            say("cancelled", str(error))
            raise

    task = asyncio.create_task(run())
    await work("a", 2)
    task.cancel("you")
    try:
        await task
    except asyncio.CancelledError:
        say("end")


@program
async def wait_for_an_event() -> None:
    event = asyncio.Event()
    try:
        await asyncio.wait_for(event.wait(), 2)
    except TimeoutError:
        say("not set")
    asyncio.get_running_loop().call_later(1, event.set)
    say(await asyncio.wait_for(event.wait(), 2))


@program(since=(3, 12), why="3.11 runs it in a task of its own")
async def wait_for_runs_in_the_same_task() -> None:
    async def who() -> bool:
        await work("a")
        return asyncio.current_task() is me

    me = asyncio.current_task()
    say(await asyncio.wait_for(who(), 5))


@program
async def race_of_wait_fors() -> list[Any]:
    return await asyncio.gather(
        *(asyncio.wait_for(work(f"w{n}", n), 3.5) for n in range(1, 6)), return_exceptions=False
    )


@program
async def timers_of_the_loop() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(2, say, "two")
    loop.call_at(loop.time() + 1, say, "one")
    gone = loop.call_later(1.5, say, "never")
    say(round(gone.when() - loop.time(), 3), gone.cancelled())
    gone.cancel()
    say(gone.cancelled())
    await asyncio.sleep(3)
    gone.cancel()
    say("end")


@program
async def timer_due_at_once() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(0, say, "timer")
    loop.call_soon(say, "soon")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    say("end")
    await asyncio.sleep(1)


@program
async def timer_starts_a_task() -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    async def other(name: str) -> None:
        say("other", await work(name))
        done.set()

    tasks: list[Any] = []
    loop.call_later(2, lambda: tasks.append(loop.create_task(other("b"))))
    await done.wait()
    await tasks[0]


@program
async def time_stands_still_between_awaits() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    for _ in range(1000):
        pass
    await asyncio.sleep(0)
    say(loop.time() == before)
    await asyncio.sleep(2)
    say(round(loop.time() - before, 3))


@program
async def periodic_with_a_deadline() -> int:
    beats = 0
    try:
        async with asyncio.timeout(5.5):
            while True:
                await asyncio.sleep(1)
                beats += 1
                await work(f"beat{beats}", 0.25)
    except TimeoutError:
        say("beats", beats)
    return beats
