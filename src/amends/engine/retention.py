"""What has ended long ago is deleted, or put into an archive and then deleted.

**Theory of operation.**  The list of roots that ended before a moment is read a page at a time.  With an
archive the page's trees are written to it and synced to the disk; then the store prunes these very roots in
one transaction, in which it judges each tree again: a tree of which anything lives stays.  So what is deleted
is in the archive; if the process dies in between, a later run writes it there once more, and importing it
twice is once.

A tree goes as a whole or not at all, because a nested execution can be undone until its root has ended.  With
an execution goes its id: the same id started again is then a new execution.  So the age must be longer than
anybody may repeat a start.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ..errors import AmendsError, Refused
from ..store.port import FINAL, Header, Query
from .bulk import BATCH
from .journals import Writing
from .listing import MOST, pages
from .transfer import of_roots, tree_of

if TYPE_CHECKING:
    from .backend import Backend

SHORTEST_REST, LONGEST_REST, PAUSE = 60.0, 3600.0, 0.1
_log = logging.getLogger("amends.engine")


class RetainBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a clearing. `ids`: roots that are gone (of a dry run: would go).  `kept`: roots that stay,
    because something of theirs lives.  `after`: where to go on from."""

    ids: Sequence[str]
    kept: Sequence[str]
    after: str


def old_enough(query: Query, before: float) -> Query:
    """Roots that ended before that moment. Raises `Refused` for statuses that have not ended."""
    if live := [status for status in query.statuses if status not in FINAL]:
        raise Refused(
            f"only what has ended is cleared away, not {', '.join(live)}",
            hint=f"statuses: {', '.join(sorted(FINAL))}",
        )
    until = before if query.finished_until is None else min(before, query.finished_until)
    newest = (
        f"{int(before * 1000) + 1:012x}"  # what began later cannot have ended before (uids begin with it)
    )
    after = min(query.after, newest) if query.after else newest
    statuses = query.statuses or sorted(FINAL)
    return of_roots(msgspec.structs.replace(query, statuses=statuses, finished_until=until, after=after))


async def cleared(
    backend: Backend, query: Query, before: float, *, archive: Path | None, batch: int, dry_run: bool
) -> AsyncIterator[RetainBatch]:
    """Clear away page by page; one `RetainBatch` after each."""
    file = None
    try:
        async for page in pages(backend.store, old_enough(query, before), batch):
            uids = [root.uid for root in page]
            if not dry_run:
                if archive is not None:
                    file = file or _new_file(archive, backend.clock.now(), uids[0])
                    await _write(backend, file, page)
                uids = await backend.store.prune(uids, before)
            gone = set(uids)
            yield RetainBatch(
                ids=[root.id for root in page if root.uid in gone],
                kept=[root.id for root in page if root.uid not in gone],
                after=page[-1].uid,
            )
    finally:
        if file is not None:
            file.close()


async def _write(backend: Backend, file: BinaryIO, page: Sequence[Header]) -> None:
    writing = Writing(backend.namespace, backend.clock.now())
    first = writing.begin()
    trees = [writing.tree(await tree_of(backend.store, root)) for root in page]
    file.writelines([first, *trees, writing.end()])
    file.flush()
    await asyncio.to_thread(os.fsync, file.fileno())


def _new_file(archive: Path, now: float, uid: str) -> BinaryIO:
    """A file of this run's own in the archive; its name is durable before anything is deleted."""
    archive.mkdir(parents=True, exist_ok=True)
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    file = (archive / f"journals-{moment}-{uid[-8:]}.jsonl").open("xb")
    try:
        _sync_folder(archive)
    except BaseException:
        file.close()
        raise
    return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def keep_clear(backend: Backend, older_than: float, working: Callable[[], bool]) -> None:
    """What a worker does in the background (`Settings.retention`): clear away, rest, and again."""
    rest = min(max(older_than / 20, SHORTEST_REST), LONGEST_REST)
    while working():
        query = Query(namespace=backend.namespace, limit=MOST)
        before = backend.clock.now() - older_than
        try:
            async for done in cleared(backend, query, before, archive=None, batch=BATCH, dry_run=False):
                _log.debug("%d executions were cleared away", len(done.ids))
                await asyncio.sleep(PAUSE)
        except AmendsError as error:
            _log.warning("clearing away what has ended failed, and is tried again later: %s", error)
        await asyncio.sleep(rest)
