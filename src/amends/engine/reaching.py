"""Reaching a server: one that is away when a worker starts is waited for, as one that goes away later is."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from ..errors import StoreBusy
from ..store.port import Store, is_shared

AGAIN, LONGEST = 0.2, 5.0
"""Seconds until it is looked for again."""
_log = logging.getLogger("amends.engine")


async def reach(store: Store, stop: asyncio.Event) -> bool:
    """Open a store, on a server as soon as that is there; False: told to stop before.

    Why it cannot be reached is said once (again only if the reason changes).  Raises `StoreError` for what
    waiting does not help, and for a file that another process holds.
    """
    pause, said = AGAIN, ""
    while not stop.is_set():
        try:
            await store.open()
        except StoreBusy as error:
            if not is_shared(store):
                raise
            if error.message != said:
                _log.warning("%s; trying again until it is there", error.message)
            said = error.message
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(2 * pause, LONGEST)
        else:
            return True
    return False
