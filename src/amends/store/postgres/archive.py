"""Whole executions: taken away when they are over, put back as they were elsewhere.

Both are one transaction.  Pruning locks every member of a tree before it judges it, as commits do, in the
order of their numbers; restoring is the statement of a commit that starts them all.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..port import FINAL, History, trees_over
from . import columns
from .link import Run
from .literals import get, maybe_texts, numbers
from .statement import Statements

_PARTS = ("started", "begun", "welcomed", "audited")


class Taken(Exception):
    """An id or a uid exists."""


async def prune(run: Run, sql: Statements, uids: Sequence[str], before: float) -> list[str]:
    """Delete roots that are over, with all that is nested in them."""
    given = {"uids": maybe_texts(uids), "final": maybe_texts(sorted(FINAL)), "before": before}
    found = [
        (num, get(uid), get(root), get(parent), over)
        for num, uid, root, parent, over in await run(sql["trees"], given)
    ]
    gone = trees_over([(uid, root, parent, over) for _, uid, root, parent, over in found], set(uids))
    doomed = [(num, uid) for num, uid, root, parent, _ in found if (root if parent else uid) in gone]
    if doomed:
        nums, names = zip(*doomed, strict=True)
        await run(sql["prune"], {"nums": numbers(nums), "uids": maybe_texts(names)})
    return sorted(gone)


async def restore(run: Run, sql: Statements, channel: str, histories: Sequence[History]) -> None:
    """Add executions with all that is kept of them. Raises `Taken`."""
    values = {"channel": channel, "me": "0"}
    headers, rows, messages, audit = [], [], [], []
    for each in histories:
        uid, over = each.header.uid, each.header.status in FINAL
        wake_at = None if over and not each.inbox else 0.0
        headers.append(columns.header_values(each.header, None, len(each.inbox), wake_at, lost=not over))
        rows += [(uid, row.now, row.checksum, row.position, row.events, row.commands) for row in each.rows]
        messages += [(uid, message.key or None, message.event, None, uid) for message in each.inbox]
        audit += [columns.audit_values(record) for record in each.audit]
    columns.STARTED.put(values, headers)
    columns.BEGUN.put(values, rows)
    columns.WELCOMED.put(values, messages)
    columns.AUDITED.put(values, audit)
    statement = sql.write(_PARTS, fenced=False)
    result = dict(zip(statement.names, (await run(statement.text, values))[0], strict=True))
    if len(result["started"]) < len(histories):
        raise Taken
