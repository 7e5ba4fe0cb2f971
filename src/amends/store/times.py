"""Times among the options of a store: what is no time would make it spin, or wait for nothing."""

from __future__ import annotations

from ..errors import StoreError

LONGEST = 2_000_000.0
"""Seconds that PostgreSQL can count in its milliseconds."""


def check_times(least: float, most: float = 1e12, **given: float) -> None:
    """Raise `StoreError` for an option that is no number of seconds from `least` to `most`."""
    for name, seconds in given.items():
        if not (isinstance(seconds, (int, float)) and least <= seconds <= most):
            raise StoreError(
                f"the option {name}={seconds!r} of a store; expected seconds, {least:g} to {most:,.0f}",
                hint="leave it out for the default",
            )
