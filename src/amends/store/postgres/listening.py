"""NOTIFY as a hint: somebody wrote something that this worker should look at.

**Theory of operation.**  Whoever creates an execution, or sends a message to one that another worker owns or
nobody does, notifies the channel in the same transaction; the payload is the owner's incarnation, or empty
for what anybody may claim.  Nothing depends on it: a notification may be lost with its connection, and
behind a pooler there is none.  So the worker looks by itself, at the latest every `look` seconds, and at
once when the listener has connected again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from ...errors import StoreError
from .link import Connection, cut, unreachable

_log = logging.getLogger("amends.store")
FIRST_PAUSE, LAST_PAUSE = 0.2, 5.0


class Listener:
    """Listens on a connection of its own. `heard` is called for what concerns this incarnation."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        channel: str,
        heard: Callable[[], None],
        where: str,
    ) -> None:
        self._connect = connect
        self._channel = channel
        self._heard = heard
        self._where = where
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Does nobody listen?"""
        return self._task is None

    def start(self, incarnation: int) -> None:
        """Listen from now on."""
        self.abandon()
        self._task = asyncio.get_running_loop().create_task(self._listen(str(incarnation)))

    async def stop(self) -> None:
        """Listen no more."""
        task = self._task
        self.abandon()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    def abandon(self) -> None:
        """The connection ends as that of a killed process does."""
        task, self._task = self._task, None
        connection, self._connection = self._connection, None
        if connection is not None:
            cut(connection)
        if task is not None:
            task.cancel()

    async def _listen(self, me: str) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                self._connection = connection = await self._connect()
                async with connection:
                    await connection.execute(f'LISTEN "{self._channel}"')
                    pause = FIRST_PAUSE
                    self._heard()  # whatever was said while nobody listened
                    async for notice in connection.notifies():
                        if notice.payload in {"", me}:
                            self._heard()
            except (psycopg.Error, StoreError, OSError) as error:
                said = unreachable(error, self._where) if isinstance(error, psycopg.Error) else error
                _log.warning("not listening for notifications; looking by itself meanwhile: %s", said)
            self._heard()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
