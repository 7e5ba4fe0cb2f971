"""An open engine and what it says of itself: the one place that knows how statistics are read."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import apsw

from amends import Engine

from . import work


@asynccontextmanager
async def engine_on(path: str) -> AsyncIterator[Engine]:
    """An engine with default settings on that SQLite file."""
    async with Engine(f"sqlite:///{path}", sagas=work.SAGAS) as engine:
        yield engine


class Meter:
    """What the engine's statistics grew by since the meter was made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before = self._read()

    def _read(self) -> tuple[int, int, int]:
        stats = self._engine.stats()
        return stats["commits"], stats["rows"], len(stats["commit_seconds"])

    def commits(self) -> int:
        return self._read()[0] - self._before[0]

    def rows(self) -> int:
        return self._read()[1] - self._before[1]

    def commit_seconds(self) -> list[float]:
        return list(self._engine.stats()["commit_seconds"])[self._before[2] :]


def configuration(path: str, engine: Engine) -> dict[str, Any]:
    """Versions, settings that matter, and the PRAGMAs as read back."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    store: Any = engine._store  # `synchronous` belongs to a connection: ask the one that commits
    settings = engine.settings
    return {
        "python": platform.python_version(),
        "amends": version("amends"),
        "apsw": apsw.apsw_version(),
        "msgspec": version("msgspec"),
        "sqlite": apsw.sqlite_lib_version(),
        "journal_mode": connection.pragma("journal_mode"),
        "synchronous": store._writer.connection().pragma("synchronous"),
        "page_size": connection.pragma("page_size"),
        "batch": settings.batch,
        "steps": settings.steps,
    }
