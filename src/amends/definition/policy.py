"""Policies as data: how often to retry, how to recover, what a compensation means."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal, TypeVar

import msgspec

from ..errors import DefinitionError, did_you_mean

Duration = float | int | timedelta


def seconds(value: Duration | None, what: str) -> float | None:
    """A duration as seconds; refuses what is not positive, or not finite. None stays None."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise DefinitionError(
            f"{what} must be a positive number of seconds or a timedelta, got {value!r}",
            hint="for no limit leave it out",
        )
    return float(value)


_STEEPEST, _HIGHEST = 10_000, 64  # the factor of waits and its exponent: together still a number


class Outcome(enum.StrEnum):
    """How a dispatched action ended. There is no fourth way."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Kind(enum.StrEnum):
    """How much a compensation gives back: all of it, its meaning, or something close."""

    PERFECT = "perfect"
    SEMANTIC = "semantic"
    APPROXIMATE = "approximate"


class Recovery(enum.StrEnum):
    """What to do when an action has finally failed.

    ``backward``: tell the saga (which usually ends in compensation).  ``forward``: keep trying
    until it succeeds. ``ask``: park it and let a person decide.  ``halt``: park it and touch
    nothing, for data-integrity errors. (Backward and forward recovery: Garcia-Molina & Salem,
    SIGMOD 1987.)
    """

    BACKWARD = "backward"
    FORWARD = "forward"
    ASK = "ask"
    HALT = "halt"


RecoveryPolicy = Mapping[type[BaseException], Recovery | Literal["backward", "forward", "ask", "halt"]]
ErrorTypes = type[BaseException] | Sequence[type[BaseException]]


def error_types(value: ErrorTypes | None, what: str) -> tuple[type[BaseException], ...]:
    """Exception classes as a tuple; refuses anything else."""
    if value is None:
        return ()
    items: Sequence[object] = value if isinstance(value, (list, tuple)) else (value,)
    types = []
    for item in items:
        if not (isinstance(item, type) and issubclass(item, BaseException)):
            raise DefinitionError(
                f"{what} takes exception classes, got {item!r}", hint=f"{what}=(MyError, …)"
            )
        types.append(item)
    return tuple(types)


W = TypeVar("W", bound=enum.StrEnum)


def word(kind: type[W], value: str, what: str) -> W:
    """A member of an enumeration, by value. Raises `DefinitionError` with the words there are."""
    try:
        return kind(value)
    except ValueError:
        raise DefinitionError(
            f"{what} cannot be {value!r}", hint=did_you_mean(str(value), map(str, kind))
        ) from None


def recovery_policy(value: RecoveryPolicy | None) -> RecoveryPolicy:
    """A checked recovery policy: exception classes to ways."""
    policy = value or {}
    error_types(list(policy), "recovery")
    return {type_: word(Recovery, way, f"recovery of {type_.__name__}") for type_, way in policy.items()}


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff: attempt n waits ``delay * factor**(n-1)`` seconds, at most `cap`.

    `attempts` counts the first one (None: no limit).  `jitter` spreads each wait by up to that
    fraction, downwards. `total` seconds after the first dispatch no further attempt starts.  `on`
    limits retries to these exceptions, `never` excludes some.  A rejection is never retried.  An
    exception that carries a `retry_after` (seconds) makes the wait at least that long.
    """

    attempts: int | None = 3
    delay: float = 1.0
    factor: float = 2.0
    cap: float = 60.0
    jitter: float = 0.25
    total: float | None = None
    on: tuple[type[BaseException], ...] = (Exception,)
    never: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        for name in ("on", "never"):
            msgspec.structs.force_setattr(self, name, error_types(getattr(self, name), f"Retry: {name}"))
        wrong = (
            (self.attempts is not None and not _at_least(1, self.attempts), "attempts must be at least 1"),
            (
                not (_at_least(0, self.delay) and self.delay < math.inf),
                "delay must be a number of seconds, not negative (nor infinite)",
            ),
            (
                not (_at_least(1, self.factor) and self.factor <= _STEEPEST),
                "factor must be at least 1 (and at most 10,000)",
            ),
            (not _at_least(0, self.cap), "cap must be a number of seconds, not negative"),
            (not (_at_least(0, self.jitter) and self.jitter <= 1), "jitter must be between 0 and 1"),
            (
                self.total is not None and not (_at_least(0, self.total) and self.total > 0),
                "total must be a positive number of seconds",
            ),
        )
        for is_wrong, text in wrong:
            if is_wrong:
                raise DefinitionError(f"Retry: {text}, got {self!r}")

    def wait(self, attempt: int, chance: random.Random) -> float:
        """Seconds to wait after failed attempt number `attempt` (1 is the first)."""
        exponent = min(attempt - 1, _HIGHEST)
        base = min(self.cap, self.delay * self.factor**exponent)
        return base * (1 - self.jitter * chance.random())

    def allows(self, error: BaseException) -> bool:
        """May this error be retried at all?"""
        return isinstance(error, self.on) and not isinstance(error, self.never)

    def next(
        self, attempt: int, error: BaseException, since: float, now: float, chance: random.Random
    ) -> float | None:
        """When (seconds since the epoch) to try again after `attempt` failed; None: give up."""
        return self.after(attempt, error, since, now, chance) if self.allows(error) else None

    def after(
        self, attempt: int, error: BaseException, since: float, now: float, chance: random.Random
    ) -> float | None:
        """The same for an error of which it is known that it may be retried."""
        if self.attempts is not None and attempt >= self.attempts:
            return None
        due = now + max(self.wait(attempt, chance), retry_after(error))
        if self.total is not None and due > since + self.total:
            return None
        return due


def must_be_retry(value: Retry) -> Retry:
    """Refuses a bare number and the like, which would only be found out when the first attempt has failed."""
    given: object = value
    if not isinstance(given, Retry):
        number = given if isinstance(given, int) and not isinstance(given, bool) and given > 0 else 3
        raise DefinitionError(f"retry takes a Retry, got {given!r}", hint=f"retry=Retry(attempts={number})")
    return value


def retry_after(error: BaseException) -> float:
    """How long (seconds) the participant asked to be left alone: the error's `retry_after`, else 0."""
    asked = told_by(error, "retry_after")
    return asked if isinstance(asked, (int, float)) and asked >= 0 and math.isfinite(asked) else 0.0


def told_by(error: BaseException, name: str) -> object:
    """An attribute of somebody else's exception; None if it has none, or a property that fails."""
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - it must not hide what it is an attribute of
        return None


def _at_least(least: float, value: object) -> bool:
    return isinstance(value, (int, float)) and value >= least


DEFAULT_RETRY = Retry(attempts=3, delay=0.5, cap=30.0)
UNDO_RETRY = Retry(attempts=10, delay=0.5, cap=60.0)
