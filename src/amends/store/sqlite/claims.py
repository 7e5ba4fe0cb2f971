"""Claiming: taking ownership in one short transaction, then reading what was taken.

The reading comes after the commit: what we own nobody else changes, except for messages, which is why the
header (with `inbox_seq`) is read together with the inbox, once more.  It must not come before: when SQLite
meets a damaged page inside a write transaction, it refuses to commit, and one damaged journal would keep
all the others unclaimed.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping
from typing import Any

import apsw

from ..port import SLEPT, Claim
from . import reading
from .commit import check_fence


class Claiming:
    """One claim. `take` is the transaction, `load` what follows its commit."""

    def __init__(
        self,
        incarnation: int,
        now: float,
        limit: int,
        owned: dict[str, int],
        shares: Mapping[str, float],
    ) -> None:
        self.claims: list[Claim] = []
        self._incarnation = incarnation
        self._now = now
        self._limit = limit
        self._shares = shares
        self._owned = owned
        self._taken: list[tuple[int, str, int, int, int, int | None]] = []
        self._db: apsw.Connection

    def take(self, db: apsw.Connection) -> None:
        """Become the owner of what is due, in turns of the namespaces."""
        self._db = db
        check_fence(db, self._incarnation)
        self._taken = due(db, self._now, self._limit, self._shares)
        nums = json.dumps([taken[0] for taken in self._taken])
        db.execute(reading.SQL["take"], (self._incarnation, nums))

    def load(self, _: None) -> None:
        """Read headers, journals and inboxes. An error here leaves us owning what we do not know."""
        found = reading.load(self._db, [taken[0] for taken in self._taken])
        for num, uid, lost, deaths, death_head, lost_by in self._taken:
            history = found[num]
            self._owned[uid] = num
            head = history.rows[-1].position + 1 if history.rows else 0
            same_head = deaths if death_head == head else 0
            slept = bool(lost) and death_head == SLEPT
            claim = Claim(*history, lost=bool(lost), deaths=same_head, slept=slept)
            claim.lost_by = lost_by if lost else None
            self.claims.append(claim)


def due(db: apsw.Connection, now: float, limit: int, shares: Mapping[str, float]) -> list[tuple[Any, ...]]:
    """What is due and no pause covers, at most `limit`, in turns of the namespaces: the n-th of one with the
    weight w comes at n / w. Number, uid, lost, deaths, head of the last death, and who lost it."""
    found: dict[bytes, list[tuple[Any, ...]]] = {}
    for namespace, saga in _groups(db):
        found.setdefault(namespace, []).extend(reading.fetch(db, "due", (now, limit, namespace, saga)))
    turns: list[list[tuple[Any, ...]]] = []
    for namespace, rows in found.items():
        weight = shares.get(namespace.decode(errors="replace"), 1.0)
        turns.append([(place / weight, *row) for place, row in enumerate(sorted(rows)[:limit], 1)])
    return [row[2:] for row in list(heapq.merge(*turns))[:limit]]


def count_due(db: apsw.Connection, now: float, limit: int) -> int:
    """How much is due and no pause covers, counted up to `limit` in each saga of each namespace?"""
    total = 0
    for namespace, saga in _groups(db):
        found: Any = db.execute(reading.SQL["count_due"], (now, limit, namespace, saga)).fetchall()
        total += int(found[0][0])
    return total


def _groups(db: apsw.Connection) -> list[tuple[bytes, bytes]]:
    found: Any = db.execute(reading.SQL["groups"]).fetchall()
    return list(found)
