"""What a client knows of the attempt it works for, and what it tells the participant about it.

The engine gives each attempt an idempotency key, a deadline and a number (`amends.current()`).  Outside
of a step, in a unit test or a script, there is none of that, and requests carry no such headers.

**One effect per attempt.**  "Certainly no effect" is a statement about a request; the outcome is one
of the whole attempt.  When a step sends two requests that change something and the second is refused, the
step has had an effect all the same.  So an attempt remembers that something was sent and not refused,
and from then on what is certain for a later request is raised as `UnknownOutcome` (`settle`).
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from ..clock import Clock
from ..definition.context import Current, current
from ..errors import AmendsError, NotInSaga, NotSent, Rejected
from .failures import UnknownOutcome

KEY = "Idempotency-Key"
DIRECTION = "Amends-Direction"
EXECUTION = "Amends-Execution"
ATTEMPT = "Amends-Attempt"
DEADLINE = "Amends-Deadline"
TRACE = "traceparent"

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SHARE, _MOST = 0.05, 1.0

KeyForm = Callable[[str], str]


class Guard(Protocol):
    """What a client asks of a circuit breaker (`amends.participants.breaker.Breaker`)."""

    def guard(self) -> AbstractContextManager[None]:
        """Around one call."""
        ...


def as_uuid(key: str) -> str:
    """A form of the idempotency key for participants that take UUIDs only: the same key, the same UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"amends:{key}"))


def here() -> Current | None:
    """The running attempt; None outside of steps and compensations."""
    try:
        found = current()
    except NotInSaga:
        return None
    return found if found.action else None


def headers(
    of: Current | None, *, part: str = "", key_header: str = KEY, key_form: KeyForm = str
) -> dict[str, str]:
    """What the participant should know: the key, the direction, who asks, until when, and the trace.

    `part` tells the requests of one attempt apart: it is appended to the key.
    """
    if of is None:
        return {}
    key = f"{of.idempotency_key}/{part}" if part else of.idempotency_key
    told = {
        key_header: key_form(key),
        DIRECTION: of.direction,
        EXECUTION: of.uid,
        ATTEMPT: str(of.attempt),
        TRACE: traceparent(of),
    }
    if (until := of.deadline) is not None:
        told[DEADLINE] = until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told.update(_active_trace())
    return told


def traceparent(of: Current) -> str:
    """W3C Trace Context: one trace per execution (made of its uid), one span per attempt."""
    trace = of.uid if _TRACE_ID.fullmatch(of.uid) else hashlib.sha256(of.uid.encode()).hexdigest()[:32]
    span = hashlib.sha256(f"{of.idempotency_key}#{of.attempt}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"


def _active_trace() -> dict[str, str]:
    """The headers of the OpenTelemetry span that is open here, if the program uses OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate, trace  # noqa: PLC0415 - only programs that have it pay for it

    if not trace.get_current_span().get_span_context().is_valid:
        return {}
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def time_left(of: Current | None, clock: Clock, most: float) -> float:
    """Seconds that a request may take: `most`, cut to what the attempt has left.

    A little less than that, so that the client, who knows whether anything was sent, is the first to see
    that time is up, and not the engine, which has to take it for unknown.
    """
    if of is None or of.deadline_at is None:
        return most
    left = of.deadline_at - clock.now()
    return min(most, left - min(_MOST, _SHARE * left))


def acted(of: Current | None) -> bool:
    """Has this attempt sent something that was not certainly refused?"""
    return of is not None and of._acted


def has_acted(of: Current | None) -> None:
    """Remember it."""
    if of is not None:
        of._acted = True


def settle(of: Current | None, error: AmendsError) -> AmendsError:
    """The error as the attempt as a whole has to see it."""
    if not acted(of) or not isinstance(error, (NotSent, Rejected)):
        return error
    unclear = UnknownOutcome(
        f"{error.message} (and an earlier request of this attempt may have had an effect)",
        hint="one effect per step: put each request that changes something into a step of its own",
        retry_after=getattr(error, "retry_after", None),
    )
    unclear.counts = getattr(error, "counts", True)
    return unclear
