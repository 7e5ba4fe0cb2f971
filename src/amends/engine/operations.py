"""What operators do to many executions at a time: `engine.operations`, `client.operations`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Unpack

from .bulk import BATCH, BulkAction, BulkBatch, Request, batches, check
from .listing import MOST, Filters, query_of

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
        """Cancel, retry, resolve, skip or terminate all that the filters of `Engine.list` find.

        ``async for batch in client.operations.bulk("retry", where=…, reason=…)``: a batch's requests are
        durable when it comes.  Without a status among the filters: of those that have not ended (cancel,
        terminate) or need attention (the others).  `limit`: at most so many (default: all); `after`: go on
        after `BulkBatch.after` of a run that was interrupted.  The rest as for the methods of `Handle`.

        Raises `UnknownName`, `Refused`, `QueryError` before anything is done; `StoreError` in between.
        """
        request = Request(do=do, reason=reason, by=by, action=action, value=value)
        check(request, batch)
        filters.setdefault("limit", MOST)
        query = await query_of(self._backend, filters)
        async for done in batches(self._backend, request, query, batch=batch, dry_run=dry_run):
            yield done
