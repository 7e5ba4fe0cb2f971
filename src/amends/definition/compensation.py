"""Compensations: how an action is undone, and how hard to try."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DefinitionError
from .policy import UNDO_RETRY, Kind, Retry
from .signature import Signature, caller_locals

if TYPE_CHECKING:
    from .step import Step


class Probed(enum.Enum):
    """What a status probe can say besides the result itself."""

    UNRESOLVED = "unresolved"
    SEALED = "sealed"


UNRESOLVED = Probed.UNRESOLVED
"""What a status probe returns when it cannot tell whether the action took effect."""

SEALED = Probed.SEALED
"""What a status probe returns when there was no effect *and* the key will be refused from now on."""


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class CompensationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Policies of a compensation (times in seconds)."""

    critical: bool = True
    kind: Kind = Kind.SEMANTIC
    retry: Retry = UNDO_RETRY
    timeout: float | None = None


class Compensation:
    """The undo of one step; call it to run the plain function (in tests).

    `candidates` are the function and its alternates, in the order in which they are tried.
    """

    def __init__(
        self,
        step: Step[..., Any],
        fn: Callable[..., Any],
        options: CompensationOptions,
        alternates: tuple[Callable[..., Any], ...],
    ) -> None:
        self.step = step
        self.fn = fn
        self.options = options
        self._locals = caller_locals(fn.__qualname__, 3)
        self.candidates = tuple(
            (given, Signature(given, 1, self._locals)) for given in (fn, *map(_plain, alternates))
        )
        self._check()

    def __set_name__(self, owner: type, name: str) -> None:
        self.candidates = tuple((given, Signature(given, 2, self._locals)) for given, _ in self.candidates)
        self._check(in_class=True)

    def _check(self, *, in_class: bool = False) -> None:
        """The parameters must be the result, then the action's own (resources may be added)."""
        for given, signature in self.candidates:
            if not in_class and _is_unbound_method(given, self.step.fn):
                continue  # both still count ``self``; checked when the class is complete
            if not self._fits(given, signature):
                raise DefinitionError(
                    f"{given.__qualname__} cannot undo {self.step.name}: "
                    f"its parameters are ({', '.join(inspect.signature(given).parameters)}), "
                    f"expected ({self._expected(in_class=in_class)})",
                    hint="the action's result comes first, then the action's own arguments",
                )

    def _fits(self, given: Callable[..., Any], signature: Signature) -> bool:
        """One parameter for the result (not named like an argument), then as many as the action has."""
        positional, named, _ = self.step.signature.plan
        have_positional, have_named, _ = signature.plan
        first = list(inspect.signature(given).parameters.values())[signature.skip - 1 : signature.skip]
        return (
            len(have_positional) == len(positional)
            and set(have_named) == set(named)
            and all(p.name not in positional and p.kind in _BY_POSITION for p in first)
            and bool(first)
        )

    def _expected(self, *, in_class: bool) -> str:
        positional, named, _ = self.step.signature.plan
        result = ("self", "result") if in_class else ("result",)
        keywords = ("*", *named) if named else ()
        return ", ".join((*result, *positional, *keywords))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plain function."""
        return self.fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.fn.__get__(instance, owner)

    def __repr__(self) -> str:
        return f"<compensation of {self.step.name}>"


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn.fn if isinstance(fn, Compensation) else fn


def _is_unbound_method(given: Callable[..., Any], action: Callable[..., Any]) -> bool:
    """Do both have ``self``, as in the body of a class?"""
    names = list(inspect.signature(action).parameters)
    mine = list(inspect.signature(given).parameters)
    return bool(names) and bool(mine) and names[0] == mine[0] == "self"


def attach(
    step: Step[..., Any],
    fn: Callable[..., Any],
    options: CompensationOptions,
    alternates: tuple[Callable[..., Any], ...],
) -> Compensation:
    """Make `fn` the compensation of `step`. Raises `DefinitionError` if it has one, or is irreversible."""
    if step.undo is not None:
        raise DefinitionError(f"{step.name} has a compensation already ({step.undo.fn.__qualname__})")
    if step.options.irreversible:
        raise DefinitionError(
            f"{step.name} is declared irreversible and given a compensation",
            hint="drop irreversible=True, or the compensation",
        )
    step.undo = Compensation(step, fn, options, alternates)
    return step.undo
