"""Pauses of sagas and namespaces, in memory."""

from __future__ import annotations

import copy

from ..pausing import Pause
from ..port import AuditRecord
from .core import Core, check_storable


class PausePart(Core):
    """Pauses of sagas and namespaces."""

    async def add_pause(self, pause: Pause, audit: AuditRecord) -> Pause:
        """Let it stand still, unless it does."""
        self._check_open()
        check_storable(pause, audit)
        found = self._state.pauses.setdefault((pause.namespace, pause.saga), pause)
        if found is pause:
            self._state.audit.append(copy.copy(audit))
            self._generation += 1
        return found

    async def end_pause(self, namespace: str, saga: str, audit: AuditRecord) -> Pause | None:
        """Let it go on, if it stands still."""
        self._check_open()
        check_storable(audit)
        found = self._state.pauses.pop((namespace, saga), None)
        if found is not None:
            self._state.audit.append(copy.copy(audit))
            self._generation += 1
        return found

    async def pauses(self, namespace: str = "") -> list[Pause]:
        """All that holds, of that namespace or of all."""
        self._check_open()
        held = sorted(self._state.pauses.items())
        return [pause for of, pause in held if namespace in ("", of[0])]
