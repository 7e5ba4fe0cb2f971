"""Pauses of sagas and namespaces, in the database. Workers elsewhere are notified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..pausing import Pause
from ..port import AuditRecord
from .literals import get, put
from .worker_side import WorkerPart


class PausePart(WorkerPart):
    """Pauses of sagas and namespaces."""

    async def add_pause(self, pause: Pause, audit: AuditRecord) -> Pause:
        """Let it stand still, unless it does."""
        values = {
            "namespace": put(pause.namespace),
            "saga": put(pause.saga),
            "by": put(pause.by),
            "reason": put(pause.reason),
            "since": pause.since,
            **_audited(audit),
        }
        held = None
        while held is None:  # somebody else paused it in this moment: the next look sees it
            held = await self._turn("add_pause", values)
        return held

    async def end_pause(self, namespace: str, saga: str, audit: AuditRecord) -> Pause | None:
        """Let it go on, if it stands still."""
        values = {"namespace": put(namespace), "saga": put(saga), **_audited(audit)}
        return await self._turn("end_pause", values)

    async def pauses(self, namespace: str = "") -> list[Pause]:
        """All that holds, of that namespace or of all."""
        return [pause_of(row) for row in await self._read("pauses", namespace=put(namespace))]

    async def _turn(self, name: str, values: Mapping[str, Any]) -> Pause | None:
        with self._changing("look which pauses there are, then try again"):
            found = await self._control.fetch(self._sql[name], {**values, "channel": self._channel})
        self._wrote()
        return pause_of(found[0]) if found else None


def _audited(audit: AuditRecord) -> dict[str, Any]:
    return {
        "at": audit.at,
        "uid": put(audit.uid),
        "audit_by": put(audit.by),
        "action": put(audit.action),
        "audit_reason": put(audit.reason),
        "detail": put(audit.detail),
    }


def pause_of(row: tuple[Any, ...]) -> Pause:
    """From a row of the statements above."""
    namespace, saga, by, reason, since = row[:5]
    return Pause(namespace=get(namespace), saga=get(saga), by=get(by), reason=get(reason), since=since)
