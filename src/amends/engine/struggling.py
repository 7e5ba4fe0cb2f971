"""Actions that fail and are tried again, as an operator sees them.

Nothing is parked then, so the header does not tell of them: the journal is folded when somebody asks, and an
execution that goes its way pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..definition.registry import REGISTRY
from ..errors import AmendsError
from ..kernel.instance import Instance
from ..kernel.limits import Limits
from ..store import port
from ..store.port import Header, Store
from ..worker.writes import item_of


async def struggling(store: Store, header: Header) -> Sequence[Mapping[str, Any]]:
    """What of this execution has failed and waits for its next attempt, in the form of `Status.items`."""
    if header.status not in (port.RUNNING, port.COMPENSATING):
        return ()
    found = await store.read(header.uid)
    if found is None:
        return ()
    instance = Instance(header.uid, header.id, header.saga, header.version, REGISTRY, Limits())
    try:
        instance.fold(found[1])
    except AmendsError:  # a damaged journal: whoever loads it next parks it, and says so
        return ()
    return [item_of(action) for action in instance.ledger.struggling()]
