"""``amends queue``: queues of steps that run elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import rich_click as click
from rich.table import Table

from ...errors import did_you_mean
from ...store.queueing import QueueLimits, QueueStatus
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from ..render.text import duration

_DOINGS = ("list", "pause", "resume", "limit")
_COUNT = click.IntRange(0)


@command(
    """amends queue limit emails --concurrency 20 --per-key 1 --rate 50
amends queue pause emails
amends queue list"""
)
@click.argument("do", type=click.Choice(_DOINGS))
@click.argument("name", default="")
@click.option("--concurrency", type=_COUNT, help="Tasks that run at once, everywhere. 0 for all: no limit.")
@click.option("--per-key", type=_COUNT, help="Of these, with one key.")
@click.option("--rate", type=click.FloatRange(0), help="Tasks begun in a second, on average.")
@click.option("--burst", type=_COUNT, help="Of these, at once after a rest.")
@click.option("--depth", type=_COUNT, help="Tasks that may wait before starters are held back.")
async def queue(where: Where, *, do: str, name: str, **limits: float | None) -> Exit:
    """Look at queues and steer them: list, pause, resume, limit.

    What is set holds for all who serve the queue, from the next task on. Paused, what runs goes on and what
    is issued waits. `limit` changes the limits that are given.
    """
    async with where.desk() as desk:
        if do == "list":
            await _list(where, desk, name)
            return Exit.OK
        if not name:
            raise Problem("the queue's name is missing", hint=f"amends queue {do} NAME")
        known = [each.name for each in await desk.queues.list()]
        if do == "limit":
            await _limit(where, desk, name, limits)
        else:
            await getattr(desk.queues, do)(name)
            _say(where, {"name": name, "action": do}, f"{name}: {do} recorded")
        if name not in known:
            where.output.note(
                f"{name}: no task and no setting of such a queue was known. {_nearest(name, known)}"
            )
    return Exit.OK


def _nearest(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known)
    return hint[:1].upper() + hint[1:] or "It holds for what is to come."


async def _limit(where: Where, desk: Desk, name: str, given: dict[str, Any]) -> None:
    changed = {word: value or None for word, value in given.items() if value is not None}
    if not changed:
        raise Problem("no limit is given", hint=f"amends queue limit {name} --concurrency 10 (0: no limit)")
    limits = msgspec.structs.replace((await desk.queues.status(name)).limits, **changed)
    await desk.queues.limit(name, limits)
    told = {"name": name, "action": "limit", "limits": msgspec.structs.asdict(limits)}
    _say(where, told, f"{name}: {_limits(limits)}")


async def _list(where: Where, desk: Desk, name: str) -> None:
    found = await desk.queues.list()
    if name:
        found = [each for each in found if each.name == name]
    if where.json:
        for status in found:
            where.output.data(form(status))
    elif found:
        where.output.show(_table(found))
    else:
        where.output.note("no queues")


def form(status: QueueStatus) -> dict[str, Any]:
    """A queue for programs."""
    return {**msgspec.structs.asdict(status), "limits": msgspec.structs.asdict(status.limits)}


def _table(found: Sequence[QueueStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("QUEUE", "WAITING", "OLDEST", "DELAYED", "RUNNING", "STATE", "LIMITS"):
        table.add_column(column, no_wrap=True)
    for each in found:
        oldest = duration(each.oldest) if each.waiting else ""
        state = "paused" if each.paused else "open"
        counts = (str(each.waiting), oldest, str(each.delayed), str(each.running))
        table.add_row(each.name, *counts, state, _limits(each.limits))
    return table


def _limits(limits: QueueLimits) -> str:
    words = {"per_key": "per key", "rate": "a second", "depth": "waiting"}
    given = msgspec.structs.asdict(limits)
    said = [f"{value:g} {words.get(word, word)}" for word, value in given.items() if value is not None]
    return ", ".join(said) or "no limits"


def _say(where: Where, data: dict[str, Any], text: str) -> None:
    if where.json:
        where.output.data(data)
    else:
        where.output.show(text)
