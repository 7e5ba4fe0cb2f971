"""``amends show``: one execution, with what to type next."""

from __future__ import annotations

import rich_click as click

from ..desk import Desk
from ..exits import Exit
from ..options import Where, command, one_id
from ..render.execution import View, execution
from ..views import form, look
from ..watch import Lines, follow


@command("amends show order-1001\namends show order-1001 --watch")
@one_id
@click.option("--watch", "-w", is_flag=True, help="Follow it until it ends or needs a person.")
async def show(where: Where, id: str, watch: bool) -> Exit:
    """Show one execution: steps, compensations, timing, what to do.

    Bars show when each step ran, from the start to now. With --json: one object; with --watch as well: one
    per change, a line each.
    """
    async with where.desk() as desk:
        if watch:
            await _watched(where, desk, id)
        if not watch or not (where.json or where.output.live):
            _page(where, await look(where, desk, id))
    return Exit.OK


async def _watched(where: Where, desk: Desk, id: str) -> None:
    def as_json(view: View) -> None:
        where.output.data(form(view))

    console = where.output.out
    await follow(where, desk, id, on=console, changed=as_json if where.json else Lines(console))


def _page(where: Where, view: View) -> None:
    if where.json:
        where.output.data(form(view))
    else:
        where.output.show(execution(view, where.output.out.width))
