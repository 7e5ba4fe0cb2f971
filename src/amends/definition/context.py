"""`amends.current()`: who and where the running code is, in sagas, steps and compensations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import msgspec

from .. import ids
from ..errors import NotInSaga
from .policy import Outcome
from .port import current_port
from .times import date_of


class Current(msgspec.Struct, eq=False):
    """The running execution and, inside a step or compensation, the running attempt.

    id: the execution's id.  uid: its unique, random id.  run: counts continue-as-new.  saga: the
    durable name.  step and action: durable name and action id (empty in saga code).  attempt: 1 for
    the first.  deadline: when the attempt will be stopped, or None.  outcome: in a compensation,
    how the action it undoes ended.  origin: the uid of the execution that began the action, where this one
    was forked from that (its idempotency key begins with it).
    """

    id: str
    uid: str
    run: int
    saga: str
    step: str = ""
    action: str = ""
    attempt: int = 0
    direction: str = "do"
    deadline_at: float | None = None
    outcome: Outcome | None = None
    key_suffix: str = ""
    origin: str = ""
    _beat: Callable[[Any], None] | None = None
    _cancelled: threading.Event | None = None
    _acted: bool = False  # participant clients note here that something was sent and not refused

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this action in this direction; give it to the participant."""
        if not self.action:
            raise NotInSaga(
                "saga code has no idempotency key; only steps and compensations have one",
                hint="call amends.current().idempotency_key inside a @step",
            )
        uid = self.origin or self.uid
        return ids.idempotency_key(uid, self.run, self.action + self.key_suffix, self.direction)

    @property
    def deadline(self) -> datetime | None:
        """When this attempt will be stopped (UTC), or None."""
        return date_of(self.deadline_at)

    def heartbeat(self, progress: Any = None) -> None:
        """Say that the step is alive (`@step(heartbeat=…)` stops one that is silent longer). Thread-safe."""
        if self._beat is not None:
            self._beat(progress)

    @property
    def cancelled(self) -> bool:
        """True once the attempt should stop: a `def` step in its thread can only look."""
        return self._cancelled is not None and self._cancelled.is_set()


CURRENT: ContextVar[Current] = ContextVar("amends_current")


def current() -> Current:
    """The running execution and attempt. Raises `NotInSaga` outside of sagas, steps and compensations."""
    port = current_port()
    if port is not None:
        return port.current()
    try:
        return CURRENT.get()
    except LookupError:
        raise NotInSaga(
            "amends.current() was called outside of a saga, step or compensation",
            hint="in a test, run the code in an Engine or pass what it needs as arguments",
        ) from None
