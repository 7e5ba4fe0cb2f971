"""What holds an execution from below: nested sagas, at any depth, that need attention.

A nested saga that is parked holds its ancestors, but it is the only one that something can be done about; so
the store keeps the attention there, and whoever looks at an ancestor is shown it.  It is asked for at that
moment, and not kept in the ancestors' headers: nothing can go stale, an execution that cannot even be loaded
needs no help to show, and a saga without nested ones pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..definition.naming import RESERVED
from ..store import port
from ..store.port import Header, Query, Store

OPEN = (port.RUNNING, port.COMPENSATING, port.ATTENTION)
MOST = 1000


def ancestors(id: str) -> Iterator[str]:
    """The ids of all executions above this one, the nearest first (an id begins with its parent's)."""
    while RESERVED in id:
        id = id.rpartition(RESERVED)[0]
        yield id


async def parked_below(store: Store, header: Header) -> list[Header]:
    """Executions that need attention and hold this one, the oldest first."""
    if header.status in port.FINAL:
        return []
    prefix = f"{header.id}{RESERVED}"
    parked = await _open(store, header, prefix, (port.ATTENTION,))
    if any(RESERVED in found.id[len(prefix) :] for found in parked):
        between = {found.id for found in await _open(store, header, prefix, OPEN)}
        parked = [found for found in parked if _holds(found.id, header.id, between)]
    return parked[::-1]


async def _open(store: Store, header: Header, prefix: str, statuses: tuple[str, ...]) -> list[Header]:
    query = Query(namespace=header.namespace, statuses=statuses, id_prefix=prefix, limit=MOST)
    return await store.headers(query)


def _holds(id: str, top: str, open: set[str]) -> bool:
    """Does every execution between the two still wait? (One that was terminated waits for nobody.)"""
    return all(above in open for above in ancestors(id) if len(above) > len(top))
