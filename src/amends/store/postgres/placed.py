"""A server as one of several: what `store.places` asks of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import psycopg

from ...errors import CommitUnknown, StoreBusy
from ..partition import Placement
from . import placement
from .client_side import ClientPart
from .link import Rows, Run, unreachable
from .literals import put


class PlacedPart(ClientPart):
    """See `store.places.members.Member`."""

    async def holds(self, uid: str) -> bool:
        """Is there an execution of that uid?"""
        return bool(await self._read("num", uid=put(uid)))

    async def placement(self) -> Placement | None:
        """What the server says of its partitions; None: nothing. Raises `Misplaced`, `StoreError`.

        On a connection of its own: whether the store may be opened depends on the answer.
        """
        try:
            async with await self._connect() as connection:

                async def run(sql: str, values: Mapping[str, Any]) -> Rows:
                    return await (await connection.execute(sql.encode(), values)).fetchall()

                return await placement.found(run, self.schema, self.where)
        except psycopg.OperationalError as error:
            raise unreachable(error, self.where) from error
        except Exception as error:
            raise self._said(error) from error

    async def begin_placement(self, wanted: Placement) -> None:
        """Give a new server its share, unless it has one. Raises `Misplaced` when it is not new."""
        await self._repeatable(lambda run: placement.begin(run, self.schema, self.where, wanted))

    async def complete_placement(self, family: str) -> None:
        """All servers of that store have their shares."""
        await self._repeatable(lambda run: placement.complete(run, self.schema, family))

    async def _repeatable(self, work: Callable[[Run], Awaitable[None]]) -> None:
        """What does no harm when it is done again: that its end is unknown is no more than that it failed."""
        try:
            await self._together(work)
        except CommitUnknown as error:
            raise StoreBusy(error.message, hint=error.hint) from error
