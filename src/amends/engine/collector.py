"""Python's cyclic garbage collector, set for many small, short-lived objects.

An activation allocates some hundred objects and frees them again by reference count; the default
threshold (700) makes the collector look at all young ones for every few steps, in vain.  While an
engine is open the thresholds are raised, unless the program has chosen its own; the last engine to
close puts them back.  `python -m bench throughput` shows what it brings.
"""

from __future__ import annotations

import gc

DEFAULTS = {(700, 10, 10), (2000, 10, 0), (2000, 10, 10)}
RAISED = (10_000, 20, 50)

_before: tuple[int, int, int] | None = None
_engines = 0


def relax() -> None:
    """An engine opens."""
    global _before, _engines  # noqa: PLW0603 - the collector is the process's
    _engines += 1
    if _engines == 1 and gc.get_threshold() in DEFAULTS:
        _before = gc.get_threshold()
        gc.set_threshold(*RAISED)


def restore() -> None:
    """An engine closes."""
    global _before, _engines  # noqa: PLW0603 - the collector is the process's
    _engines -= 1
    if _engines == 0 and _before is not None:
        if gc.get_threshold() == RAISED:
            gc.set_threshold(*_before)
        _before = None
