"""A link lets go at once of what has ended at once."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from amends.errors import StoreBusy
from amends.store.postgres.link import Connection, Link


def test_a_connection_that_fails_at_once_is_not_waited_for() -> None:
    """(From Python 3.12 on, closing turned in place: gathering what has ended does not wait for a turn.)"""

    async def connect() -> Connection:
        raise psycopg.OperationalError("nobody is there")

    async def main() -> None:
        link = Link(connect, "postgresql://nowhere", answer=1.0, prepared=False)
        link.open()
        with pytest.raises(StoreBusy, match="nobody is there"):
            await link.fetch("SELECT 1")
        assert not link._running
        await link.close()

    asyncio.run(asyncio.wait_for(main(), 10))
