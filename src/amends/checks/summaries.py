"""The paths of each saga, walked once; what a nested saga means for the one around it."""

from __future__ import annotations

from collections.abc import Iterable

from .definitions import Definitions, SagaDef
from .flow import State
from .paths import Paths


class Summaries:
    """The paths of each saga, walked when first asked for."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._paths: dict[SagaDef, Paths | None] = {}

    def of(self, saga: SagaDef) -> Paths | None:
        """The saga's paths; None while they are being walked (a saga that nests itself)."""
        if saga not in self._paths:
            self._paths[saga] = None
            self._paths[saga] = Paths(saga, self.definitions, self)
        return self._paths[saga]

    def pivots(self, saga: SagaDef) -> set[bool]:
        """Whether the saga has passed a pivot when it returns: on some paths, on all, on none."""
        paths = self.of(saga)
        ends: Iterable[State] = paths.ends if paths is not None else ()
        return {state.pivot is not None for state in ends} or {False}
