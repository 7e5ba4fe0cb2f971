"""What is explored: a saga, its arguments, its participants, and which faults there may be."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from ... import codec
from ...definition.registry import REGISTRY, Registry
from ...definition.saga import SagaCall
from ...definition.step import Step
from ...errors import AmendsError
from ...kernel.entries import Raw
from ...kernel.limits import Limits
from . import participants as world
from .calling import Caller
from .faults import KINDS
from .stubs import Stubs

LIMITS = Limits(rows=1_000, callbacks=100_000)


class CannotExplore(AmendsError):
    """What was asked of the explorer makes no sense; the message says why."""

    code = "cannot_explore"


class Steady(random.Random):
    """Chance without chance: a retry's jitter takes nothing off, so that each wait is the longest."""

    def random(self) -> float:
        """Zero."""
        return 0.0


class Subject:
    """See the module's head. `factory` None: steps are stubbed by the types they return."""

    def __init__(
        self,
        call: SagaCall[Any],
        factory: world.Factory | None,
        *,
        values: Mapping[str, Any] | None = None,
        signals: Mapping[str, Sequence[Any]] | None = None,
        without: frozenset[str] = frozenset(),
        registry: Registry | None = None,
    ) -> None:
        self.saga = call.saga
        self.args = Raw(codec.encode(call.args, f"arguments of {call.saga.name}"))
        self.input = bytes(self.args).decode()
        self.deadline = call.deadline
        self.factory = factory
        self.stubs = Stubs(values or {})
        self.signals = signals or {}
        self.kinds = frozenset(KINDS) - without
        self.registry = registry or Registry(REGISTRY)
        self.registry.add_saga(self.saga)
        self.limits = LIMITS
        self.caller = Caller()
        self.chance = Steady()
        self.tables: dict[Any, tuple[str, ...]] = {}
        self.calls: dict[int, int] = {}  # of participants, by the attempt's choice point
        self.orders: dict[str, str] = {}  # see `diagnosis`: whose undoing must come before whose
        self._may_reject: dict[str, bool] = {}
        self._short: dict[tuple[str, str], str] = {}

    def make(self) -> list[Any]:
        """Fresh participants."""
        if self.factory is None:
            return []
        made = world.members(self.factory())
        for each in made:
            world.watch(each)
        return made

    def short(self, name: str, direction: str) -> str:
        """How choice points name a step."""
        known = self._short.get((name, direction))
        if known is None:
            known = ("undo-" if direction == "undo" else "") + name.rpartition(".")[2]
            self._short[name, direction] = known
        return known

    def step(self, name: str) -> Step[..., Any]:
        """The step of that name. Raises `MissingDefinition`, and `CannotExplore` for an unbound method."""
        step = self.registry.step(name)
        if step.signature.skip and step.instance is None:
            raise CannotExplore(
                f"{name} is a method, and its compensation needs the object",
                hint="give it: explore(…, steps=[shop])",
            )
        return step

    def may_reject(self, step: Step[..., Any]) -> bool:
        """Does the step's code say that it can be rejected?"""
        known = self._may_reject.get(step.name)
        if known is None:
            code = getattr(step.fn, "__code__", None)
            known = bool(step.options.rejects) or (code is not None and _names_rejected(code))
            self._may_reject[step.name] = known
        return known


def _names_rejected(code: Any) -> bool:
    nested = (const for const in code.co_consts if hasattr(const, "co_names"))
    return "Rejected" in code.co_names or any(map(_names_rejected, nested))
