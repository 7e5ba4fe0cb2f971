"""``amends retain``: delete what ended long ago, into an archive if one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from ...engine.bulk import BATCH, LARGEST_BATCH
from ...engine.listing import MOST, Filters
from ...store.where.parsing import seconds
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, ask, command, status_option
from ..progress import progress
from ..render.text import many

_COUNTING = 1000
_BATCH = click.IntRange(1, LARGEST_BATCH)


@command(
    """amends retain --older-than 30d --archive archive --yes
amends retain --older-than 90d --status compensated --dry-run"""
)
@click.option("--older-than", "age", required=True, help="What ended longer ago: 12h, 30d, 8w.")
@click.option("--archive", metavar="FOLDER", help="Write it to a file there first (amends import reads it).")
@status_option
@click.option("--where", "condition", default="", help="Only where it holds: attributes.total > 100.")
@click.option("--saga", default="", help="Only of this saga (its durable name).")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.option("--after", default="", metavar="UID", help="Go on after this one (said when interrupted).")
@click.option("--batch", default=BATCH, show_default=True, type=_BATCH, help="So many at a time.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
async def retain(
    where: Where,
    *,
    age: str,
    archive: str | None,
    status: tuple[str, ...],
    condition: str,
    saga: str,
    limit: int | None,
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
    filters: Filters = {"status": status, "where": condition, "saga": saga, "after": after}
    filters |= {"limit": limit or MOST}
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
    pages = desk.operations.retain(old, dry_run=True, batch=_COUNTING, **filters)
    return sum([len(page.ids) async for page in pages])


async def _carry_out(
    where: Where, desk: Desk, old: float, asked: dict[str, Any], count: int
) -> tuple[int, int]:
    """How many went, and how many stayed?"""
    gone = kept = 0
    after = ""
    try:
        with progress(where.output, "retain", count) as advance:
            async for page in desk.operations.retain(old, **asked):
                gone, kept, after = gone + len(page.ids), kept + len(page.kept), page.after
                advance(len(page.ids) + len(page.kept))
                if where.json:
                    where.output.data({**msgspec.structs.asdict(page), "dry_run": asked["dry_run"]})
    except BaseException:
        if after:
            where.output.note(f"not all is done: go on with --after {after}", style="careful")
        raise
    return gone, kept
