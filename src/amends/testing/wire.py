"""A store as a simulated process sees it: every call is a point at which a fault may strike.

The store behind it is the real one.  `Faults` decides at each point: it may raise what the store could have
raised, let time pass, kill the process, or do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any, Protocol

from ..errors import AmendsError, CommitUnknown, StoreBusy, StoreError, StoreFull
from ..store.memory import MemoryStore
from ..store.port import Told, Verdict, Write
from .simulation import Process


class Crashed(StoreError):
    """What a process that is dead hears of its store."""

    code = "crashed"


class Faults(Protocol):
    """Decides what happens at each call of a store."""

    def is_slow(self, process: Process, writes: Sequence[Write]) -> bool:
        """Shall a commit in place be refused, so that it is made in the background?"""
        ...

    def refuses(self, process: Process, writes: Sequence[Write]) -> dict[int, Verdict]:
        """Which writes of a commit shall not be made, by their places in it, and what is said of them."""
        ...

    def before(self, process: Process, call: str, arguments: Sequence[Any]) -> float:
        """A call comes: seconds to wait before it is made. May raise instead, or kill the process."""
        ...

    def after(self, process: Process, call: str, arguments: Sequence[Any], result: Any) -> None:
        """A call was made. May raise (the answer is lost), or kill the process."""
        ...


class Wire:
    """A `Store` that passes every call on to `store`, past the faults."""

    def __init__(self, store: Any, process: Process, faults: Faults) -> None:
        self.inner = store
        self.process = process
        self._faults = faults
        self.incarnation: int | None = None
        self._open = False
        process.on_killed.append(self.abandon)

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Commit in place, unless the faults say that it would take long."""
        self._must_live("commit")
        if self._faults.is_slow(self.process, writes):
            return None
        arguments = (incarnation, writes)
        if self._faults.before(self.process, "commit_now", arguments):
            return None
        self._must_live("commit")
        refused = self._faults.refuses(self.process, writes)
        verdicts: list[Verdict] | None = self.inner.commit_now(incarnation, _without(writes, refused))
        if verdicts is not None:
            verdicts = _with(verdicts, refused)
            self._faults.after(self.process, "commit", arguments, verdicts)
            self._must_live("hear of its commit")
        return verdicts

    async def close(self) -> None:
        """Let go of the store."""
        if self.process.alive and self._open:
            await self.inner.close()
            self._open = (
                False  # only now: a process that is killed while it closes must not leave a connection open
            )
            if isinstance(self.inner, MemoryStore) and self.inner._worker == self.incarnation:
                self.inner._free_worker()  # shared by simulated processes, of which this one has gone

    def abandon(self) -> None:
        """Vanish, as a process that is killed. (Of those that share a memory store, one is the worker.)"""
        store = self.inner
        if not self._open:
            return
        self._open = False
        if isinstance(store, MemoryStore) and store._worker != self.incarnation:
            store._opened = max(0, store._opened - 1)
        else:
            store.abandon()

    async def _call(self, call: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._must_live(call)
        wait = self._faults.before(self.process, call, arguments)
        self._must_live(call)
        if wait:
            await asyncio.sleep(wait)
        if call == "open":
            self._open = True  # from its first moment there is something to let go of
        if call == "commit":
            incarnation, writes = arguments
            refused = self._faults.refuses(self.process, writes)
            result: Any = _with(await self.inner.commit(incarnation, _without(writes, refused)), refused)
        else:
            result = await getattr(self.inner, call)(*arguments, **options)
        if call == "register":
            self.incarnation = result
        self._faults.after(self.process, call, arguments, result)
        self._must_live(f"hear of its {call}")
        return result

    def _must_live(self, what: str) -> None:
        if not self.process.alive:
            raise Crashed(f"the process is dead; it cannot {what}")


class PromptWire(Wire):
    """One whose commits are made elsewhere and told in a callback, as those of PostgreSQL are."""

    aside = True

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Never in place."""
        self._must_live("commit")
        return None

    def commit_soon(self, incarnation: int, writes: Sequence[Write], told: Told) -> bool:
        """Begin a commit (see `port.Prompt`)."""
        self._must_live("commit")
        carried = self._call("commit", (incarnation, writes), {})
        flight = asyncio.get_running_loop().create_task(carried, context=Context())
        flight.add_done_callback(lambda done: told(_answer(done)), context=Context())
        return True


def _answer(flight: asyncio.Task[list[Verdict]]) -> list[Verdict] | AmendsError | None:
    if flight.cancelled():
        return CommitUnknown("the commit was cancelled")
    error = flight.exception()
    if error is None:
        return flight.result()
    if isinstance(error, (StoreFull, StoreBusy)):  # nothing was changed
        return None
    return error if isinstance(error, AmendsError) else CommitUnknown(f"the store failed: {error!r}")


def _without(writes: Sequence[Write], refused: dict[int, Verdict]) -> Sequence[Write]:
    if not refused:
        return writes
    return [write for place, write in enumerate(writes) if place not in refused]


def _with(verdicts: list[Verdict], refused: dict[int, Verdict]) -> list[Verdict]:
    for place in sorted(refused):
        verdicts.insert(place, refused[place])
    return verdicts


def _passing(call: str) -> Any:
    async def passed(self: Wire, *arguments: Any, **options: Any) -> Any:
        return await self._call(call, arguments, options)

    passed.__name__ = passed.__qualname__ = call
    return passed


CALLS = (
    "open", "tidy", "register", "retire", "commit", "serve", "claim", "next_wake", "news", "changed",
    "transact", "park",
    "create", "send", "unpark", "find", "headers", "read", "audited", "prune", "restore",
    "add_key", "keys", "rewrap", "forget",
    "add_pause", "end_pause", "pauses",
    "take_tasks", "renew_tasks", "report_tasks", "return_tasks", "cancel_tasks",
    "queues", "set_queue", "tasks_of",
)  # fmt: skip
for _name in CALLS:
    setattr(Wire, _name, _passing(_name))
