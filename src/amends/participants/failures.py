"""What the clients raise: each says which of the three outcomes it stands for (DESIGN §3, promise 1).

`NotSent`, `NotYet` and `TryLater` are certain: the participant did nothing, the step may try again.
`Rejected` is certain and final.  `UnknownOutcome` is not certain.
"""

from __future__ import annotations

from ..errors import AmendsError, NotSent, PayloadError


class UnknownOutcome(AmendsError):
    """Raised by a client: the request was sent, and nobody can tell what came of it.

    `retry_after` (seconds): the participant asked not to be asked earlier.
    """

    code = "unknown_outcome"

    def __init__(self, message: str = "", *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.counts = True


class TryLater(NotSent):
    """Raised by a client: the participant refused to handle the request now, or the answer to a question
    that changes nothing was lost. Certainly no effect.

    `outage`: does it speak of a participant in trouble (a circuit breaker counts it)?
    """

    code = "try_later"

    def __init__(
        self, message: str = "", *, hint: str = "", retry_after: float | None = None, outage: bool = False
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.outage = outage


class UnreadableReply(PayloadError):
    """The participant acted and its reply does not fit the type it was to be read as. Not tried again."""

    code = "unreadable_reply"


class MissingExtra(AmendsError, ImportError):
    """A library that belongs to an optional part of amends is not installed."""

    code = "missing_extra"


def missing(extra: str, library: str) -> MissingExtra:
    """The error for a library of an extra that cannot be imported."""
    return MissingExtra(
        f"this part of amends needs {library}, which is not installed",
        hint=f"pip install 'amends[{extra}]'",
    )
