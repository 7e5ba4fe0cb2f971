"""Who is alive: leases, and what is left by those whose lease has run out.

**Theory of operation.**  An incarnation passes through these states:

    registered ── lease runs out ─► expired ── somebody retires its fence ─► retired ── all handed on ─► gone
        │                                                                       ▲
        └────────────────── retires itself (drain, lost acknowledgement) ───────┘

* *Alive* is who renews its lease.  Lease time is the database's: no two clocks are compared.  The renewer is
  a task of the event loop that does the worker's work, so a loop that is stuck renews nothing.
* A lease says whom to suspect; only the *fence* decides.  Retiring is an UPDATE of the fence's row, which
  every commit of that incarnation holds FOR SHARE until it is durable: so it waits for the commit under way,
  and after it no other can come.  What is owned is read and given to others only after that, in later
  statements, which therefore see all that the retired ever wrote.
* A suspect whose commit is under way at that moment is passed over (SKIP LOCKED): it is tried again.
* What the dead owned becomes unowned in batches, so that nobody waits long behind a burial; several workers
  may bury one incarnation at once.  A burial that breaks off is found again: the row of the lease goes last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Any

import psycopg

from ...clock import Clock
from ...errors import StoreError
from .faults import Lost
from .link import Link
from .literals import texts
from .statement import Statements

_log = logging.getLogger("amends.store")
AT_ONCE = 1000  # executions given to others in one transaction


class Keeper:
    """Renews one incarnation's lease, and buries the dead. `found` is called when executions became due."""

    def __init__(
        self, link: Link, sql: Statements, clock: Clock, lease: float, found: Callable[[], None]
    ) -> None:
        self.fenced = False
        self._link = link
        self._sql = sql
        self._clock = clock
        self._lease = lease
        self._found = found
        self._task: asyncio.Task[None] | None = None

    async def register(self, place: str) -> int:
        """Begin an incarnation."""
        found = await self._link.fetch(self._sql["register"], {"lease": self._lease, "place": place})
        self.fenced = False
        return int(found[0][0])

    def start(self, incarnation: int) -> None:
        """Keep it alive from now on."""
        self.stop()
        self._task = asyncio.get_running_loop().create_task(self._keep(incarnation))

    def stop(self) -> None:
        """Renew no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _keep(self, incarnation: int) -> None:
        chance = random.Random(incarnation)
        while True:
            await asyncio.sleep(self._lease / 3 * chance.uniform(0.8, 1.1))
            try:
                if not await self.renew(incarnation):
                    _log.error("worker incarnation %d has been retired by others", incarnation)
                    self.fenced = True
                    return
                if await self.bury(self._clock.now()):
                    self._found()
            except (Lost, StoreError, psycopg.Error) as error:
                _log.warning("cannot renew the lease of worker incarnation %d yet: %s", incarnation, error)

    async def renew(self, incarnation: int) -> bool:
        """Renew a lease. False: the incarnation is retired."""
        values = {"me": incarnation, "lease": self._lease}
        return bool(await self._link.fetch(self._sql["renew"], values))

    async def expire(self, incarnation: int) -> None:
        """Let a lease run out at once: its owner goes without having retired."""
        await self._link.fetch(self._sql["expire"], {"me": incarnation})

    async def bury(self, now: float) -> int:
        """Retire whose lease has run out, and make due what they owned. How many executions?"""
        await self._link.fetch(self._sql["retire_the_dead"], {})
        total = 0
        for (incarnation,) in await self._link.fetch(self._sql["unburied"], {}):
            count = await self._give_away("bury", incarnation, now=now)
            _log.warning("worker incarnation %d died owning %d executions", incarnation, count)
            total += count
        return total

    async def retire(self, incarnation: int, settled: Collection[str]) -> None:
        """End an incarnation, after the commit that it may have under way; hand back what it owns."""
        await self._link.fetch(self._sql["retire"], {"incarnation": incarnation})
        await self._give_away("hand_back", incarnation, settled=texts(list(settled)))

    async def _give_away(self, statement: str, incarnation: int, **values: Any) -> int:
        values |= {"incarnation": incarnation, "limit": AT_ONCE}
        total = 0
        while True:
            total += (count := int((await self._link.fetch(self._sql[statement], values))[0][0]))
            if not count:
                left = await self._link.fetch(self._sql["left_over"], {"incarnation": incarnation})
                if not left[0][0]:
                    break
        await self._link.fetch(self._sql["forget"], {"incarnation": incarnation})
        return total
