"""Pauses of sagas and namespaces, in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ..pausing import Pause
from ..port import AuditRecord
from .commit import audit_values
from .core import Core
from .sql import load

_SQL = load("pauses.sql")
_AUDIT = load("control.sql").bulk("audit")


class PausePart(Core):
    """Pauses of sagas and namespaces."""

    async def add_pause(self, pause: Pause, audit: AuditRecord) -> Pause:
        """Let it stand still, unless it does."""

        def work(db: apsw.Connection) -> Pause:
            if db.execute(_SQL["add"], msgspec.structs.astuple(pause)).fetchall():
                _AUDIT.run(db.execute, list(audit_values(audit)))
            return _pause(db.execute(_SQL["one"], (pause.namespace, pause.saga)).fetchall()[0])

        held = await self._writer.soon(work)
        self._generation += 1
        return held

    async def end_pause(self, namespace: str, saga: str, audit: AuditRecord) -> Pause | None:
        """Let it go on, if it stands still."""

        def work(db: apsw.Connection) -> Pause | None:
            ended = db.execute(_SQL["end"], (namespace, saga)).fetchall()
            if not ended:
                return None
            _AUDIT.run(db.execute, list(audit_values(audit)))
            return _pause(ended[0])

        held = await self._writer.soon(work)
        self._generation += 1
        return held

    async def pauses(self, namespace: str = "") -> list[Pause]:
        """All that holds, of that namespace or of all."""
        return [
            _pause(row) for row in self._read(lambda db: db.execute(_SQL["every"], (namespace,)).fetchall())
        ]


def _pause(row: Sequence[Any]) -> Pause:
    return Pause(**dict(zip(Pause.__struct_fields__, row, strict=True)))
