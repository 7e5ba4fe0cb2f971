"""When a batch fails on a data error: find the guilty writes, and commit the rest.

The batch's statement changed nothing.  `sift` runs in one transaction: it tries halves under savepoints until
each guilty write stands alone, takes back all it tried, and then applies the innocent as one batch again, so
that the meaning of a batch does not depend on whether one of its writes was bad.  Should the innocent fail
together (one write is guilty only in the company of another), what the trial applied piece by piece stands.

What is tried goes in two statements: first the new executions alone, then all else, which finds them there.
So this way is also that of the rare batches that one statement cannot say (see `Batch`).  Each part is judged
by what was owned before the batch, as the batch itself is: nobody writes to a child that it only begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from ..port import COMMITTED, Code, Verdict, Write
from .commit import ID_EXISTS, Batch
from .faults import is_data_error
from .link import Run
from .literals import is_text, put
from .statement import Statements


class Sift:
    """One failed batch. After `run` and COMMIT, call `settle`."""

    def __init__(
        self,
        sql: Statements,
        channel: str,
        incarnation: int,
        writes: Sequence[Write],
        owned: Mapping[str, int],
    ) -> None:
        self.verdicts: list[Verdict] = []
        self._sql = sql
        self._channel = channel
        self._incarnation = incarnation
        self._writes = writes
        self._owned = owned
        self._guilty: dict[int, Verdict] = {}
        self._applied: list[Trial] = []

    async def run(self, run: Run) -> Sift:
        """Apply the innocent writes, in the caller's transaction."""
        await run("SAVEPOINT amends_trial")
        await self._try_all(run)
        for trial in self._applied:
            self._guilty |= {i: each for i, each in trial.verdicts.items() if each.code is Code.CONFLICT}
        await run("ROLLBACK TO amends_trial")
        innocent = [index for index in range(len(self._writes)) if index not in self._guilty]
        self._applied = []
        if innocent and not await self._try(run, innocent):
            await self._try_all(run)
        return self

    def settle(self, owned: dict[str, int]) -> None:
        """The commit is durable: gather the verdicts, in the order of the writes."""
        verdicts = dict(self._guilty)
        for trial in self._applied:
            trial.settle(owned)
            verdicts |= trial.verdicts
        self.verdicts = [verdicts[index] for index in range(len(self._writes))]

    async def _try_all(self, run: Run) -> None:
        self._applied = []
        parts = [[index for index in range(len(self._writes)) if index not in self._guilty]]
        while parts:
            part = parts.pop(0)
            if part and not await self._try(run, part) and len(part) > 1:
                middle = len(part) // 2
                parts[:0] = [part[:middle], part[middle:]]

    async def _try(self, run: Run, part: list[int]) -> bool:
        """Apply a part of the batch, or leave no trace of it; a single write that fails is guilty."""
        trial = Trial(self._sql, self._channel, self._incarnation, self._owned)
        await run("SAVEPOINT amends_part")
        try:
            await trial.run(run, {index: self._writes[index] for index in part})
        except Exception as error:
            if not is_data_error(error):
                raise
            await run("ROLLBACK TO amends_part")
            if len(part) == 1:
                self._guilty[part[0]] = await self._judge(run, self._writes[part[0]], error)
            return False
        await run("RELEASE amends_part")
        self._applied.append(trial)
        return True

    async def _judge(self, run: Run, write: Write, error: Exception) -> Verdict:
        """Did the write collide with what is there (conflict), or can it not be stored at all (poison)?"""
        num = self._owned.get(write.uid)
        row = write.row
        if row is not None and num is not None:
            key = {"execution": num, "position": row.position}
            if (await run(self._sql["taken"], key))[0][0]:
                return Verdict(Code.CONFLICT, reason=f"the journal has a row at position {row.position}")
        for header in (write.start, *write.children):
            if header is None:
                continue
            names = {"namespace": header.namespace, "id": header.id, "uid": header.uid}
            if all(map(is_text, names.values())):
                stored = {name: put(text) for name, text in names.items()}
                if (await run(self._sql["exists"], stored))[0][0]:
                    return ID_EXISTS
        return Verdict(Code.POISON, reason=str(error).strip() or type(error).__name__)


class Trial:
    """Some of the writes, applied in two statements. `verdicts` are by the writes' places in their batch."""

    def __init__(self, sql: Statements, channel: str, incarnation: int, owned: Mapping[str, int]) -> None:
        self.verdicts: dict[int, Verdict] = {}
        self._sql = sql
        self._channel = channel
        self._incarnation = incarnation
        self._owned = owned
        self._batches: list[Batch] = []

    async def run(self, run: Run, writes: Mapping[int, Write]) -> None:
        """Apply them, in the caller's transaction. Raises what the database, or `Batch`, says."""
        owned = dict(self._owned)
        starts = {index: Write(each.uid, start=each.start) for index, each in writes.items() if each.start}
        if starts:
            await self._apply(run, starts, owned)
        rest = {
            index: structs.replace(write, start=None)
            for index, write in writes.items()
            if self.verdicts.get(index, COMMITTED) is COMMITTED
        }
        if rest:
            await self._apply(run, rest, owned)

    def settle(self, owned: dict[str, int]) -> None:
        """Bring `owned` up to date."""
        for batch in self._batches:
            batch.settle(owned)

    async def _apply(self, run: Run, writes: Mapping[int, Write], owned: dict[str, int]) -> None:
        batch = Batch(self._incarnation, list(writes.values()), owned)
        statement, values = batch.statement(self._sql, self._channel)
        row = (await run(statement.text, values))[0]
        batch.judge(dict(zip(statement.names, row, strict=True)))
        self.verdicts |= zip(writes, batch.verdicts, strict=True)
        self._batches.append(batch)
        batch.settle(owned)
