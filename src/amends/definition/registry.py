"""What is defined: sagas by name and version, steps by name.

Decorators fill one registry per process.  An engine looks through its own `Registry` first (the
sagas it was given, the methods of objects it was given), then through the process's.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..errors import MissingDefinition, did_you_mean

if TYPE_CHECKING:
    from .saga import Saga
    from .step import Step


class Registry:
    """Definitions by durable name. A later definition of a name replaces the earlier one."""

    def __init__(self, parent: Registry | None = None) -> None:
        self.parent = parent
        self.steps: dict[str, Step[..., Any]] = {}
        self.sagas: dict[tuple[str, str], Saga[..., Any]] = {}
        self._queues: set[str] = set()

    def add_step(self, step: Step[..., Any]) -> None:
        """Make a step known."""
        before = self.steps.get(step.name)
        if before is not None and before is not step:
            _warn_if_taken("step", step.name, before, step)
        self.steps[step.name] = step
        if step.options.queue:
            self._queues.add(step.options.queue)

    def add_saga(self, saga: Saga[..., Any]) -> None:
        """Make a saga known under its name and version."""
        key = saga.name, saga.version
        before = self.sagas.get(key)
        if before is not None and before is not saga:
            _warn_if_taken("saga", saga.name, before, saga)
        self.sagas[key] = saga

    def add_instance(self, instance: Any) -> None:
        """Make the steps and sagas that are methods of `instance` known, bound to it."""
        from .saga import Saga  # noqa: PLC0415 - the modules know each other
        from .step import Step  # noqa: PLC0415

        for owner in reversed(type(instance).__mro__):
            for value in vars(owner).values():
                if isinstance(value, Step):
                    self.add_step(value.__get__(instance, owner))
                elif isinstance(value, Saga):
                    self.add_saga(value.__get__(instance, owner))

    def step(self, name: str) -> Step[..., Any]:
        """The step of that durable name. Raises `MissingDefinition` with near names."""
        found = self.steps.get(name)
        if found is not None:
            return found
        if self.parent is not None and (inherited := self.parent.steps.get(name)) is not None:
            return inherited
        raise MissingDefinition(
            f"no step named {name!r} is defined in this process",
            hint=did_you_mean(name, self._names(step=True)) or "import the module that defines it",
        )

    def saga(self, name: str, version: str) -> Saga[..., Any]:
        """The saga of that durable name and version. Raises `MissingDefinition` with what is known."""
        found = self.sagas.get((name, version))
        if found is not None:
            return found
        if self.parent is not None and (known := self.parent.sagas.get((name, version))) is not None:
            return known
        versions = sorted(v for n, v in self._keys() if n == name)
        if versions:
            raise MissingDefinition(
                f"saga {name!r} has no version {version!r} here, only {', '.join(map(repr, versions))}",
                hint="keep the old version registered until its executions have ended",
            )
        raise MissingDefinition(
            f"no saga named {name!r} is defined in this process",
            hint=did_you_mean(name, self._names(step=False)) or "give it to Engine(sagas=[…])",
        )

    def definitions(self) -> list[tuple[str, str]]:
        """Name and version of every saga that is known here."""
        return sorted(set(self._keys()))

    @property
    def queues(self) -> set[str]:
        """The queues of all steps that are known here."""
        return self._queues | (self.parent.queues if self.parent is not None else set())

    @property
    def count(self) -> int:
        """Changes when a saga becomes known."""
        return len(self.sagas) + (self.parent.count if self.parent is not None else 0)

    def _keys(self) -> Iterable[tuple[str, str]]:
        yield from self.sagas
        if self.parent is not None:
            yield from self.parent.sagas

    def _names(self, *, step: bool) -> list[str]:
        names = list(self.steps) if step else [name for name, _ in self.sagas]
        return names + (self.parent._names(step=step) if self.parent else [])


def _warn_if_taken(
    what: str, name: str, before: Step[..., Any] | Saga[..., Any], now: Step[..., Any] | Saga[..., Any]
) -> None:
    """Another function of that name is a slip, and its compensation would run for the first one's effects.

    One that is called the same is not: a module that is loaded again, a cell of a notebook, an override.
    """
    if _called(before.fn) == _called(now.fn):
        return
    warnings.warn(
        f"the {what} name {name!r} is that of {_place(before.fn)} and of {_place(now.fn)}: the later one "
        "takes the place of the earlier one, also when that is undone or goes on after a crash"
        "\n  → give each a name of its own",
        RuntimeWarning,
        stacklevel=5,  # of the decorator
    )


def _called(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", "")


def _place(fn: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return _called(fn) if code is None else f"{_called(fn)} ({code.co_filename}:{code.co_firstlineno})"


REGISTRY = Registry()
