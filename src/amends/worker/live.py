"""An execution in a worker's memory: the kernel's instance plus what the worker knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..kernel.holding import PauseRequested
from ..kernel.instance import Instance
from ..store.port import Header


class Live:
    """One resident execution.

    events: what came and is not yet activated.  given: what the activation under way was given.
    consumed: inbox numbers among them.  busy: a row (or a transactional step) is on its way to the
    store.  leaving: that row gives the execution up.  queued: waits for the next round of activations.
    resting: has nothing to do for now.  lost: action ids whose attempt died with an earlier worker, and
    until when it may still run.  paused: it stands still, because of this request.  holds: inbox numbers
    of the requests to pause.  told: hears whether its start is durable.  exclusive: work that
    needs the journal's next position for itself.  away: actions and directions whose attempts are with a
    queue.  reported: those of which the end came and is not journaled.
    """

    __slots__ = (
        "away",
        "busy",
        "consumed",
        "events",
        "exclusive",
        "fresh",
        "given",
        "header",
        "holds",
        "inbox_seq",
        "instance",
        "last_seq",
        "leaving",
        "lost",
        "paused",
        "queued",
        "reported",
        "resting",
        "tell_acceptance",
        "told",
        "wake_at",
    )

    def __init__(self, header: Header, instance: Instance) -> None:
        self.header = header
        self.instance = instance
        self.events: list[Any] = []
        self.given: list[Any] = []
        self.consumed: list[int] = []
        self.inbox_seq = header.inbox_seq
        self.last_seq = 0
        self.told: asyncio.Future[Any] | None = None
        self.tell_acceptance = True
        self.busy = False
        self.leaving = False
        self.queued = False
        self.fresh = False
        self.resting = False
        self.wake_at: float | None = None
        self.lost: dict[str, float] = {}
        self.paused: PauseRequested | None = None
        self.holds: list[int] = []
        self.exclusive: list[Callable[[], None]] = []
        self.away: set[tuple[str, str]] = set()
        self.reported: list[tuple[str, str]] = []

    def settle_start(self, *, accepted: bool | None) -> None:
        """Tell whoever started it whether it is durable (who waits for its end need not hear that it is)."""
        self.fresh = False
        told, self.told = self.told, None
        if told is not None and (self.tell_acceptance or not accepted) and not told.done():
            told.set_result(accepted)

    def refuse_start(self, error: Exception) -> None:
        """Tell whoever started it that it cannot be stored."""
        self.fresh = False
        told, self.told = self.told, None
        if told is not None and not told.done():
            told.set_exception(error)
