"""DBOS's worker: ``python -m bench.kills.peer FOLDER ORDERS``, in its own environment.

DBOS has no compensations, so its programs carry a list of what to undo.  This one is careful: an undo is on
the list before its action is called, so that an action without an answer is undone, too; an action that was
refused is taken off it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from .book import BEGUN, DONE, REJECTED, note


class Refusal(Exception):
    """The participant says no: certainly no effect."""


@DBOS.step()
async def buy(book: str, id: str, place: int) -> None:
    note(book, id, place, "do", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "do", DONE)


@DBOS.step()
async def sell(book: str, id: str, place: int) -> None:
    note(book, id, place, "undo", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "undo", DONE)


@DBOS.step()
async def refuse(book: str, id: str, place: int) -> None:
    note(book, id, place, "do", BEGUN)
    await asyncio.sleep(0.02)
    note(book, id, place, "do", REJECTED)
    raise Refusal("no")


@DBOS.step(timeout_seconds=0.2)
async def ask(book: str, id: str, place: int) -> None:
    """It takes effect, and its answer never comes."""
    note(book, id, place, "do", BEGUN)
    await asyncio.sleep(3600)


async def _undoing(book: str, id: str, actions: list[Any]) -> None:
    """One after the other; when one fails, it (if in doubt) and all before it are undone in reverse."""
    undo: list[int] = []
    try:
        for place, action in enumerate(actions, 1):
            undo.append(place)
            await action(book, id, place)
    except Exception as error:
        if isinstance(error, Refusal):
            undo.pop()
        for place in reversed(undo):
            await sell(book, id, place)
        raise


@DBOS.workflow()
async def straight(book: str, id: str) -> None:
    await _undoing(book, id, [buy, buy, buy])


@DBOS.workflow()
async def refused(book: str, id: str) -> None:
    await _undoing(book, id, [buy, buy, refuse])


@DBOS.workflow()
async def unanswered(book: str, id: str) -> None:
    await _undoing(book, id, [buy, ask])


async def _pause(book: str, id: str, place: int) -> None:
    await DBOS.sleep_async(0.3)
    await buy(book, id, place)


@DBOS.workflow()
async def sleeping(book: str, id: str) -> None:
    await _undoing(book, id, [buy, _pause])


async def _wait(book: str, id: str, place: int) -> None:
    await DBOS.recv_async("approved", timeout_seconds=3600)
    await buy(book, id, place)


@DBOS.workflow()
async def cancelled(book: str, id: str) -> None:
    await _undoing(book, id, [buy, _wait])


SAGAS: dict[str, Any] = {
    "straight": straight,
    "refused": refused,
    "unanswered": unanswered,
    "sleeping": sleeping,
    "cancelled": cancelled,
}
ENDED = {"SUCCESS": "completed", "ERROR": "undone", "CANCELLED": "undone"}


async def main(folder: str, orders: dict[str, Any]) -> None:
    config: DBOSConfig = {
        "name": "kills",
        "system_database_url": f"sqlite:///{folder}/sagas.db",
        "log_level": "CRITICAL",
        "application_version": "1",
    }
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    DBOS(config=config)
    DBOS.launch()  # recovers by itself what was pending
    book = f"{folder}/book"
    for id in orders["start"]:
        with SetWorkflowID(id):
            await DBOS.start_workflow_async(SAGAS[id.rpartition("-")[0]], book, id)
    for id in orders["cancel"]:
        await DBOS.cancel_workflow_async(id)
    print("started", flush=True)
    if not orders["finish"]:
        await asyncio.Event().wait()
    idle, before = 0, -1
    while idle < orders["patience"]:
        found = await DBOS.list_workflows_async(load_input=False, load_output=False)
        statuses = {each.workflow_id: each.status for each in found}
        ended = sum(status in ENDED for status in statuses.values())
        if ended == len(statuses):
            break
        idle = idle + 1 if ended == before else 0
        before = ended
        await asyncio.sleep(0.1)
    time.sleep(0.2)  # noqa: ASYNC251 - what a cancelled workflow still does
    print(json.dumps({id: ENDED.get(status, status) for id, status in statuses.items()}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
