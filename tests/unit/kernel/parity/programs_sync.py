"""Event, Lock, Semaphore, Condition, Barrier and the queues."""

from __future__ import annotations

import asyncio
from typing import Any

from .world import program, say, shape, work

ALL_AT_ONCE = "3.13 wakes all waiters that a semaphore has room for at once, before one after the other"


@program
async def event_wakes_all() -> None:
    event = asyncio.Event()

    async def waiter(name: str) -> None:
        say(name, await event.wait())

    tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
    await work("x")
    event.set()
    say("set", event.is_set())
    await asyncio.gather(*tasks)
    event.clear()
    say(event.is_set())


@program
async def lock_is_fair() -> None:
    lock = asyncio.Lock()

    async def user(name: str) -> None:
        async with lock:
            say(name, "in")
            await work(name, 1)
            say(name, "out")

    await asyncio.gather(*(user(name) for name in "abcd"))
    say(lock.locked())


@program
async def lock_waiter_is_cancelled() -> None:
    lock = asyncio.Lock()

    async def user(name: str) -> None:
        try:
            async with lock:
                say(name, "in")
                await asyncio.sleep(2)
        except asyncio.CancelledError:
            say(name, "cancelled")

    tasks = [asyncio.create_task(user(name)) for name in "abc"]
    await asyncio.sleep(1)
    tasks[1].cancel()
    await asyncio.gather(*tasks)


@program
async def lock_owner_is_cancelled() -> None:
    lock = asyncio.Lock()

    async def user(name: str) -> None:
        async with lock:
            say(name, "in")
            await asyncio.sleep(2)

    first, second = asyncio.create_task(user("a")), asyncio.create_task(user("b"))
    await asyncio.sleep(1)
    first.cancel()
    got = await asyncio.gather(first, second, return_exceptions=True)
    say([type(item).__name__ for item in got])


@program
async def lock_released_and_cancelled_together() -> None:
    lock = asyncio.Lock()
    await lock.acquire()

    async def user(name: str) -> None:
        async with lock:
            say(name, "in")

    tasks = [asyncio.create_task(user(name)) for name in "abc"]
    await asyncio.sleep(1)
    lock.release()
    tasks[0].cancel()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    say([type(item).__name__ for item in got], lock.locked())


@program
async def lock_with_a_time_limit() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    try:
        async with asyncio.timeout(2):
            await lock.acquire()
    except TimeoutError:
        say("no lock")
    lock.release()
    try:
        lock.release()
    except RuntimeError as error:
        say(shape(error))


@program
async def semaphore_of_two() -> list[str]:
    gate = asyncio.Semaphore(2)

    async def user(name: str, ticks: float) -> str:
        async with gate:
            say(name, "in")
            return await work(name, ticks)

    return await asyncio.gather(
        *(user(name, n) for name, n in zip("abcdef", (3, 1, 1, 2, 1, 1), strict=True))
    )


@program
async def semaphore_is_bounded() -> None:
    gate = asyncio.BoundedSemaphore(1)
    async with gate:
        say(gate.locked())
    try:
        gate.release()
    except ValueError as error:
        say(shape(error))


@program
async def semaphore_many_released_at_once() -> None:
    gate = asyncio.Semaphore(0)

    async def user(name: str) -> None:
        await gate.acquire()
        say(name, "in")
        await asyncio.sleep(0)
        say(name, "still")

    tasks = [asyncio.create_task(user(name)) for name in "abcd"]
    await asyncio.sleep(1)
    for _ in range(4):
        gate.release()
    tasks.append(asyncio.create_task(user("e")))
    gate.release()
    await asyncio.gather(*tasks)


@program(since=(3, 13), why=ALL_AT_ONCE)
async def semaphore_latecomers() -> None:
    gate = asyncio.Semaphore(0)
    order: list[str] = []

    async def user(name: str) -> None:
        await gate.acquire()
        order.append(name)
        asyncio.get_running_loop().call_soon(order.append, f"after {name}")

    first = asyncio.create_task(user("a"))
    await asyncio.sleep(1)
    others = [asyncio.create_task(user(name)) for name in "bcd"]
    for _ in range(4):
        gate.release()
    await asyncio.gather(first, *others)
    say(order)
    await work(", ".join(order))


@program
async def semaphore_waiter_is_cancelled() -> None:
    gate = asyncio.Semaphore(1)

    async def user(name: str) -> None:
        async with gate:
            say(name, "in")
            await asyncio.sleep(2)

    tasks = [asyncio.create_task(user(name)) for name in "abcd"]
    await asyncio.sleep(1)
    tasks[1].cancel()
    await asyncio.sleep(1)
    tasks[2].cancel()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    say([type(item).__name__ for item in got], gate.locked())


@program
async def semaphore_woken_and_cancelled_together() -> None:
    gate = asyncio.Semaphore(0)

    async def user(name: str) -> None:
        await gate.acquire()
        say(name, "in")

    tasks = [asyncio.create_task(user(name)) for name in "abc"]
    await asyncio.sleep(1)
    gate.release()
    gate.release()
    tasks[0].cancel()
    await asyncio.sleep(1)
    gate.release()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    say([type(item).__name__ for item in got])


