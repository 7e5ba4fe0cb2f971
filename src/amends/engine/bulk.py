"""One action on all executions that a query finds: in batches, resumable, audited like single ones.

**Theory of operation.**  The list is read newest first, a page at a time, and every execution of the page is
acted upon by its own handle, all of a page at once (so the store gathers their requests into few
transactions).  What is started meanwhile is newer than the page and is not touched.  A request is durable
before the next page is read; `BulkBatch.after` is the place from which a run that was interrupted goes on.
Of a page that was interrupted some are done again, which each action bears: it is a request to an execution
that has it already.

What a single execution refuses (it has ended, nothing of it is parked) is told in its item; what concerns the
store ends the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from ..errors import AmendsError, Refused, StoreError, UnknownName, did_you_mean
from ..store.port import ATTENTION, PAUSED, Header, Query
from ..store.where.terms import FIELDS, All, Compare
from .family import OPEN
from .handle import Handle
from .listing import pages

if TYPE_CHECKING:
    from .backend import Backend

BulkAction = Literal["cancel", "pause", "resolve", "resume", "retry", "skip", "terminate"]
ACTIONS: tuple[str, ...] = get_args(BulkAction)
BATCH = 100
_IS_PAUSED = Compare(FIELDS["cause"], "=", PAUSED)
LARGEST_BATCH = 1000


class BulkItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one execution. `done`: the request is durable (of a dry run: would be made); otherwise
    `code` and `message` say why not."""

    id: str
    uid: str
    saga: str
    status: str
    done: bool
    code: str = ""
    message: str = ""


class BulkBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a bulk action. `after`: where to go on from (the filter of that name)."""

    items: Sequence[BulkItem]
    after: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done to each (see the methods of `Handle`)."""

    do: str
    reason: str = ""
    by: str | None = None
    action: str = ""
    value: Any = None

    async def carry_out(self, handle: Handle[Any]) -> None:
        """Do it to one execution. Raises what its method raises."""
        match self.do:
            case "cancel":
                await handle.cancel(self.reason, by=self.by)
            case "retry":
                await handle.retry(action=self.action, reason=self.reason, by=self.by)
            case "resolve":
                await handle.resolve(self.value, self.reason, action=self.action, by=self.by)
            case "pause":
                await handle.pause(self.reason, by=self.by)
            case "resume":
                await handle.resume(reason=self.reason, by=self.by)
            case "skip":
                await handle.skip(self.reason, action=self.action, by=self.by)
            case _:
                await handle.terminate(self.reason, by=self.by)


def check(request: Request) -> None:
    """Refuse what cannot be done to any execution, before the first is touched."""
    if request.do not in ACTIONS:
        raise UnknownName(
            f"there is no bulk action {request.do!r}",
            hint=did_you_mean(str(request.do), ACTIONS) or f"known: {', '.join(ACTIONS)}",
        )
    if request.do not in {"retry", "resume"} and not (
        isinstance(request.reason, str) and request.reason.strip()
    ):
        raise Refused(f"{request.do} needs a reason: it is audited", hint='reason="the supplier is closed"')


def check_batch(batch: int) -> None:
    """Refuse a number of executions at a time that cannot be."""
    if not isinstance(batch, int) or not 1 <= batch <= LARGEST_BATCH:
        raise Refused(f"batch is a whole number from 1 to {LARGEST_BATCH}, got {batch!r}")


def meant(request: Request, query: Query) -> Query:
    """The query, where it names no status: of those that the action is for; of them what is paused, to be
    resumed."""
    if request.do == "resume":
        query = msgspec.structs.replace(query, where=All((query.where, _IS_PAUSED)))
    if query.statuses:
        return query
    statuses = OPEN if request.do in {"cancel", "pause", "resume", "terminate"} else (ATTENTION,)
    return msgspec.structs.replace(query, statuses=statuses)


async def batches(
    backend: Backend, request: Request, query: Query, *, batch: int, dry_run: bool
) -> AsyncIterator[BulkBatch]:
    """Act page by page, at most `query.limit` executions; one `BulkBatch` after each."""
    async for page in pages(backend.store, meant(request, query), batch):
        items = await asyncio.gather(*(_act(backend, request, header, dry_run) for header in page))
        yield BulkBatch(items=items, after=page[-1].uid)


async def _act(backend: Backend, request: Request, header: Header, dry_run: bool) -> BulkItem:
    told = {"id": header.id, "uid": header.uid, "saga": header.saga, "status": header.status}
    if dry_run:
        return BulkItem(**told, done=True)
    try:
        await request.carry_out(Handle(backend, None, header.id, header.uid, local=False))
    except StoreError:
        raise
    except AmendsError as error:
        return BulkItem(**told, done=False, code=error.code, message=error.message)
    return BulkItem(**told, done=True)
