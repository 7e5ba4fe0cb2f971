"""Queues from outside: how they stand, pause and resume, limits, and room for what is to come."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ..definition.registry import Registry
from ..errors import DefinitionError, Refused, UnknownName, did_you_mean
from ..store.queueing import QueueLimits, QueueStatus
from ..worker.queues.server import Server
from ..worker.resources import Resources
from ..worker.settings import Settings
from .backend import Backend, must_be_text
from .room import Room

if TYPE_CHECKING:
    from ..clock import Clock
    from ..store.port import Store

_log = logging.getLogger("amends.engine")
AGAIN = 1.0
"""Seconds until serving begins again that failed."""


def _nobody() -> None:
    """No queue is served in this process."""


class Queues:
    """The queues of a namespace. See docs/queues.md.

    What is set holds for all who serve the queue, wherever they are, from the next task on.
    """

    def __init__(self, backend: Backend, stir: Callable[[], None] = _nobody) -> None:
        self._backend = backend
        self._stir = stir  # who serves in this process may look at once
        self._rooms: dict[str, Room] = {}

    async def list(self) -> list[QueueStatus]:
        """All queues that have tasks or settings, by name."""
        backend = self._backend
        return await backend.store.queues(backend.namespace, backend.clock.now())

    async def status(self, name: str) -> QueueStatus:
        """How one stands; of a name that nothing is known of: empty, without limits."""
        must_be_text("a queue's name", name)
        found = [each for each in await self.list() if each.name == name]
        return found[0] if found else QueueStatus(name=name)

    async def pause(self, name: str) -> None:
        """Nobody takes from it any more. What runs goes on; what is issued waits."""
        await self._set(name, paused=True)

    async def resume(self, name: str) -> None:
        """It is taken from again."""
        await self._set(name, paused=False)

    async def limit(self, name: str, limits: QueueLimits) -> None:
        """Set all its limits; what `limits` does not name is without one. Raises `Refused`."""
        for word, value in msgspec.structs.asdict(limits).items():
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise Refused(f"{word} must be over 0, got {value!r}", hint="to stop a queue, pause it")
        if limits.burst is not None and limits.rate is None:
            raise Refused("a burst without a rate limits nothing", hint="QueueLimits(rate=10, burst=50)")
        await self._set(name, limits=limits)

    async def room(self, name: str, *, timeout: float | None = None) -> None:
        """Wait until fewer tasks wait in the queue than its limit `depth`: for starters that are ahead of it.

        timeout: seconds, then `QueueFull` (a `TimeoutError`). Without that limit there is always room.
        """
        must_be_text("a queue's name", name)
        room = self.room_in(name)
        room.forget()  # who asks is told how it is now
        await room.wait(timeout)

    def room_in(self, name: str) -> Room:
        """What is known here of the room in a queue."""
        found = self._rooms.get(name)
        if found is None:
            found = self._rooms[name] = Room(partial(self.status, name), self._backend.clock)
        return found

    async def _set(self, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None) -> None:
        must_be_text("a queue's name", name)
        if not name:
            raise Refused("a queue has a name", hint='queues.pause("emails")')
        backend = self._backend
        await backend.store.set_queue(backend.namespace, name, paused=paused, limits=limits)
        self.room_in(name).forget()
        self._stir()


def server_of(
    store: Store,
    registry: Registry,
    resources: Resources,
    clock: Clock,
    settings: Settings,
    queues: Sequence[str],
    *,
    namespace: str,
    told: Callable[[], None],
) -> Server:
    """Who serves these queues in this process. Raises `UnknownName` for one that no step known here has."""
    known = registry.queues
    for name in queues:
        if name not in known:
            raise UnknownName(
                f"no step known here is in the queue {name!r}",
                hint=did_you_mean(name, known) or "import the module that defines its steps",
            )
    holder = f"{socket.gethostname()}:{os.getpid()}"
    return Server(
        store,
        registry,
        resources,
        clock,
        settings,
        list(dict.fromkeys(queues)),
        namespace=namespace,
        holder=holder,
        told=told,
    )


async def serving(server: Server) -> None:
    """Serve until cancelled: a defect of ours in this must not stop the sagas of the process."""
    while True:
        try:
            await server.run()
        except Exception:  # noqa: BLE001 - told, and begun again
            _log.exception("serving queues failed; beginning again")
        await asyncio.sleep(AGAIN)


def names(queues: Sequence[str]) -> list[str]:
    """The names of queues as they were given. Raises `DefinitionError` for what is no list of names."""
    if isinstance(queues, str):
        raise DefinitionError(f"queues takes a list, got {queues!r}", hint=f"queues=[{queues!r}]")
    for each in queues:
        if not isinstance(each, str) or not each:
            raise DefinitionError(f"a queue has a name, got {each!r}", hint='queues=["emails"]')
    return list(queues)
