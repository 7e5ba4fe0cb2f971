"""Whole executions: taken away when they are over, put back as they were elsewhere.

Both run in one write transaction, so what is read before deleting stays true until it is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apsw

from ..port import FINAL, History, trees_over
from . import commit, tasks
from .commit import audit_values
from .worker_side import CONTROL

_AUDIT = CONTROL.bulk("audit")


class Taken(Exception):
    """An id or a uid exists."""


def prune(db: apsw.Connection, uids: Sequence[str], before: float) -> list[str]:
    """Delete roots that are over, with all that is nested in them."""
    parameters = (json.dumps(list(uids)), json.dumps(sorted(FINAL)), before)
    found: list[tuple[Any, ...]] = db.execute(CONTROL["trees"], parameters).fetchall()
    members = [(uid, root, parent, bool(over)) for _, uid, root, parent, over in found]
    gone = trees_over(members, set(uids))
    doomed = [(num, uid) for num, uid, root, parent, _ in found if (root if parent else uid) in gone]
    nums, names = json.dumps([num for num, _ in doomed]), json.dumps([uid for _, uid in doomed])
    for what in ("journal", "inbox", "executions"):
        db.execute(CONTROL[f"prune_{what}"], (nums,))
    for what in ("attributes", "audit"):
        db.execute(CONTROL[f"prune_{what}"], (names,))
    db.execute(tasks.SQL["forget"], (names,))
    return sorted(gone)


def restore(db: apsw.Connection, histories: Sequence[History]) -> None:
    """Add executions with all that is kept of them. Raises `Taken`."""
    headers: list[Any] = []
    for each in histories:
        over = each.header.status in FINAL
        headers += commit.header_values(each.header, None, None if over else 0.0)
    nums = commit.insert(db, headers)
    if len(nums) < len(histories):
        raise Taken
    rows = [
        value
        for each in histories
        for row in each.rows
        for value in (nums[each.header.uid], row.position, row.now, row.events, row.commands, row.checksum)
    ]
    commit.append(db, rows)
    messages = [(m.uid, m.key or None, m.event) for each in histories for m in each.inbox]
    if messages:
        commit.post(db, messages, nums.get)
    _AUDIT.run(db.execute, [value for each in histories for one in each.audit for value in audit_values(one)])
    lost = [each.header.uid for each in histories if each.header.status not in FINAL]
    db.execute(CONTROL["lose"], (json.dumps(lost),))
