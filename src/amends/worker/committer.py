"""Group commit: one transaction for all executions that became ready meanwhile.

**Theory of operation.**  At most one commit is in flight.  What becomes ready during it gathers and
goes into the next, so that one flush to disk serves as many executions as there are; nothing is
delayed to make a batch larger.  When little waits and the store is quick, the commit is done in
place (`Store.commit_now`): the shortest way for one saga at a time.

A commit that others carry out (`port.commits_aside`) leaves this process free, and the two should work at
the same time.  So what gathered is sent before the verdicts of the commit before it are told, and it is sent
at once (`Prompt.commit_soon`, else `start_eagerly`), not when the loop comes to it.  Executions that all wait
for one commit would come back from it together and wait together for the next, with nothing to do meanwhile:
where nothing has gathered, half of them are told first, and what they do is on its way before the others are.
What is told and what follows from it, up to the next commit sent, is one callback of the loop (`on_told`).

Nothing of a decision escapes before its verdict.  A store without room keeps the batch and tries
again, with nothing acknowledged. `CommitUnknown` is never retried: the owner is told (`on_lost`),
retires its own incarnation and reads again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial

from ..clock import Clock
from ..eager import start_eagerly
from ..errors import AmendsError, CommitUnknown, StoreBusy, StoreFull
from ..store.port import Store, Verdict, Write, commits_aside, is_prompt

_log = logging.getLogger("amends.worker")


Pending = tuple[Write, Callable[[Verdict], None]]
"""A write, and who wants to know its verdict."""

HALVED = 16
"""From so many writes on, what comes back from a commit aside is told in two halves."""


def _plainly(tell: Callable[[], None]) -> None:
    tell()


class Statistics:
    """What the committer did (for `engine.stats()`)."""

    def __init__(self) -> None:
        self.commits = 0
        self.inline = 0
        self.rows = 0
        self.writes = 0
        self.seconds: deque[float] = deque(maxlen=100_000)

    def count(self, batch: Sequence[Pending], seconds: float, *, inline: bool) -> None:
        """One more commit."""
        self.commits += 1
        self.inline += inline
        self.writes += len(batch)
        self.rows += sum([write.row is not None for write, _ in batch])
        self.seconds.append(seconds)


class Committer:
    """See the module's theory of operation."""

    def __init__(
        self,
        store: Store,
        incarnation: int,
        clock: Clock,
        *,
        batch: int,
        on_lost: Callable[[AmendsError], None],
        on_told: Callable[[Callable[[], None]], None] = _plainly,
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._clock = clock
        self._cap = batch
        self._on_lost = on_lost
        self._on_told = on_told
        self._soon = store.commit_soon if is_prompt(store) else None
        self._loop = asyncio.get_running_loop()
        self.waiting: list[Pending] = []
        self._flight: asyncio.Task[None] | None = None
        self._landing: asyncio.Future[None] | None = None  # of a flight without a task, if somebody waits
        self._away = False  # is a commit in flight?
        self._untold = 0  # commits that are durable, and not all have been told
        self._dead = False
        self.statistics = Statistics()
        self.full: StoreFull | None = None

    def add(self, write: Write, done: Callable[[Verdict], None]) -> None:
        """Queue a write for the next commit; call `flush` when the round is complete."""
        self.waiting.append((write, done))

    @property
    def idle(self) -> bool:
        """Is nothing queued or in flight, and has everybody been told?"""
        return not (self._away or self.waiting or self._untold)

    def flush(self) -> None:
        """Commit what waits, unless a commit is in flight (it will be followed by the next)."""
        while self.waiting and not self._away and not self._dead:
            batch = self._take()
            if not self._inline(batch):
                self._depart(batch)

    def _depart(self, batch: list[Pending]) -> None:
        self._away = True
        if self._soon is not None:
            told = partial(self._told, batch, self._clock.monotonic())
            try:
                if self._soon(self._incarnation, [write for write, _ in batch], told):
                    return
            except Exception as error:  # noqa: BLE001 - nobody can know what is durable
                self._away = False
                self._lose(_as_unknown(error))
                return
        self._take_off(batch)

    def _take_off(self, batch: list[Pending]) -> None:
        flight = start_eagerly(self._fly(batch), self._loop, Context(), "commit")
        self._flight = flight if self._away else None

    def _told(self, batch: list[Pending], began: float, answer: list[Verdict] | AmendsError | None) -> None:
        """The end of a commit that needed no task."""
        if answer is None and not self._dead:
            self._take_off(batch)
            return
        self._away = False
        self._tell_landing()
        if self._dead:
            return
        if isinstance(answer, AmendsError):
            self._lose(answer)
        elif answer is not None:
            self.statistics.count(batch, self._clock.monotonic() - began, inline=False)
            self._untold += 1
            self._landed(batch, answer)

    def _take(self) -> list[Pending]:
        waiting, cap = self.waiting, self._cap
        self.waiting = waiting[cap:]
        return waiting if len(waiting) <= cap else waiting[:cap]

    def _inline(self, batch: list[Pending]) -> bool:
        began = self._clock.monotonic()
        try:
            verdicts = self._store.commit_now(self._incarnation, [write for write, _ in batch])
        except (StoreFull, StoreBusy):
            return False
        except Exception as error:  # noqa: BLE001 - nobody can know what is durable
            self._lose(_as_unknown(error))
            return True
        if verdicts is None:
            return False
        self.statistics.count(batch, self._clock.monotonic() - began, inline=True)
        self._tell(batch, verdicts)
        return True

    def _tell_landing(self) -> None:
        landing, self._landing = self._landing, None
        if landing is not None and not landing.done():
            landing.set_result(None)

    async def _fly(self, batch: list[Pending]) -> None:
        verdicts = None
        try:
            verdicts = await self._commit(batch)
        except Exception as error:  # noqa: BLE001 - nobody can know what is durable
            self._lose(_as_unknown(error))
        finally:
            self._away, self._flight = False, None
            self._tell_landing()
        if verdicts is not None and not self._dead:
            self._untold += 1
            self._loop.call_soon(self._landed, batch, verdicts, context=Context())

    def _landed(self, batch: list[Pending], verdicts: list[Verdict], whole: bool = False) -> None:
        if not whole and commits_aside(self._store):
            self.flush()
            if not self._away and len(batch) >= HALVED:
                half = len(batch) // 2
                self._on_told(partial(self._tell, batch[:half], verdicts[:half]))
                rest = batch[half:], verdicts[half:], True
                self._loop.call_soon(self._landed, *rest, context=Context())
                return
        self._untold -= 1
        self._on_told(partial(self._tell, batch, verdicts))
        self.flush()

    async def _commit(self, batch: list[Pending]) -> list[Verdict]:
        writes = [write for write, _ in batch]
        pause = 0.05
        while True:
            began = self._clock.monotonic()
            try:
                verdicts = await self._store.commit(self._incarnation, writes)
            except StoreFull as error:
                if self.full is None:
                    _log.error("the store is full; holding %d executions: %s", len(batch), error)
                self.full = error
            except StoreBusy as error:
                _log.warning("the store is busy; trying again: %s", error)
            else:
                if self.full is not None:
                    _log.warning("the store has room again; going on")
                    self.full = None
                self.statistics.count(batch, self._clock.monotonic() - began, inline=False)
                return verdicts
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _tell(self, batch: list[Pending], verdicts: list[Verdict]) -> None:
        if self._dead:  # all is read again
            return
        try:
            for (_, done), verdict in zip(batch, verdicts, strict=True):
                done(verdict)
        except Exception as error:  # noqa: BLE001 - a defect of ours: reported, and all is read again
            _log.error("carrying out a commit failed", exc_info=error)
            self._lose(AmendsError(f"carrying out a commit failed: {error!r}"))

    def _lose(self, error: AmendsError) -> None:
        """Nobody can know what is durable (or we are fenced): stop, and let the owner read again."""
        self._dead = True
        self.waiting.clear()
        self._on_lost(error)

    async def settle(self) -> None:
        """Wait until nothing is queued or in flight."""
        while not self.idle and not self._dead:
            self.flush()
            if self._flight is not None:
                await asyncio.wait([self._flight])  # noqa: TID251 - one task, no order
            elif self._away:
                self._landing = self._loop.create_future()
                await self._landing
            await asyncio.sleep(0)

    def kill(self) -> None:
        """Forget everything (the worker died or was fenced)."""
        self._dead = True
        self.waiting.clear()
        self._tell_landing()
        if self._flight is not None:
            self._flight.cancel()


def _as_unknown(error: Exception) -> AmendsError:
    """An error of the store itself (`Fenced`, `CommitUnknown`), or one that it should not have raised."""
    if isinstance(error, AmendsError):
        return error
    _log.error("the store raised what it must not", exc_info=error)
    return CommitUnknown(f"the store failed around a commit: {error!r}")
