"""Pauses of sagas and namespaces on several servers: each says it of what is there, so it is said to all.

A worker hears of a pause from the server whose executions it runs.  When a server is not there the others
have heard all the same, and whoever asked is told to say it again: what is said already stays as it is.
Of two that end a pause at the same time each may do so on another server; then both are told that they did.
"""

from __future__ import annotations

from ...errors import StoreError
from ..pausing import Pause
from ..port import AuditRecord
from .queueing import QueuePart


class PausePart(QueuePart):
    """What pauses need of a store."""

    async def add_pause(self, pause: Pause, audit: AuditRecord) -> Pause:
        """See the port; in one transaction for each server."""
        held = await self._all(lambda store: store.add_pause(pause, audit))
        return min(held, key=lambda each: each.since)

    async def end_pause(self, namespace: str, saga: str, audit: AuditRecord) -> Pause | None:
        """See the port; in one transaction for each server.

        Returns what any of them held: the others may have let it go at an earlier call, which one missed.
        """
        held = await self._all(lambda store: store.end_pause(namespace, saga, audit))
        return next((each for each in held if each is not None), None)

    async def pauses(self, namespace: str = "") -> list[Pause]:
        """See the port: what any server that is there says."""
        answers = await self._each(lambda store: store.pauses(namespace))
        said = [answer for answer in answers if not isinstance(answer, StoreError)]
        if not said:
            await self._all(lambda store: store.pauses(namespace))
        known: dict[tuple[str, str], Pause] = {}
        for pause in sorted((each for answer in said for each in answer), key=lambda each: each.since):
            known.setdefault((pause.namespace, pause.saga), pause)
        return [known[each] for each in sorted(known)]
