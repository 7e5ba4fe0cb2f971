"""The paths through a saga: in which order its steps, pivots and waits can come.

**Theory of operation.**  The body is executed abstractly on a *set of states*.  A state says which pivot was
passed (if any), which irreversible effects happened before it, and what was assumed about simple
conditions, so that ``if fast: …`` twice does not make a path that takes both ways.  Whatever matters is
recorded as an `Event` with all states in which it can be reached; rules ask the events.

- A branch is walked once per way, the states are united after it.  A loop is walked until no new state
  comes (there are few, so twice or three times).
- Every event inside a `try` may raise: its states, before and after, lead to the handlers.
- Helpers of the same project are walked where they are called; a saga that is nested is one event, with a
  summary of whether it pivots.
- `with` blocks, `finally`, `shield` and time limits are the event's *surroundings*.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from .definitions import SagaDef, StepDef
from .source import Function


@dataclass(frozen=True)
class State:
    """One way of having come here. `exposed`: irreversible steps so far; `assumed`: tests and their
    answers."""

    pivot: ast.AST | None = None
    exposed: frozenset[Event] = frozenset()
    assumed: frozenset[tuple[str, bool]] = frozenset()


@dataclass(eq=False)
class Event:
    """Something that happens on a path."""

    kind: str  # step, child, pivot, raise, again (continue_as_new), wait
    node: ast.AST
    function: Function
    step: StepDef | None = None
    saga: SagaDef | None = None
    chain: tuple[tuple[Function, ast.AST], ...] = ()
    around: tuple[tuple[str, ast.AST], ...] = ()
    states: set[State] = field(default_factory=set)

    def inside(self, kind: str) -> bool:
        """Does it stand in such surroundings?"""
        return any(each == kind for each, _ in self.around)

    @property
    def before_pivot(self) -> bool:
        """Can it be reached without a pivot?"""
        return any(state.pivot is None for state in self.states)

    @property
    def after_pivot(self) -> bool:
        """Can it be reached after a pivot?"""
        return any(state.pivot is not None for state in self.states)


States = frozenset[State]
NONE: States = frozenset()
