"""Who is alive: leases, and what is left by those whose lease has run out.

**Theory of operation.**  An incarnation passes through these states:

    registered ── lease runs out ─► expired ── somebody retires its fence ─► retired ── all taken over ─► gone
        │                                                                       ▲
        └────────────────── retires itself (drain, lost acknowledgement) ───────┘

* *Alive* is who renews its lease.  Lease time is the database's: no two clocks are compared.  The renewer is
  a task of the event loop that does the worker's work, so a loop that is stuck renews nothing.
* A lease says whom to suspect; only the *fence* decides.  Retiring is an UPDATE of the fence's row, which
  every commit of that incarnation holds FOR SHARE until it is durable: so it waits for the commit under way,
  and after it no other can come.  What is owned is read and given to others only after that, in later
  statements, which therefore see all that the retired ever wrote.
* A suspect whose commit is under way at that moment is passed over (SKIP LOCKED): it is tried again.
* *What nobody has the code of* waits `orphaned` seconds for a worker that has it (a deployment may be under
  way), then a worker adopts its definition: it serves it, as far as that goes without code, until a worker
  comes that has it.
* What the dead owned goes to the living in batches and at a pace (see estates.py); several workers may take
  over from one incarnation at once.  What breaks off is found again: the row of the lease goes last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection

import psycopg

from ...clock import Clock
from ...errors import StoreError
from .estates import Estates
from .faults import Lost
from .link import Link, Rows
from .literals import put, texts
from .statement import Statements

_log = logging.getLogger("amends.store")
SLACK = 16  # executions that one worker may have more than twice as many as another
AT_ONCE = 1000  # executions given to others in one transaction


class Keeper:
    """Renews one incarnation's lease, and takes over from the dead. `found` is called when there is something
    to claim; `owned` says how many are owned here."""

    def __init__(
        self,
        link: Link,
        sql: Statements,
        clock: Clock,
        found: Callable[[], None],
        owned: Callable[[], int],
        lease: float,
        orphaned: float,
    ) -> None:
        self.fenced = False
        self.declared = False
        self._link = link
        self._sql = sql
        self._clock = clock
        self._lease = lease
        self._orphaned = orphaned
        self._orphans: dict[tuple[str, str], float] = {}
        self._estates = Estates()
        self._found = found
        self._owned = owned
        self.surplus = 0
        self._task: asyncio.Task[None] | None = None

    async def register(self, place: str) -> int:
        """Begin an incarnation."""
        found = await self._link.fetch(self._sql["register"], {"lease": self._lease, "place": place})
        self.fenced = self.declared = False
        self._orphans.clear()
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
                died = await self.find_estates(self._clock.now())
                if await self.adopt(incarnation) or died:
                    self._found()
            except (Lost, StoreError, psycopg.Error) as error:
                _log.warning("cannot renew the lease of worker incarnation %d yet: %s", incarnation, error)

    async def serve(self, incarnation: int, definitions: Collection[tuple[str, str]]) -> tuple[bool, int]:
        """Say what it has the code of. Is it alive, and how many executions were parked for want of it?"""
        values = {"me": incarnation, **_columns(definitions)}
        found = (await self._link.fetch(self._sql["serve"], values))[0]
        self.declared = bool(found[0])
        return self.declared, int(found[1])

    async def adopt(self, incarnation: int) -> bool:
        """Take what no living worker has had the code of for `orphaned` seconds, if any."""
        if not self.declared:
            return False
        now = self._clock.monotonic()
        values = {"me": incarnation, "now": self._clock.now()}
        found = await self._link.fetch(self._sql["orphans"], values)
        seen = {(saga, version): mine for saga, version, _, mine in found}
        self._orphans = {each: self._orphans.get(each, now) for each in seen}
        ripe = [each for each, since in self._orphans.items() if seen[each] and now - since >= self._orphaned]
        if ripe:
            await self._link.fetch(self._sql["adopt"], {"me": incarnation, **_columns(ripe, stored=True)})
            _log.warning("no living worker has %s; taking it", ", ".join(f"{s} {v!r}" for s, v in ripe))
        return bool(ripe)

    async def renew(self, incarnation: int) -> bool:
        """Renew a lease. False: the incarnation is retired."""
        owned = self._owned()
        values = {"me": incarnation, "lease": self._lease, "owned": owned}
        found = await self._link.fetch(self._sql["renew"], values)
        least = found[0][0] if found else None
        self.surplus = 0 if least is None or owned <= 2 * least + SLACK else (owned - least) // 2
        return bool(found)

    async def expire(self, incarnation: int) -> None:
        """Let a lease run out at once: its owner goes without having retired."""
        await self._link.fetch(self._sql["expire"], {"me": incarnation})

    async def find_estates(self, now: float) -> bool:
        """Retire whose lease has run out. Did they leave anything to take over?"""
        await self._link.fetch(self._sql["retire_the_dead"], {})
        unburied = {row[0] for row in await self._link.fetch(self._sql["unburied"], {})}
        self._estates.keep(unburied)
        for dead in sorted(unburied):
            if dead in self._estates:
                continue
            if left := await self._left_over(dead):
                self._estates.add(dead, left, now, self._clock.monotonic())
            else:
                await self._forget(dead)
        return bool(unburied)

    def inheritance(self) -> float | None:
        """Since when something waits to be taken over, or from when on its pace allows for more."""
        return self._estates.wake(self._clock.now(), self._clock.monotonic())

    async def inherit(self, incarnation: int, now: float, limit: int) -> Rows | None:
        """Take over from one that died by `now`: number, uid, lost, deaths and their head, and who lost it,
        of each. None: this incarnation is not alive any more."""
        turn = self._estates.next(now, limit, self._clock.monotonic())
        if turn is None:
            return []
        dead, estate, count = turn
        values = {
            "me": incarnation,
            "dead": dead,
            "now": estate.at,
            "limit": count,
            "declared": self.declared,
        }
        found = await self._link.fetch(self._sql["inherit"], values)
        if not found[0][0]:
            return None
        taken = [row[1:] for row in found if row[1] is not None]
        if taken and not estate.told:
            estate.told = True
            _log.warning("worker incarnation %d died owning %d executions", dead, estate.executions)
        if len(taken) < count and not await self._left_over(dead):
            await self._forget(dead)
            self._estates.forget(dead)
        return [row[:-1] for row in taken if row[-1]]

    async def _left_over(self, incarnation: int) -> int:
        return int((await self._link.fetch(self._sql["left_over"], {"incarnation": incarnation}))[0][0])

    async def _forget(self, incarnation: int) -> None:
        await self._link.fetch(self._sql["forget"], {"incarnation": incarnation})

    async def retire(self, incarnation: int, settled: Collection[str]) -> None:
        """End an incarnation, after the commit that it may have under way; hand back what it owns."""
        await self._link.fetch(self._sql["retire"], {"incarnation": incarnation})
        values = {"incarnation": incarnation, "limit": AT_ONCE, "settled": texts(list(settled))}
        left = True
        while left:
            returned = await self._link.fetch(self._sql["hand_back"], values)
            left = bool(returned[0][0]) or bool(await self._left_over(incarnation))
        await self._forget(incarnation)


def _columns(definitions: Collection[tuple[str, str]], *, stored: bool = False) -> dict[str, str]:
    """As parameters. stored: they come from the database, so they are as it holds them."""
    as_stored = (lambda text: text) if stored else put
    sagas, versions = ([as_stored(each[place]) for each in definitions] for place in (0, 1))
    return {"sagas": texts(sagas), "versions": texts(versions)}
