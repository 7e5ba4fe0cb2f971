"""The sagas of the acceptance tests: small ones, each of another kind, whose steps write in the book.

Every step takes its place in the saga as an argument (what runs in parallel shares a place), so that the book
tells in which order effects must be undone.  Steps have no timeout but where one is meant to strike: a busy
machine makes nothing unknown here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import amends
from amends import Rejected, Resource, Retry, Signal, StepFailed, Transaction, injected, saga, step

from .book import BEGUN, CANCELLED, DONE, FAILED, REJECTED, Book, entry

ONCE = Retry(attempts=1)
SOON = Retry(attempts=2, delay=0.4, factor=1.0, jitter=0.0)
FAR = 3_600.0

approved = Signal[str]("acceptance.approved")


@asynccontextmanager
async def written(book: Book, action: str, place: int) -> AsyncIterator[None]:
    """The two lines of a step: at its begin (on disk before it goes on) and at its end."""
    book.append(entry(action, place, BEGUN))
    outcome = FAILED
    try:
        await book.synced()
        yield
        outcome = DONE
    except Rejected:
        outcome = REJECTED
        raise
    except asyncio.CancelledError:
        outcome = CANCELLED
        raise
    finally:
        book.append(entry(action, place, outcome))
    await book.synced()


# ---------------------------------------------------------------- steps


@step(name="acceptance.buy", retry=ONCE)
async def buy(place: int, seconds: float = 0.02, book: Resource[Book] = injected) -> int:
    async with written(book, "buy", place):
        await asyncio.sleep(seconds)
    return place


@buy.compensation
async def sell(
    bought: int | None, place: int, seconds: float = 0.02, book: Resource[Book] = injected
) -> None:
    async with written(book, "buy", place):
        await asyncio.sleep(seconds)


@step(name="acceptance.press", retry=ONCE)
def press(place: int, seconds: float = 0.02, book: Resource[Book] = injected) -> int:
    """A plain `def`: it runs in a thread."""
    book.append(entry("press", place, BEGUN))
    book.sync()
    time.sleep(seconds)
    book.append(entry("press", place, DONE))
    book.sync()
    return place


@press.compensation
def melt(pressed: int | None, place: int, seconds: float = 0.02, book: Resource[Book] = injected) -> None:
    book.append(entry("press", place, BEGUN))
    book.sync()
    time.sleep(seconds)
    book.append(entry("press", place, DONE))
    book.sync()


@step(name="acceptance.refuse", retry=ONCE)
async def refuse(place: int, seconds: float = 0.02, book: Resource[Book] = injected) -> None:
    """The participant says no: certainly no effect."""
    async with written(book, "refuse", place):
        await asyncio.sleep(seconds)
        raise Rejected("no")


@refuse.compensation
async def unrefuse(result: None, place: int, seconds: float = 0.02, book: Resource[Book] = injected) -> None:
    """Runs only for a refusal whose outcome became unknown: an attempt of it was lost with a worker."""
    async with written(book, "refuse", place):
        await asyncio.sleep(0.02)


@step(name="acceptance.ask", retry=ONCE, timeout=0.2)
async def ask(place: int, book: Resource[Book] = injected) -> None:
    """It acts, and its answer never comes."""
    async with written(book, "ask", place):
        await asyncio.sleep(FAR)


@ask.compensation
async def unask(answer: None, place: int, book: Resource[Book] = injected) -> None:
    async with written(book, "ask", place):
        await asyncio.sleep(0.02)


@step(name="acceptance.rent", retry=ONCE)
async def rent(place: int, book: Resource[Book] = injected) -> int:
    async with written(book, "rent", place):
        await asyncio.sleep(0.02)
    return place


@rent.compensation(retry=SOON)
async def give_back(rented: int | None, place: int, book: Resource[Book] = injected) -> None:
    """Fails until somebody repairs it."""
    async with written(book, "rent", place):
        if not (book.folder / "repaired").exists():
            raise ConnectionError("nobody opens")


@step(name="acceptance.deposit", transaction=True)
def deposit(tx: Resource[Transaction] = injected) -> None:
    """Its effect is a row of its own in the store's file, in one commit with the journal's."""
    tx.execute("CREATE TABLE IF NOT EXISTS deposits (id TEXT NOT NULL)")
    tx.execute("INSERT INTO deposits VALUES (?)", (amends.current().id,))


# ---------------------------------------------------------------- sagas


@saga(name="acceptance.straight")
async def straight(steps: int, end: str = "", seconds: float = 0.02) -> int:
    """One after the other. `end`: what comes last ("refuse", "ask", or nothing)."""
    for place in range(1, steps + 1):
        await buy(place, seconds)
    await _end(end, steps + 1, seconds)
    return steps


@saga(name="acceptance.threads")
async def threads(steps: int, end: str = "", seconds: float = 0.02) -> int:
    for place in range(1, steps + 1):
        await press(place, seconds)
    await _end(end, steps + 1)
    return steps


@saga(name="acceptance.sleeper")
async def sleeper(seconds: float, end: str = "") -> None:
    await buy(1)
    await asyncio.sleep(seconds)
    await buy(2)
    await _end(end, 3)


@saga(name="acceptance.abreast")
async def abreast(end: str = "") -> None:
    """First one, then two at a time, then one."""
    await buy(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(buy(2))
        group.create_task(press(2))
    await buy(3)
    await _end(end, 4)


@saga(name="acceptance.child")
async def child(place: int, end: str = "") -> int:
    await buy(place)
    await buy(place + 1)
    await _end(end, place + 2)
    return place


@saga(name="acceptance.parent")
async def parent(end: str = "", childs_end: str = "") -> None:
    """Buys, has a child, buys."""
    await buy(1)
    await child(2, childs_end)
    await buy(6)
    await _end(end, 7)


@saga(name="acceptance.forgiving")
async def forgiving(end: str = "") -> None:
    """The first way gets no answer (so it is undone at once), the second one works."""
    try:
        await ask(1)
    except StepFailed:
        await buy(2)
    await buy(3)
    await _end(end, 4)


@saga(name="acceptance.patient")
async def patient(place: int = 2) -> str:
    """Waits for a signal after its first step, and does another one then."""
    await buy(1)
    name = await approved.receive()
    await buy(place)
    return name


@saga(name="acceptance.rounds")
async def rounds(left: int, place: int = 1, end: str = "") -> int:
    """One step a run, each run continued as new."""
    await buy(place, 0.005)
    if left > 1:
        await amends.continue_as_new(left - 1, place + 1, end)
    await _end(end, place + 1)
    return place


@saga(name="acceptance.stuck")
async def stuck() -> None:
    """Its second step cannot be undone at first; the others can."""
    await buy(1)
    await rent(2)
    await buy(3)
    await refuse(4)


@saga(name="acceptance.banking")
async def banking() -> None:
    await buy(1)
    await deposit()
    await buy(3)


async def _end(end: str, place: int, seconds: float = 0.02) -> None:
    if end == "refuse":
        await refuse(place, seconds)
    elif end == "ask":
        await ask(place)


SAGAS = [straight, threads, sleeper, abreast, child, parent, forgiving, patient, rounds, stuck, banking]
