"""The PostgreSQL store."""

from __future__ import annotations

from .client_side import ClientPart


class PostgresStore(ClientPart):
    """A store in a schema of a PostgreSQL database. Any number of processes work on it at the same time."""


__all__ = ["PostgresStore"]
