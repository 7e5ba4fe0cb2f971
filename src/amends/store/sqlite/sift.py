"""When a batch fails on a data error: find the guilty writes, and commit the rest.

The batch's transaction was rolled back; `sift` runs in a new one.  It tries halves under savepoints until
each guilty write stands alone, takes back all it tried, and then applies the innocent as one batch again,
so that the meaning of a batch does not depend on whether one of its writes was bad.  Should the innocent
fail together (one write is guilty only in the company of another), what the trial applied piece by piece
stands instead.

A trigger with RAISE(ROLLBACK) ends the whole transaction in the middle of a trial.  Then the trial starts
again write by write, and the one during which it happened is guilty.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from ..port import COMMITTED, Code, Verdict, Write
from .commit import ID_EXISTS, SQL, Batch
from .faults import is_data_error


class _TransactionGone(Exception):
    """The transaction was rolled back under our feet while these writes were tried."""

    def __init__(self, part: list[int], reason: str) -> None:
        super().__init__(reason)
        self.part = part
        self.reason = reason


class Sift:
    """One failed batch. After `run` and COMMIT, call `settle`."""

    def __init__(self, incarnation: int, writes: Sequence[Write], owned: dict[str, int]) -> None:
        self.verdicts: list[Verdict] = []
        self._incarnation = incarnation
        self._writes = writes
        self._owned = owned
        self._guilty: dict[int, Verdict] = {}
        self._applied: list[tuple[list[int], Batch]] = []

    def run(self, db: apsw.Connection) -> Sift:
        """Apply the innocent writes, in the caller's (fresh) transaction."""
        singly = False
        while True:
            try:
                self._sift(db, singly)
            except _TransactionGone as gone:
                self._blame(gone)
                singly = True
                db.execute("BEGIN IMMEDIATE")
            else:
                return self

    def settle(self) -> None:
        """The commit is durable: gather the verdicts, in the order of the writes."""
        self.verdicts = [self._guilty.get(index, COMMITTED) for index in range(len(self._writes))]
        for indices, batch in self._applied:
            batch.settle()
            for index, verdict in zip(indices, batch.verdicts, strict=True):
                self.verdicts[index] = verdict

    def _sift(self, db: apsw.Connection, singly: bool) -> None:
        db.execute("SAVEPOINT amends_trial")
        self._try_all(db, singly)
        for part, batch in self._applied:
            for index, verdict in zip(part, batch.verdicts, strict=True):
                if verdict.code is Code.CONFLICT:
                    self._guilty[index] = verdict
        db.execute("ROLLBACK TO amends_trial")
        innocent = [index for index in range(len(self._writes)) if index not in self._guilty]
        self._applied = []
        if not self._try(db, innocent):
            self._try_all(db, singly)

    def _try_all(self, db: apsw.Connection, singly: bool) -> None:
        self._applied = []
        waiting = [index for index in range(len(self._writes)) if index not in self._guilty]
        parts = [[index] for index in waiting] if singly else [waiting]
        while parts:
            part = parts.pop(0)
            if not self._try(db, part) and len(part) > 1:
                middle = len(part) // 2
                parts[:0] = [part[:middle], part[middle:]]

    def _try(self, db: apsw.Connection, part: list[int]) -> bool:
        """Apply a part of the batch, or leave no trace of it; a single write that fails is guilty."""
        batch = Batch(self._incarnation, [self._writes[index] for index in part], self._owned)
        db.execute("SAVEPOINT amends_part")
        try:
            batch.apply(db)
        except Exception as error:
            if not is_data_error(error):
                raise
            if not db.in_transaction:
                raise _TransactionGone(part, str(error)) from error
            db.execute("ROLLBACK TO amends_part")
            db.execute("RELEASE amends_part")
            if len(part) == 1:
                self._guilty[part[0]] = self._judge(db, self._writes[part[0]], error)
            return False
        db.execute("RELEASE amends_part")
        self._applied.append((part, batch))
        return True

    def _blame(self, gone: _TransactionGone) -> None:
        if len(gone.part) == 1:
            self._guilty[gone.part[0]] = Verdict(Code.POISON, reason=gone.reason)

    def _judge(self, db: apsw.Connection, write: Write, error: Exception) -> Verdict:
        """Did the write collide with what is there (conflict), or can it not be stored at all (poison)?"""
        num = self._owned.get(write.uid)
        row = write.row
        if row is not None and num is not None and _exists(db, "taken", (num, row.position)):
            return Verdict(Code.CONFLICT, reason=f"the journal has a row at position {row.position}")
        for header in (write.start, *write.children):
            if header is not None and _exists(db, "exists", (header.namespace, header.id, header.uid)):
                return ID_EXISTS
        return Verdict(Code.POISON, reason=str(error))


def _exists(db: apsw.Connection, statement: str, key: tuple[object, ...]) -> bool:
    try:
        return bool(db.execute(SQL[statement], key).fetchall()[0][0])
    except (UnicodeError, OverflowError, TypeError):  # a key that cannot be stored does not exist
        return False
