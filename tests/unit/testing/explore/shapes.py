"""Sagas that are right, of many shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import amends
from amends import (
    Rejected,
    Resource,
    Retry,
    SagaCall,
    Signal,
    StepFailed,
    injected,
    pivot,
    saga,
    savepoint,
    step,
)
from tests.unit.testing.explore.services import Service

Make = Callable[[str], Any]


def made(name: str, **options: Any) -> Any:
    """A step that is right, with its compensation."""

    @step(name=f"shape.{name}", **options)
    async def do(what: str, service: Resource[Service] = injected) -> str:
        return await service.do(f"{name} {what}")

    @do.compensation
    async def undo(done: str | None, what: str, service: Resource[Service] = injected) -> None:
        await service.undo()

    return do


a, b, c, d, e = (made(name) for name in "abcde")
impatient = made("impatient", retry=Retry(attempts=1))
patient = made("patient", retry=Retry(attempts=3, delay=100, jitter=0))
timed = made("timed", timeout=5)
spare = made("spare")
preferred = made("preferred", fallback=[spare])


@step(name="shape.blocking")
def blocking(what: str, service: Resource[Service] = injected) -> str:
    """A `def` step; it drives the service's coroutine by hand."""
    try:
        service.do(f"blocking {what}").send(None)
    except StopIteration as stop:
        return str(stop.value)
    raise AssertionError


@blocking.compensation
def unblock(done: str | None, what: str, service: Resource[Service] = injected) -> None:
    try:
        service.undo().send(None)
    except StopIteration:
        return


@step(name="shape.slow")
async def slow(what: str, service: Resource[Service] = injected) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3))
        done = group.create_task(service.do(what))
    return done.result()


@slow.compensation
async def unslow(done: str | None, what: str, service: Resource[Service] = injected) -> None:
    await asyncio.wait_for(asyncio.sleep(1), 5)
    await service.undo()


@step(name="shape.wipe")
async def wipe(what: str, service: Resource[Service] = injected) -> None:
    """An ad hoc compensation: undoes what has no key."""
    service.done.pop(what, None)


@step(name="shape.notice", irreversible=True)
async def notice(what: str, service: Resource[Service] = injected) -> str:
    return await service.do(f"notice {what}")


class Courier:
    """Steps that are methods."""

    @step(name="shape.fetch")
    async def fetch(self, what: str, service: Resource[Service] = injected) -> str:
        return await service.do(f"fetch {what}")

    @fetch.compensation
    async def bring_back(self, done: str | None, what: str, service: Resource[Service] = injected) -> None:
        await service.undo()


courier = Courier()
approved = Signal[bool]("approved")
amount = Signal[int]("amount")


@saga(name="shape.two")
async def two(x: str) -> str:
    await a(x)
    return await b(x)


@saga(name="shape.five")
async def five(x: str) -> str:
    for each in (a, b, c, d):
        await each(x)
    return await e(x)


@saga(name="shape.group")
async def group(x: str) -> str:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(a(x))
        tasks.create_task(b(x))
    return await c(x)


@saga(name="shape.gathered")
async def gathered(x: str) -> list[str]:
    await a(x)
    return list(await asyncio.gather(b(x), c(x)))


@saga(name="shape.other_way")
async def other_way(x: str) -> str:
    await a(x)
    try:
        return await impatient(x)
    except StepFailed:
        return await c(x)


@saga(name="shape.with_fallback")
async def with_fallback(x: str) -> str:
    await a(x)
    return await preferred(x)


@saga(name="shape.saved")
async def saved(x: str) -> str:
    await a(x)
    try:
        async with savepoint():
            await b(x)
            return await c(x)
    except StepFailed:
        return await d(x)


@saga(name="shape.pivoted")
async def pivoted(x: str) -> str:
    await a(x)
    await b(x)
    await pivot()
    return await c(x)


@saga(name="shape.child")
async def child(x: str) -> str:
    await a(x)
    return await b(x)


@saga(name="shape.parent")
async def parent(x: str) -> str:
    await c(x)
    await child(x)
    return await d(x)


@saga(name="shape.pivoting_child")
async def pivoting_child(x: str) -> str:
    await a(x)
    await pivot()
    return await b(x)


@saga(name="shape.parent_of_pivot")
async def parent_of_pivot(x: str) -> str:
    await c(x)
    return await pivoting_child(x)


@saga(name="shape.with_signal")
async def with_signal(x: str) -> str:
    await a(x)
    try:
        yes = await approved.receive(timeout=3600)
    except TimeoutError:
        yes = False
    if not yes:
        raise Rejected("not approved")
    return await b(x)


@saga(name="shape.with_timeout")
async def with_timeout(x: str) -> str:
    await a(x)
    try:
        return await asyncio.wait_for(patient(x), 60)
    except TimeoutError:
        return await b(x)


@saga(name="shape.with_sleep")
async def with_sleep(x: str) -> str:
    await a(x)
    await asyncio.sleep(86_400)
    return await timed(x)


@saga(name="shape.again")
async def again(x: str, left: int = 2) -> str:
    if left:
        await a(x)
        await amends.continue_as_new(x, left - 1)
    return await b(x)


@saga(name="shape.ad_hoc")
async def ad_hoc(x: str) -> str:
    await a(x)
    amends.undo_with(wipe, x)
    return await b(x)


@saga(name="shape.within", deadline=3600)
async def within(x: str) -> str:
    await a(x)
    await asyncio.sleep(60)
    return await patient(x)


@saga(name="shape.kinds")
async def kinds(x: str) -> str:
    await blocking(x)
    await slow(x)
    return await courier.fetch(x)


@saga(name="shape.told")
async def told(x: str) -> str:
    await a(x)
    await notice(x)
    return await b(x)


@saga(name="shape.chance")
async def chance(x: str) -> str:
    """Chance, clock and ids of the saga's own are deterministic."""
    await a(f"{x} {amends.uuid()}")
    if amends.random().random() < 0.5 or amends.now().year < 2000:
        await b(x)
    return await c(x)


SHAPES: list[SagaCall[Any]] = [
    each("x")
    for each in (
        two,
        five,
        group,
        gathered,
        other_way,
        with_fallback,
        saved,
        pivoted,
        parent,
        parent_of_pivot,
        with_signal,
        with_timeout,
        with_sleep,
        again,
        ad_hoc,
        within,
        kinds,
        told,
        chance,
    )
]
