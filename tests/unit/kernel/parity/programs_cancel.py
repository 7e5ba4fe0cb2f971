"""Cancellation: of tasks, of the whole saga, shields, and counts."""

from __future__ import annotations

import asyncio
from typing import Any

from .world import NEVER, Boom, program, say, shape, work


def me() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@program
async def cancel_a_task() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError as error:
            say("cancelled", str(error), me().cancelling())
            raise

    task = asyncio.create_task(other())
    await work("a", 1)
    say(task.cancel("enough"))
    try:
        await task
    except asyncio.CancelledError as error:
        say("caught", str(error))
    say(task.cancelled(), task.cancel(), me().cancelling())


@program
async def cancel_a_task_in_a_step() -> None:
    async def other() -> None:
        try:
            await work("b", 9)
        except asyncio.CancelledError as error:
            say("cancelled", str(error))
            raise

    task = asyncio.create_task(other())
    await work("a", 1)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError:
        say("caught", task.cancelled())
    await work("c", 1)


@program
async def cancel_is_swallowed() -> str:
    async def stubborn() -> str:
        for n in range(2):
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                say("swallowed", n, me().cancelling())
        return "ended by itself"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    return await task


@program
async def cancel_becomes_another_error() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise Boom("instead") from None

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    task.cancel()
    try:
        await task
    except Boom as error:
        say(shape(error), task.cancelled())


@program
async def cancel_twice() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say("first", me().cancelling())
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                say("second", me().cancelling())
                raise

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def cancel_with_cleanup_that_awaits() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            say("cleaning")
            await work("clean", 2)
            say("clean")

    task = asyncio.create_task(other())
    await work("a", 1)
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def cancel_counts() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            say("count", me().cancelling())
            say("left", me().uncancel(), me().uncancel(), me().uncancel())
            await work("after")

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    task.cancel()
    task.cancel()
    await task


@program
async def cancel_oneself() -> None:
    me().cancel("myself")
    say("still here")
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError as error:
        say("now", str(error), me().cancelling(), me().uncancel())
    await work("a")


@program(since=(3, 13), why="3.13 forgets a cancellation that is taken back before it arrives")
async def cancel_oneself_and_take_it_back() -> None:
    me().cancel("myself")
    say("count", me().cancelling(), me().uncancel())
    try:
        await asyncio.sleep(1)
        say("not cancelled")
    except asyncio.CancelledError:
        say("cancelled")
    await work("a")


@program(since=(3, 13), why="3.13 forgets a cancellation that is taken back before it arrives")
async def cancel_twice_and_take_back_once() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            me().cancel("second")
            say("count", me().cancelling(), me().uncancel())
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                say("again", str(error), me().uncancel())
            me().cancel()
            me().uncancel()
            await work("a")
            say("went on", me().cancelling())

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    task.cancel("first")
    await asyncio.wait([task])
    say(task.cancelled())


@program(
    since=NEVER,
    why="asyncio counts a task that cancels itself and returns without another await as cancelled; here it is done, "
    "because up to 3.12 the request could not be taken back otherwise",
)
async def cancel_oneself_and_return() -> None:
    async def other() -> str:
        me().cancel()
        return "value"

    task = asyncio.create_task(other())
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def cancel_before_the_first_step() -> None:
    async def other() -> None:
        say("must not be said")

    task = asyncio.create_task(other())
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        say("cancelled")


@program
async def cancel_when_it_is_done_already() -> str:
    task = asyncio.create_task(work("a", 1))
    await asyncio.sleep(2)
    say(task.cancel(), task.cancelled())
    return await task


@program
async def cancel_and_result_together() -> None:
    future = asyncio.get_running_loop().create_future()

    async def other() -> None:
        try:
            say("got", await future)
        except asyncio.CancelledError:
            say("cancelled", future.done(), future.cancelled())
            raise

    task = asyncio.create_task(other())
    await work("a", 1)
    future.set_result("there")
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def cancel_goes_down_a_chain() -> None:
    async def inner() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            say("inner")

    async def middle() -> None:
        try:
            await asyncio.create_task(inner())
        finally:
            say("middle")

    task = asyncio.create_task(middle())
    await asyncio.sleep(1)
    task.cancel("top")
    try:
        await task
    except asyncio.CancelledError as error:
        say("caught", str(error))


