"""Executions leave a store and come into another one: `Operations.export` and `import_`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import msgspec

from ..errors import CorruptJournal, Refused
from ..kernel.ledger import Ledger
from ..kernel.phases import BACKWARD, UNWINDING
from ..store.enclosed import as_kept
from ..store.partition import partition_of
from ..store.port import ATTENTION, COMPENSATING, FINAL, RUNNING, Header, History, Query, Store
from ..store.where.terms import FIELDS, All, Compare
from .journals import Writing, of_one_tree, read, verified
from .listing import MOST, pages
from .status import status_of

if TYPE_CHECKING:
    from .backend import Backend

PAGE = 200
_ROOTS = Compare(FIELDS["depth"], "=", 0.0)


class ImportItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a root execution (with all that is nested in it).

    `outcome`: ``imported``, ``exists`` (this very execution is there already) or ``refused``, and then
    `message` says why.
    """

    id: str
    uid: str
    executions: int
    outcome: str
    message: str = ""


def of_roots(query: Query) -> Query:
    """The same, without nested executions: they go with their roots."""
    return msgspec.structs.replace(query, where=All((_ROOTS, query.where)))


async def tree_of(store: Store, root: Header) -> list[History]:
    """A root execution and all that is nested in it, oldest last; as the store keeps it, in its envelopes."""
    store = as_kept(store)
    found = []
    nested = Query(namespace=root.namespace, root=root.uid, limit=MOST)
    uids = [root.uid]
    async for page in pages(store, nested, PAGE):
        uids += [header.uid for header in page if header.parent]
    for uid in uids:
        kept = await store.read(uid)
        if kept is not None:
            found.append(History(*kept, await store.audited(uid)))
    return found


async def exported(backend: Backend, query: Query) -> AsyncIterator[bytes]:
    """The lines of one section: what the query finds."""
    writing = Writing(backend.namespace, backend.clock.now())
    yield writing.begin()
    async for page in pages(backend.store, of_roots(query), PAGE):
        for root in page:
            if tree := await tree_of(backend.store, root):
                yield writing.tree(tree)
    yield writing.end()


async def imported(backend: Backend, lines: Iterable[bytes], *, live: bool) -> AsyncIterator[ImportItem]:
    """Bring in tree after tree. Raises `CorruptJournal` where the file itself is damaged."""
    for executions in read(lines):
        root = of_one_tree(executions)
        outcome, message = await _import(backend, root, executions, live=live)
        yield ImportItem(
            id=root.id, uid=root.uid, executions=len(executions), outcome=outcome, message=message
        )


async def _import(
    backend: Backend, root: Header, executions: list[History], *, live: bool
) -> tuple[str, str]:
    there = await backend.store.find(backend.namespace, root.id)
    if there is not None and there.uid == root.uid:
        return "exists", ""
    try:
        for each in executions:
            _prepare(backend.namespace, each, verified(each), live=live)
    except (CorruptJournal, Refused) as error:
        return "refused", error.message
    if await backend.store.restore(executions):
        return "imported", ""
    return "refused", f"the id {root.id!r}, or that of a nested execution, belongs to another one here"


def _prepare(namespace: str, history: History, ledger: Ledger, *, live: bool) -> None:
    """The header as it is here. Raises `Refused` for what must not go on here."""
    header = history.header
    header.namespace, header.partition = namespace, partition_of(namespace, header.id)
    owner, header.owner = header.owner, None
    if header.status in FINAL:
        return
    if not live:
        raise Refused(
            f"{header.id} has not ended ({header.status}); only a move of its store may take it along"
        )
    if owner is not None:
        raise Refused(
            f"{header.id} was being worked on when it was exported; stop the workers there, then export"
        )
    if header.status == ATTENTION and status_of(header).parked_whole:  # whoever loads it here finds out anew
        header.status = COMPENSATING if ledger.phase in (UNWINDING, BACKWARD) else RUNNING
        header.cause, header.detail = ledger.cause, None
