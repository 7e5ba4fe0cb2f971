"""``amends schedule``: sagas started by the clock."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import rich_click as click

from ...encryption.environment import codec_from_environment
from ...engine.client import Client
from ...engine.schedules.schedules import ScheduleStatus
from ...engine.schedules.spec import CatchUp, Overlap
from ...store.where.parsing import seconds
from .. import apps, values
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from .list import pairs

_CATCH_UP, _OVERLAP = click.Choice(get_args(CatchUp)), click.Choice(get_args(Overlap))
_DOINGS = ("add", "list", "pause", "resume", "remove", "preview")


@command(
    """amends schedule add nightly app:other --cron '0 2 * * *' --zone Europe/Berlin
amends schedule preview --cron '30 2 * * mon-fri' --zone America/New_York
amends schedule list"""
)
@click.argument("do", type=click.Choice(_DOINGS))
@click.argument("name", default="")
@click.argument("target", default="")
@click.option("--cron", default="", help="Minute, hour, day, month, weekday: '0 2 * * mon-fri'.")
@click.option("--every", default="", help="Instead: a duration between ticks, such as 15min.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone in which cron is read.")
@click.option(
    "--catch-up", type=_CATCH_UP, default="last", show_default=True, help="Of ticks that were missed."
)
@click.option(
    "--overlap", type=_OVERLAP, default="skip", show_default=True, help="While the run before goes on."
)
@click.option("--args", "args", metavar="JSON", help="The saga's arguments.")
@click.option("--attribute", "-a", "attributes", multiple=True, metavar="KEY=VALUE", help="Of each run.")
@click.option("--replace", is_flag=True, help="In place of another one of that name.")
@click.option("--count", default=5, show_default=True, type=click.IntRange(1, 1000), help="Ticks to preview.")
async def schedule(
    where: Where,
    *,
    do: str,
    name: str,
    target: str,
    count: int,
    args: str | None,
    attributes: tuple[str, ...],
    every: str,
    **given: Any,
) -> Exit:
    """Start sagas by the clock: add, list, pause, resume, remove, preview.

    Each tick starts one execution, with the id NAME@TICK. Times are those of --zone, changes of the clocks
    included.
    """
    length = seconds(every) if every else 0.0
    if length is None:
        raise Problem(f"{every!r} is no duration", hint="for example --every 15min")
    given["every"] = length
    if do == "add":
        given |= {"args": args, "attributes": pairs(attributes)}
        await _add(where, name, target, given)
    elif do == "list":
        async with where.desk() as desk:
            await _list(where, desk)
    elif do == "preview":
        when = {key: given[key] for key in ("cron", "every", "zone")}
        for moment in Client("memory://").schedules.preview(**when, count=count):
            _say(where, {"tick": moment.isoformat()}, moment.isoformat(" "))
    else:
        _must_be_named(name, do)
        async with where.desk() as desk:
            await getattr(desk.schedules, do)(name)
        _say(where, {"name": name, "action": do}, f"{name}: {do} recorded")
    return Exit.OK


async def _add(where: Where, name: str, target: str, given: dict[str, Any]) -> None:
    _must_be_named(name, "add")
    app = apps.load(target or None)
    call = values.call(app.saga(target), given.pop("args"), None)
    codec = codec_from_environment()
    async with Client(where.place.url, namespace=where.namespace, codec=codec) as client:
        await client.schedules.add(name, call, **given)
    told = {"name": name, "action": "add", "saga": call.saga.name}
    _say(where, told, f"{name}: starts {call.saga.name}")


def _say(where: Where, data: dict[str, Any], text: str) -> None:
    if where.json:
        where.output.data(data)
    else:
        where.output.show(text)


def _must_be_named(name: str, do: str) -> None:
    if not name:
        raise Problem("the schedule's name is missing", hint=f"amends schedule {do} NAME")


async def _list(where: Where, desk: Desk) -> None:
    found = await desk.schedules.list()
    for status in found:
        due = status.next and status.next.isoformat()
        _say(where, {**msgspec.structs.asdict(status), "next": due}, _line(status))
    if not found:
        where.output.note("no schedules")


def _line(status: ScheduleStatus) -> str:
    when = f"{status.cron} {status.zone}" if status.cron else f"every {status.every:g} s"
    due = (
        "paused"
        if status.paused
        else f"next {status.next:%Y-%m-%d %H:%M:%SZ}"
        if status.next
        else "not begun"
    )
    return f"{status.name}  {status.saga}  {when}  {due}"