@program
async def cancel_does_not_go_up() -> None:
    task = asyncio.create_task(asyncio.sleep(9))
    asyncio.get_running_loop().call_later(1, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        say("cancelled", me().cancelling())
    await work("a")


@program(cancel_at=2)
async def saga_is_cancelled() -> None:
    try:
        await asyncio.sleep(9)
    except asyncio.CancelledError as error:
        say("cancelled", str(error), me().cancelling())
        raise


@program(cancel_at=2)
async def saga_is_cancelled_in_a_step() -> None:
    await work("a", 1)
    try:
        await work("b", 9)
    finally:
        say("unwinding")


@program(cancel_at=2)
async def saga_is_cancelled_in_a_group() -> None:
    async def sleeper(name: str) -> None:
        try:
            await asyncio.sleep(9)
        finally:
            say(name, "ends")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(sleeper(name))


@program(cancel_at=2)
async def saga_is_cancelled_in_a_gather() -> None:
    await asyncio.gather(work("a", 5), work("b", 6), asyncio.sleep(7))


@program(cancel_at=1.5)
async def saga_is_cancelled_in_a_timeout() -> None:
    try:
        async with asyncio.timeout(3):
            await asyncio.sleep(9)
    except TimeoutError:
        say("must not be said")


@program
async def shield_goes_on() -> str:
    inner = asyncio.create_task(work("a", 3))

    async def outer() -> None:
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            say("outer cancelled", inner.done())
            raise

    task = asyncio.create_task(outer())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    return await inner


@program
async def shield_gives_results_and_errors() -> None:
    say(await asyncio.shield(work("a")))
    try:
        await asyncio.shield(work("b", 1, fail="boom: b"))
    except Boom as error:
        say(shape(error))


@program
async def shield_inner_is_cancelled() -> None:
    inner = asyncio.create_task(asyncio.sleep(9))
    asyncio.get_running_loop().call_later(1, inner.cancel)
    try:
        await asyncio.shield(inner)
    except asyncio.CancelledError:
        say("cancelled", inner.cancelled(), me().cancelling())


@program
async def shield_of_what_is_done() -> None:
    done = asyncio.create_task(work("a"))
    await done
    shielded = asyncio.shield(done)
    say(shielded is done, await shielded)


@program
async def shield_in_a_timeout() -> str:
    task = asyncio.create_task(work("a", 4))
    try:
        async with asyncio.timeout(2):
            await asyncio.shield(task)
    except TimeoutError:
        say("too slow, but not stopped")
    return await task


@program
async def shielded_cleanup() -> None:
    async def other() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.shield(work("clean", 2))
            say("clean")

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    say(task.cancelled())


@program
async def finally_runs_in_order() -> None:
    try:
        try:
            await work("a", 1, fail="boom: a")
        finally:
            say("inner finally")
            await work("b")
    except Boom:
        say("caught")
    finally:
        say("outer finally")


@program
async def error_contexts_are_kept() -> None:
    try:
        try:
            await work("a", 1, fail="boom: a")
        except Boom as error:
            raise ValueError("wrapped") from error
    except ValueError as error:
        say(shape(error), shape(error.__cause__))  # type: ignore[arg-type]


@program
async def system_exit_of_a_task() -> None:
    """A base exception that is neither an error nor a cancellation still ends in whoever awaits."""

    class Unusual(BaseException):
        pass

    async def other() -> None:
        await asyncio.sleep(1)
        raise Unusual("odd")

    try:
        await asyncio.create_task(other())
    except Unusual as error:
        say(shape(error))


@program
async def all_tasks_are_cancelled_by_hand() -> None:
    async def sleeper(n: int) -> None:
        try:
            await asyncio.sleep(9)
        finally:
            say("ends", n)

    tasks = [asyncio.create_task(sleeper(n)) for n in range(3)]
    await asyncio.sleep(1)
    others = asyncio.all_tasks() - {me()}
    say(len(others), others == set(tasks))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
