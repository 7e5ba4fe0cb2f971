"""Moments as dates: they are kept as seconds since the epoch, of which calendars know only some."""

from __future__ import annotations

from datetime import UTC, datetime

# A day less than there are, so that they are dates in every time zone.
_FIRST = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LAST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


def date_of(at: float | None) -> datetime | None:
    """That moment in UTC. None for none, and for one without a date: after the year 9999, or damage."""
    return datetime.fromtimestamp(at, UTC) if at is not None and _FIRST <= at <= _LAST else None
