"""Executions without a worker: an instance of the kernel, and the rows that it has written."""

from __future__ import annotations

from typing import Any

from amends.definition.registry import REGISTRY
from amends.kernel import entries as e
from amends.kernel.instance import Decision, Instance
from amends.kernel.limits import Limits

MADE: list[Instance] = []


def instance(saga: Any, parent: str = "") -> Instance:
    MADE.append(Instance("ab" * 16, "x", saga.name, saga.version, REGISTRY, Limits(), parent=parent))
    return MADE[-1]


class Life:
    """An execution without a worker: what it is told becomes rows at once."""

    def __init__(self, saga: Any, args: bytes = b"{}", parent: str = "") -> None:
        self.saga = saga
        self.parent = parent
        self.live = instance(saga, parent)
        self.rows: list[e.Row] = []
        self.now = 100.0
        self.tell(e.Started(e.Raw(args), python="3.11"))

    def tell(self, *events: e.Event, later: float = 1.0) -> list[Any]:
        return self.decide(*events, later=later).commands

    def decide(self, *events: e.Event, later: float = 1.0) -> Decision:
        self.now += later
        decision = self.live.activate(list(events), self.now)
        self.rows.append(self.live.seal(decision))
        return decision

    def keep(self, *events: e.Event) -> None:
        """A row that only keeps events (they could not be applied at once)."""
        row = e.seal(self.live.position, self.now, list(events), [e.Defer()], self.live.checksum)
        self.rows.append(row)
        self.live.absorb(row, list(events))

    def folded(self) -> Instance:
        other = instance(self.saga, self.parent)
        other.fold(self.rows)
        return other

    def replayed(self) -> Instance:
        other = instance(self.saga, self.parent)
        other.load(self.rows)
        return other
