"""``amends retain``: delete what ended long ago, into an archive if one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from ...engine.bulk import LARGEST_BATCH
from ...engine.listing import Filters
from ...store.where.parsing import seconds
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import (
    Where,
    after_option,
    ask,
    batch_option,
    command,
    condition_option,
    dry_run_option,
    limit_option,
    saga_option,
    status_option,
    yes_option,
)
from ..progress import resumable
from ..render.text import many


@command(
    """amends retain --older-than 30d --archive archive --yes
amends retain --older-than 90d --status compensated --dry-run"""
)
@click.option("--older-than", "age", required=True, help="What ended longer ago: 12h, 30d, 8w.")
@click.option("--archive", metavar="FOLDER", help="Write it to a file there first (amends import reads it).")
@status_option
@condition_option
@saga_option
@limit_option
@after_option
@batch_option
@dry_run_option
@yes_option
async def retain(
    where: Where,
    *,
    age: str,
    archive: str | None,
    status: tuple[str, ...],
    condition: str,
    saga: str,
    limit: int,
    after: str,
    batch: int,
    dry_run: bool,
    yes: bool,
) -> Exit:
    """Delete executions that ended long ago.

    Nested ones go with their roots, and only if all of the tree has ended. With an execution goes its id: the
    same id may then be started again. Asks first, with their number.
    """
    old = seconds(age)
    if old is None:
        raise Problem(f"{age!r} is no duration", hint="for example --older-than 30d, 12h or 8w")
    filters: Filters = {"status": status, "where": condition, "saga": saga, "after": after, "limit": limit}
    async with where.desk() as desk:
        count = await _count(desk, old, filters)
        if count and not (dry_run or yes):
            ask(where, f"Delete {many(count, 'execution')}{'' if archive else ', without an archive'}?")
        asked: dict[str, Any] = {**filters, "dry_run": dry_run, "batch": batch, "archive": archive}
        gone, kept = await _carry_out(where, desk, old, asked, count)
    if not where.json:
        kept_too = f"; {kept} kept: something of theirs lives" if kept else ""
        into = f", in {Path(archive)}" if archive and gone and not dry_run else ""
        said = "would be deleted" if dry_run else "deleted"
        where.output.show(f"{many(gone, 'execution')} {said}{into}{kept_too}")
    return Exit.OK


async def _count(desk: Desk, old: float, filters: Filters) -> int:
    pages = desk.operations.retain(old, dry_run=True, batch=LARGEST_BATCH, **filters)
    return sum([len(page.ids) async for page in pages])


async def _carry_out(
    where: Where, desk: Desk, old: float, asked: dict[str, Any], count: int
) -> tuple[int, int]:
    """How many went, and how many stayed?"""
    gone = kept = 0
    with resumable(where.output, "retain", count) as advance:
        async for page in desk.operations.retain(old, **asked):
            gone, kept = gone + len(page.ids), kept + len(page.kept)
            advance(len(page.ids) + len(page.kept), page.after)
            if where.json:
                where.output.data({**msgspec.structs.asdict(page), "dry_run": asked["dry_run"]})
    return gone, kept
