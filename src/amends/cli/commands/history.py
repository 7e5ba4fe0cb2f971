"""``amends history``: the journal, row by row."""

from __future__ import annotations

from typing import Any

import rich_click as click

from ...engine.backend import events_of
from ...engine.forking import forked_as
from ...errors import AmendsError, CorruptJournal
from ...kernel.entries import Row
from ..exits import Exit
from ..options import Where, command, one_id
from ..render import journal
from ..render.text import utc


@command("amends history order-1001\namends history order-1001 --tail 5")
@one_id
@click.option("--tail", type=click.IntRange(1), help="Only the last so many rows.")
async def history(where: Where, id: str, tail: int | None) -> Exit:
    """Show the journal of an execution, row by row.

    Each row is one activation: the events that came in (◀) and the commands that went out (▶).
    With --json: one object per line.
    """
    async with where.desk() as desk:
        header, rows, inbox = await desk.read(await desk.find(id))
        forked = forked_as(await desk.audit(header))
    shown = rows[-tail:] if tail else rows
    damage: AmendsError | None = None
    for row in shown:
        try:
            one = _row(row)
        except CorruptJournal as error:
            damage = error
            break
        if where.json:
            where.output.data({**one, "now": utc(row.now)})
        else:
            where.output.show(*journal.row(one, rows[0].now))
    if damage is not None:
        raise damage
    if inbox and not where.json:
        where.output.note(f"{len(inbox)} message(s) wait in its inbox for a worker", style="careful")
    if forked and not where.json:
        where.output.note(f"it was forked, as {forked}")
    if not rows:
        where.output.note(f"{header.id} has no rows yet: no worker has taken it", style="careful")
    return Exit.OK


def _row(row: Row) -> dict[str, Any]:
    return events_of([row])[0]
