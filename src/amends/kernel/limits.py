"""Bounds on everything one execution can grow."""

from __future__ import annotations

import math

import msgspec

from ..errors import DefinitionError, Refused


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that keep one execution from hurting the others.

    payload: bytes of one encoded value.  rows: journal rows of an execution before it is parked
    (`warn_rows`: before a warning; continue as new).  fan_out: actions in flight at once in one
    execution.  depth: nesting of sagas.  callbacks: event-loop callbacks of one activation.
    seconds: wall-clock of one activation before it is parked as an endless loop. deaths: worker
    deaths on the same journal head before an execution is parked as poison.
    """

    payload: int = 1_000_000
    rows: int = 50_000
    warn_rows: int = 2_000
    fan_out: int = 10_000
    depth: int = 32
    callbacks: int = 1_000_000
    seconds: float = 10.0
    deaths: int = 5

    def __post_init__(self) -> None:
        """Raise `DefinitionError` for what nothing could run with."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            kinds = (int, float) if name == "seconds" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
                kind = "seconds" if name == "seconds" else "a whole number"
                raise DefinitionError(
                    f"Limits({name}={value!r}): expected {kind}, more than 0",
                    hint="leave it out for the default",
                )

    def check_fan_out(self, running: int, what: str) -> None:
        """Raise `Refused` when as many actions as allowed are in flight already."""
        if running >= self.fan_out:
            raise Refused(
                f"{what} would be action number {running + 1:,} in flight, the limit is {self.fan_out:,}",
                hint="await some first (a Semaphore helps), or raise Limits(fan_out=…)",
            )

    def check_depth(self, depth: int, saga: str) -> None:
        """Raise `Refused` (in the saga, which may catch it) past the allowed nesting."""
        if depth > self.depth:
            raise Refused(
                f"{saga} would be nested {depth} deep, the limit is {self.depth}",
                hint="use continue_as_new for recursion, or raise Limits(depth=…)",
            )
