"""What operators do to many executions at a time: `engine.operations`, `client.operations`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..errors import Refused
from .bulk import BATCH, BulkAction, BulkBatch, Request, batches, check, check_batch
from .listing import MOST, Filters, query_of
from .retention import RetainBatch, cleared
from .transfer import ImportItem, exported, imported

if TYPE_CHECKING:
    from .backend import Backend


class Operations:
    """Operations on many executions, each in bounded batches. See docs/operations.md."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def bulk(
        self,
        do: BulkAction,
        *,
        reason: str = "",
        by: str | None = None,
        action: str = "",
        value: Any = None,
        dry_run: bool = False,
        batch: int = BATCH,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[BulkBatch]:
        """Cancel, pause, resume, retry, resolve, skip or terminate all that `Engine.list` would find.

        ``async for batch in client.operations.bulk("retry", where=…, reason=…)``: a batch's requests are
        durable when it comes.  Without a status among the filters: of those that have not ended (cancel,
        pause, terminate), are paused (resume) or need attention (the others).  `limit`: at most so many
        (default: all); `after`: go on after `BulkBatch.after` of a run that was interrupted.  The rest as for
        the methods of `Handle`.

        Raises `UnknownName`, `Refused`, `QueryError` before anything is done; `StoreError` in between.
        """
        request = Request(do=do, reason=reason, by=by, action=action, value=value)
        check(request)
        check_batch(batch)
        filters.setdefault("limit", MOST)
        query = await query_of(self._backend, filters)
        async for done in batches(self._backend, request, query, batch=batch, dry_run=dry_run):
            yield done

    async def retain(
        self,
        older_than: float | timedelta,
        *,
        archive: str | Path | None = None,
        dry_run: bool = False,
        batch: int = BATCH,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[RetainBatch]:
        """Delete what ended longer ago than `older_than` (seconds or timedelta), with its journal, audit and
        id; a page after the other.

        Nested executions go with their roots, and only if all of the tree has ended.  `archive`: a folder;
        what is deleted is first written there, to a new file (read it with `import_`).  The filters of
        `Engine.list` narrow it.

        Raises `Refused` for an age or a status that cannot be, `StoreError`, OSError of the archive.
        """
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        if not isinstance(age, (int, float)) or not 0 <= age < float("inf"):
            raise Refused(
                f"older_than is seconds or a timedelta, got {older_than!r}", hint="timedelta(days=30)"
            )
        check_batch(batch)
        filters.setdefault("limit", MOST)
        query = await query_of(self._backend, filters)
        before = self._backend.clock.now() - age
        folder = None if archive is None else Path(archive)
        async for done in cleared(self._backend, query, before, archive=folder, batch=batch, dry_run=dry_run):
            yield done

    async def export(self, **filters: Unpack[Filters]) -> AsyncIterator[bytes]:
        """All that the filters find, with journals and audit, as JSON lines for `import_`.

        Nested executions go with their roots; a filter that only they match finds nothing.
        """
        filters.setdefault("limit", MOST)
        query = await query_of(self._backend, filters)
        async for line in exported(self._backend, query):
            yield line

    async def import_(self, lines: Iterable[bytes], *, live: bool = False) -> AsyncIterator[ImportItem]:
        """Bring in what `export` or `retain` wrote (an open file will do), one root after the other.

        What is there already stays as it is, so that it may be repeated.  Refused is what does not fold, and
        what has not ended, unless `live`: then it goes on here, and must not go on where it came from.

        Raises `CorruptJournal`, with the line, when the file is damaged; what came before it is imported.
        """
        async for item in imported(self._backend, lines, live=live):
            yield item
