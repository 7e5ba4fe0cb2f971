"""Executions without a worker: an instance of the kernel, and the rows that it has written."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from amends.definition.registry import REGISTRY
from amends.kernel import entries as e
from amends.kernel.instance import Decision, Instance
from amends.kernel.limits import Limits

MADE: list[Instance] = []


def instance(saga: Any, parent: str = "", **given: Any) -> Instance:
    """`given`: other than the defaults of an `Instance` (and of a uid, and of limits)."""
    wanted = {"uid": "ab" * 16, "limits": Limits(), "parent": parent, **given}
    MADE.append(Instance(id="x", saga_name=saga.name, version=saga.version, registry=REGISTRY, **wanted))
    return MADE[-1]


class Life:
    """An execution without a worker: what it is told becomes rows at once."""

    def __init__(self, saga: Any, args: bytes = b"{}", parent: str = "", **given: Any) -> None:
        self.saga = saga
        self.parent = parent
        self.live = instance(saga, parent, **given)
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

    def fire(self) -> list[Any]:
        """The timer that is due next comes due."""
        id, due = min(self.live.ledger.timers.items(), key=lambda item: item[1])
        return self.tell(e.Fired(id), later=due - self.now)

    def wrote(self, *kinds: type) -> list[Any]:
        """Commands of its last row (of some kinds only)."""
        return [c for c in e.decode_commands(self.rows[-1].commands) if not kinds or isinstance(c, kinds)]

    @property
    def value(self) -> Any:
        """What the body has returned."""
        return json.loads(bytes(self.live.ledger.value))

    @property
    def failure(self) -> tuple[str, str]:
        """What the body has failed with: the type's name, and the text (with the hint)."""
        fault = self.live.ledger.fault
        assert fault is not None
        return fault.type, fault.message

    def folded(self) -> Instance:
        other = instance(self.saga, self.parent)
        other.fold(self.rows)
        return other

    def replayed(self) -> Instance:
        other = instance(self.saga, self.parent)
        other.load(self.rows)
        return other


def shielded() -> None:
    """The current task is one that `asyncio.shield` made.

    (That is seen by its frame, which it would not be between the frames that mutation tests put there.)
    """
    task: Any = asyncio.current_task()
    task.shielded = True
