"""Replies kept for a while, for steps that only read.

Kept is what the caller gives a time for (`cached=30`): a saga's reading step may be asked by hundreds of
executions at once.  Bounded by number; a reply that says ``no-store`` is not kept.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...clock import Clock
from ..failures import missing
from .reply import Reply

try:
    from cachetools import TLRUCache
except ImportError as error:
    raise missing("http", "cachetools") from error


class Cache:
    """Replies by request. `size`: at most so many (0: none)."""

    def __init__(self, size: int, clock: Clock) -> None:
        self._kept: TLRUCache[Any, tuple[Reply, float]] = TLRUCache(
            maxsize=size, ttu=lambda _, kept, now: now + kept[1], timer=clock.monotonic
        )

    def find(self, key: Any) -> Reply | None:
        """The kept reply, if it is still good."""
        found = self._kept.get(key)
        return None if found is None else msgspec.structs.replace(found[0], cached=True)

    def keep(self, key: Any, reply: Reply, seconds: float) -> None:
        """Keep it for so long, unless it says that nobody should."""
        if "no-store" not in reply.headers.get("cache-control", "") and self._kept.maxsize:
            self._kept[key] = (reply, seconds)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
