"""``amends fork``: an execution that has ended is gone on from in a new one."""

from __future__ import annotations

import rich_click as click

from .. import forms
from ..exits import Exit
from ..options import Where, by_option, command, one_id, reason_option, wait_option
from ..outcomes import of_status


@command("amends fork order-1001 --step charge --id order-1001b --reason 'the bank was mended'")
@one_id
@click.option(
    "--step",
    required=True,
    metavar="NAME",
    help="Before which step: its name (NAME#2: the second time) or an action's id.",
)
@click.option("--id", "new_id", metavar="NEWID", help="Of the new execution (default: ID-fork).")
@reason_option(required=False)
@by_option
@wait_option
async def fork(
    where: Where, *, id: str, step: str, new_id: str | None, reason: str, by: str, wait: bool
) -> Exit:
    """Go on from a step of an execution that has ended, in a new one.

    It takes over all that happened before the step was begun, and goes on with the code of today. What was
    done before is then the new execution's to undo. Refused when any of it was undone since, or when
    something that was begun afterwards still stands. An execution is forked once. Durable when this returns.
    """
    async with where.desk() as desk:
        handle = await desk.handle(id).fork(step, id=new_id, reason=reason, by=by)
        if desk.worker() is None and not where.json:
            where.output.note(f"nobody serves this store: {where.worker()}", style="careful")
        if wait:
            await handle.outcome()
        header = await desk.seen(await desk.find(handle.id))
    if where.json:
        where.output.data({**forms.outcome(header), "action": "fork", "forked_from": id})
    elif wait:
        where.output.show(f"{handle.id} {header.status}" + (f" ({header.cause})" if header.cause else ""))
    else:
        where.output.show(f"{id}: forked as {handle.id}")
    return of_status(header.status) if wait else Exit.OK
