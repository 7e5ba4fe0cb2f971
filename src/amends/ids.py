"""The one place where unpredictable identifiers are minted, so that a simulation can replace it."""

from __future__ import annotations

import os
from typing import Protocol


class Ids(Protocol):
    """Mints identifiers that never repeat."""

    def uid(self, now: float) -> str:
        """32 hex digits, ordered by `now` (milliseconds), random after that."""
        ...


class RandomIds:
    """Identifiers from the operating system's randomness.

    Time comes first so that new rows land side by side in a B-tree (the layout of UUID version 7,
    RFC 9562); 80 random bits follow.
    """

    def uid(self, now: float) -> str:
        return f"{int(now * 1000):012x}{os.urandom(10).hex()}"


def noise(count: int) -> bytes:
    """So many bytes that nobody can predict, for keys and nonces."""
    return os.urandom(count)


def idempotency_key(uid: str, run: int, action: str, direction: str) -> str:
    """The key of one action in one direction (``do`` or ``undo``), the same for every attempt."""
    return f"{uid}/{run}/{action}/{direction}"
