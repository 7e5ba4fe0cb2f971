"""``amends bulk``: cancel, pause, resume, retry, resolve, skip or terminate all that a query finds."""

from __future__ import annotations

from typing import Any

import msgspec
import rich_click as click

from ...engine.bulk import ACTIONS, LARGEST_BATCH, BulkItem
from ...engine.listing import Filters
from .. import values
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import (
    Where,
    action_option,
    after_option,
    ask,
    batch_option,
    by_option,
    command,
    condition_option,
    dry_run_option,
    limit_option,
    prefix_option,
    reason_option,
    saga_option,
    status_option,
    yes_option,
)
from ..progress import resumable
from ..render.text import many


@command(
    """amends bulk retry --status attention --reason 'the bank is back' --yes
amends bulk cancel --where 'attributes.supplier = "acme"' --reason 'closed' --dry-run"""
)
@click.argument("do", type=click.Choice(ACTIONS))
@status_option
@condition_option
@saga_option
@prefix_option
@click.option("--all", "everything", is_flag=True, help="Without a filter: all there are.")
@limit_option
@after_option
@batch_option
@action_option
@click.option("--value", metavar="JSON", help="For resolve: the result of a held step.")
@reason_option(required=False)
@by_option
@dry_run_option
@yes_option
async def bulk(
    where: Where,
    *,
    do: str,
    status: tuple[str, ...],
    condition: str,
    saga: str,
    prefix: str,
    everything: bool,
    limit: int,
    after: str,
    batch: int,
    action: str,
    value: str | None,
    reason: str,
    by: str,
    dry_run: bool,
    yes: bool,
) -> Exit:
    """Do something to all executions that a query finds.

    Each request is audited like that of a single command, and durable before the next batch. Without
    --status: those that have not ended (cancel, pause, terminate), are paused (resume) or need attention
    (retry, resolve, skip). Asks first, with their number.
    """
    if not (status or condition or saga or prefix or everything):
        raise Problem(
            "no filter: this would be everything", hint="narrow it by --where, --status …; or say --all"
        )
    filters: Filters = {
        "status": status,
        "where": condition,
        "saga": saga,
        "id_prefix": prefix,
        "after": after,
        "limit": limit,
    }
    given = None if value is None else values.read(value, "--value")
    request = {"do": do, "reason": reason, "by": by, "action": action, "value": given}
    async with where.desk() as desk:
        count = await _count(desk, request, filters)
        if count and not (dry_run or yes):
            ask(where, f"{do.capitalize()} {many(count, 'execution')}?")
        refused = await _carry_out(
            where, desk, {**request, "dry_run": dry_run, "batch": batch, **filters}, count
        )
    if not where.json:
        would = "would be asked to" if dry_run else "asked to"
        where.output.show(
            f"{many(count - refused, 'execution')} {would} {do}" + (f"; {refused} refused" * bool(refused))
        )
    return Exit.REFUSED if refused else Exit.OK


async def _count(desk: Desk, request: dict[str, Any], filters: Filters) -> int:
    pages = desk.operations.bulk(**request, dry_run=True, batch=LARGEST_BATCH, **filters)
    return sum([len(page.items) async for page in pages])


async def _carry_out(where: Where, desk: Desk, asked: dict[str, Any], count: int) -> int:
    """How many were refused?"""
    refused = 0
    with resumable(where.output, str(asked["do"]), count) as advance:
        async for page in desk.operations.bulk(**asked):
            advance(len(page.items), page.after)
            for item in page.items:
                refused += not item.done
                _tell(where, asked, item)
    return refused


def _tell(where: Where, asked: dict[str, Any], item: BulkItem) -> None:
    if where.json:
        where.output.data(
            {**msgspec.structs.asdict(item), "action": asked["do"], "dry_run": asked["dry_run"]}
        )
    elif not item.done:
        where.output.note(f"{item.id}: {item.message}", style="careful")
    elif asked["dry_run"]:
        where.output.show(f"{item.id}  {item.status}  {item.saga}")
