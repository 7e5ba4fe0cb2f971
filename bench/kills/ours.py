"""Our worker, as the README teaches: ``python -m bench.kills.ours FOLDER ORDERS`` (see `schedule.Orders`)."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import amends
from amends import Engine, Limits, Refused, Rejected, Retry, Settings, Signal, saga, step

from .book import BEGUN, DONE, REJECTED, note

ONCE = Retry(attempts=1)
approved = Signal[str]("kills.approved")
Path = str


@step(name="kills.buy", retry=ONCE)
async def buy(book: Path, place: int) -> None:
    id = amends.current().id
    note(book, id, place, "do", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "do", DONE)


@buy.compensation
async def sell(bought: None, book: Path, place: int) -> None:
    id = amends.current().id
    note(book, id, place, "undo", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "undo", DONE)


@step(name="kills.refuse", retry=ONCE)
async def refuse(book: Path, place: int) -> None:
    id = amends.current().id
    note(book, id, place, "do", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "do", REJECTED)
    raise Rejected("no")


@step(name="kills.ask", retry=ONCE, timeout=0.2)
async def ask(book: Path, place: int) -> None:
    """It takes effect, and its answer never comes."""
    note(book, amends.current().id, place, "do", BEGUN)
    await asyncio.sleep(3600)


@ask.compensation
async def unask(asked: None, book: Path, place: int) -> None:
    id = amends.current().id
    note(book, id, place, "undo", BEGUN)
    note(book, id, place, "undo", DONE)


@saga(name="kills.straight")
async def straight(book: Path) -> None:
    for place in (1, 2, 3):
        await buy(book, place)


@saga(name="kills.refused")
async def refused(book: Path) -> None:
    await buy(book, 1)
    await buy(book, 2)
    await refuse(book, 3)


@saga(name="kills.unanswered")
async def unanswered(book: Path) -> None:
    await buy(book, 1)
    await ask(book, 2)


@saga(name="kills.sleeping")
async def sleeping(book: Path) -> None:
    await buy(book, 1)
    await asyncio.sleep(0.3)
    await buy(book, 2)


@saga(name="kills.cancelled")
async def cancelled(book: Path) -> None:
    await buy(book, 1)
    await approved.receive()
    await buy(book, 2)


SAGAS = {
    "straight": straight,
    "refused": refused,
    "unanswered": unanswered,
    "sleeping": sleeping,
    "cancelled": cancelled,
}
ENDED = {"completed": "completed", "compensated": "undone"}


async def main(folder: str, orders: dict[str, Any]) -> None:
    book = f"{folder}/book"
    # deaths: what is there each time a worker dies would be set aside as its likely cause.
    settings = Settings(grace=0.2, limits=Limits(deaths=1000))
    async with Engine(
        f"sqlite:///{folder}/sagas.db", sagas=list(SAGAS.values()), settings=settings
    ) as engine:
        for id in orders["start"]:
            await engine.start(SAGAS[id.rpartition("-")[0]](book), id=id)
        for id in orders["cancel"]:
            try:
                await engine.handle(cancelled, id).cancel("changed my mind")
            except Refused:  # before the kill
                continue
        print("started", flush=True)
        if not orders["finish"]:
            await asyncio.Event().wait()
        idle, before = 0, -1
        while idle < orders["patience"]:
            statuses = {status.id: status.status for status in await engine.list(limit=10_000)}
            ended = sum(status in ENDED for status in statuses.values())
            if ended == len(statuses):
                break
            idle = idle + 1 if ended == before else 0
            before = ended
            await asyncio.sleep(0.1)
        print(json.dumps({id: ENDED.get(status, status) for id, status in statuses.items()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
