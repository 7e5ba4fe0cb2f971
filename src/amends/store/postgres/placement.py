"""What a server says of its partitions: all of them, or the share that it was given (see `store.places`)."""

from __future__ import annotations

from ...errors import Misplaced
from ..partition import Placement, Share
from .link import Run
from .statement import named, read

_SQL = named(read("placement.sql"))


async def found(run: Run, schema: str, where: str) -> Placement | None:
    """What the server says; None: nothing. Raises `Misplaced` for what this release cannot mean."""
    if not (await run(_of("placement_known", schema), {}))[0][0]:
        return None
    rows = await run(_of("placement", schema), {})
    if not rows:
        return None
    family, number, count, complete, first, past = rows[0]
    share = Share(number=number, count=count)
    if (share.first, share.past) != (first, past):
        raise Misplaced(
            f"{where} says that it is server {number + 1} of {count}"
            f" and holds partitions {first} to {past - 1}; it would be {share.first} to {share.past - 1}",
            hint="has the table placement been changed by hand? Put it back as it was",
        )
    return Placement(family=family, share=share, complete=complete)


async def must_be_alone(run: Run, schema: str, where: str) -> None:
    """Raise `Misplaced` when the server holds a part of a store."""
    placement = await found(run, schema, where)
    if placement is not None:
        raise Misplaced(
            f"{where} is {placement.share.said}: opened alone, it would take ids that belong to the others",
            hint="name all servers of the store, in their order: 'postgresql://… postgresql://…'",
        )


async def begin(run: Run, schema: str, where: str, placement: Placement) -> None:
    """Give a new server its share, unless it has one. Raises `Misplaced` when it is not new."""
    if await run(_of("placement", schema), {}):
        return
    if (await run(_of("placement_used", schema), {}))[0][0]:
        raise Misplaced(
            f"{where} was used by itself before (schema {schema}), so it cannot become one of"
            f" {placement.share.count} servers as it is: most of what it holds would be sought on the others",
            hint="begin with empty databases, or another schema, and bring in what it holds:"
            " `amends export`, then `amends import` (docs/places.md)",
        )
    share = placement.share
    values = {"number": share.number, "count": share.count, "first": share.first, "past": share.past}
    await run(_of("placement_begin", schema), {"family": placement.family, **values})


async def complete(run: Run, schema: str, family: str) -> None:
    """All servers of that store have their rows."""
    await run(_of("placement_complete", schema), {"family": family})


def _of(name: str, schema: str) -> str:
    return _SQL[name].replace("{schema}", schema)
