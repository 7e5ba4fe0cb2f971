"""The rules, by subject. Each is a function from a `Context` to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..context import Context
from ..finding import Finding
from . import awaiting, determinism, loops, names, payloads, pivot, state, timing, types, undoing

ALL: tuple[Callable[[Context], Iterator[Finding]], ...] = (
    undoing.missing_compensation,
    undoing.unfit,
    undoing.result,
    undoing.exposed,
    pivot.twice,
    pivot.afterwards,
    pivot.in_flight,
    determinism.hazards,
    determinism.unordered,
    state.shared,
    awaiting.in_finally,
    awaiting.swallowed,
    awaiting.not_awaited,
    loops.recursion,
    loops.endless,
    timing.retries,
    timing.longest_path,
    payloads.unannotated,
    payloads.mutable_defaults,
    types.unreadable,
    types.refused,
    names.implicit,
    names.duplicate,
    names.versions,
)