@program
async def condition_notifies() -> None:
    condition = asyncio.Condition()
    stock: list[str] = []

    async def taker(name: str) -> None:
        async with condition:
            await condition.wait_for(lambda: stock)
            say(name, "takes", stock.pop(0))

    takers = [asyncio.create_task(taker(name)) for name in "ab"]
    for item in ("x", "y"):
        await work(item)
        async with condition:
            stock.append(item)
            condition.notify()
    await asyncio.gather(*takers)


@program
async def condition_notifies_all() -> None:
    condition = asyncio.Condition()

    async def waiter(name: str) -> None:
        async with condition:
            say(name, await condition.wait())

    tasks = [asyncio.create_task(waiter(name)) for name in "abc"]
    await asyncio.sleep(1)
    async with condition:
        condition.notify_all()
        say("notified")
    await asyncio.gather(*tasks)


@program
async def condition_with_a_time_limit() -> None:
    condition = asyncio.Condition()
    try:
        async with condition, asyncio.timeout(2):
            await condition.wait()
    except TimeoutError:
        say("nothing came", condition.locked())


@program(since=(3, 13), why="3.13 hands a notification on when its receiver is cancelled")
async def condition_notified_and_cancelled_together() -> None:
    condition = asyncio.Condition()

    async def waiter(name: str) -> None:
        async with condition:
            await condition.wait()
            say(name, "notified")

    tasks = [asyncio.create_task(waiter(name)) for name in "ab"]
    await asyncio.sleep(1)
    async with condition:
        condition.notify()
    tasks[0].cancel()
    await asyncio.sleep(1)
    say([task.done() for task in tasks])
    tasks[1].cancel()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    say([type(item).__name__ for item in got])


@program
async def condition_used_wrongly() -> None:
    condition = asyncio.Condition()
    for wrong in (condition.notify, condition.release):
        try:
            wrong()
        except RuntimeError as error:
            say(type(error).__name__)
    try:
        await condition.wait()
    except RuntimeError as error:
        say(type(error).__name__)


@program
async def barrier_of_three() -> None:
    barrier = asyncio.Barrier(3)

    async def runner(name: str, ticks: float) -> None:
        await work(name, ticks)
        async with barrier as place:
            say(name, place)

    await asyncio.gather(*(runner(name, n) for n, name in enumerate("abc", 1)))


@program
async def barrier_breaks() -> None:
    barrier = asyncio.Barrier(2)

    async def runner(name: str) -> None:
        try:
            await barrier.wait()
        except asyncio.BrokenBarrierError:
            say(name, "broken")

    task = asyncio.create_task(runner("a"))
    await asyncio.sleep(1)
    await barrier.abort()
    await task


@program
async def producer_and_consumers() -> list[str]:
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    done: list[str] = []

    async def consumer(name: str) -> None:
        while (item := await queue.get()) is not None:
            done.append(f"{name}:{await work(item, 2)}")
            queue.task_done()

    consumers = [asyncio.create_task(consumer(name)) for name in "xyz"]
    for n in range(7):
        await queue.put(f"item{n}")
    await queue.join()
    for _ in consumers:
        await queue.put(None)
    await asyncio.gather(*consumers)
    return done


@program
async def queue_with_a_limit() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(2)

    async def producer() -> None:
        for n in range(5):
            await queue.put(n)
            say("put", n, queue.qsize())

    task = asyncio.create_task(producer())
    for _ in range(5):
        await work("take")
        say("got", await queue.get())
    await task


@program
async def queue_without_waiting() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    try:
        queue.get_nowait()
    except asyncio.QueueEmpty:
        say("empty", queue.empty())
    queue.put_nowait(1)
    try:
        queue.put_nowait(2)
    except asyncio.QueueFull:
        say("full", queue.full(), queue.maxsize)
    say(await queue.get())


@program
async def queues_of_other_kinds() -> list[Any]:
    last: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    least: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    for n in (2, 3, 1):
        last.put_nowait(n)
        least.put_nowait((n, await work(f"p{n}")))
    return [[await last.get() for _ in range(3)], [list(await least.get()) for _ in range(3)]]


@program
async def queue_getter_is_cancelled() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def getter(name: str) -> None:
        say(name, await queue.get())

    first, second = asyncio.create_task(getter("a")), asyncio.create_task(getter("b"))
    await asyncio.sleep(1)
    queue.put_nowait("x")
    first.cancel()
    got = await asyncio.gather(first, second, return_exceptions=True)
    say([type(item).__name__ for item in got], queue.qsize())


@program
async def pipeline_of_queues() -> list[str]:
    one: asyncio.Queue[str] = asyncio.Queue(1)
    two: asyncio.Queue[str] = asyncio.Queue(1)
    out: list[str] = []

    async def stage(source: asyncio.Queue[str], sink: asyncio.Queue[str] | None, name: str) -> None:
        for _ in range(4):
            item = await work(f"{name}{await source.get()}")
            if sink is None:
                out.append(item)
            else:
                await sink.put(item)

    async with asyncio.TaskGroup() as group:
        group.create_task(stage(one, two, "f"))
        group.create_task(stage(two, None, "g"))
        for n in range(4):
            await one.put(str(n))
    return out
