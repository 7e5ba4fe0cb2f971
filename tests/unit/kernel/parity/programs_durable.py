"""What only sagas have: signals, children, savepoints, time and chance that replay."""

from __future__ import annotations

import asyncio

import amends
from amends import Signal, saga, step

from .world import Boom, program, say, shape, tick, work

news = Signal[str]("news")


@step(name="parity.paid", raises=(Boom,))
async def paid(name: str, ticks: float = 1, fail: str = "") -> str:
    raise NotImplementedError("only ever driven")


@paid.compensation
async def refund(result: str | None, name: str, ticks: float = 1, fail: str = "") -> None:
    raise NotImplementedError("only ever driven")


@saga(name="parity.child")
async def child(name: str) -> str:
    return await work(name)


@program(real=False, signals=((1, "news", "one"), (3, "news", "two"), (4, "news", "three")))
async def signals() -> None:
    await asyncio.sleep(2)
    say(await news.receive())
    say(await news.receive(timeout=5))
    await work("a", 3)
    say(await news.receive())
    try:
        await news.receive(timeout=2)
    except TimeoutError:
        say("no more news")


@program(real=False, signals=((1, "news", "one"), (2, "news", "two")))
async def signals_to_several_tasks() -> None:
    async def reader(name: str) -> None:
        say(name, await news.receive())

    await asyncio.gather(reader("a"), reader("b"))


@program(real=False)
async def children() -> list[str]:
    return await asyncio.gather(child("x"), child("y"), work("z"))


@program(real=False)
async def chance_and_time() -> None:
    async def draw(name: str) -> None:
        say(name, amends.random().randrange(10**9), str(amends.uuid()))
        await work(name)
        say(name, amends.random().random(), amends.now().timestamp())

    await asyncio.gather(draw("a"), draw("b"))
    say(amends.random().sample(range(100), 5), amends.current().id)


@program(real=False)
async def savepoint_rolled_back() -> str:
    try:
        async with amends.savepoint(), asyncio.TaskGroup() as group:
            group.create_task(paid("a", 1))
            group.create_task(paid("b", 5))
            group.create_task(paid("c", 2, fail="boom: c"))
    except* Boom as caught:
        say(shape(caught))
    return await paid("d")


@program(real=False)
async def compensated() -> None:
    await paid("a")
    await asyncio.gather(paid("b", 1), paid("c", 2))
    amends.undo_with(work, "extra", 1)
    await work("x", 1, fail="boom: x")


@program(real=False)
async def settled_before_it_is_seen() -> None:
    try:
        async with asyncio.timeout(2):
            await paid("slow", 9)
    except TimeoutError:
        say("settled")
    try:
        await paid("bad", 1, fail="boom: unclear")
    except Boom as error:
        say(shape(error))


@program(real=False, cancel_at=3)
async def cancelled_with_things_to_undo() -> None:
    await paid("a")
    async with asyncio.TaskGroup() as group:
        group.create_task(paid("b", 9))
        group.create_task(asyncio.sleep(9))


@program(real=False)
async def pivoted() -> str:
    await paid("a")
    await amends.pivot()
    return await paid("b")


@program(real=False)
async def patched_twice() -> None:
    for change in ("one", "two", "one"):
        say(change, amends.patched(change))
        await work(change)


@program(real=False)
async def abandoned_generator() -> None:
    async def items():  # type: ignore[no-untyped-def]
        try:
            yield 1
            yield 2
        finally:
            say("closed by the garbage collector")

    async for item in items():
        say(item)
        break
    await work("a")


@program(real=False)
async def tasks_left_behind() -> str:
    async def other(name: str) -> None:
        try:
            await paid(name, 9)
        finally:
            say(name, "left behind", tick())

    for name in "abc":
        asyncio.create_task(other(name))  # noqa: RUF006 - that is the case
    return await work("x", 2)


@program(real=False)
async def continued_as_new() -> str:
    run = amends.current().run
    say(run, await paid(f"step of run {run}"))
    if run < 3:
        await amends.continue_as_new()
    await work("x", 1, fail="boom: undo all runs")
    return "not reached"


@program(
    real=False,
    signals=((1, "news", "one"), (3, "news", "two")),
)
async def continued_as_new_with_signals() -> str:
    first = await news.receive()
    say(amends.current().run, first)
    await work(first)
    if first == "one":
        await amends.continue_as_new()
    return first
