"""What a rule is given, and how it speaks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from .catalogue import RULES
from .definitions import Definition, Definitions, SagaDef
from .finding import Finding, Place
from .flow import Event
from .loading import Loaded
from .project import Project
from .reach import Reached, reached
from .resolver import Resolver
from .source import Function, Module
from .summaries import Summaries


@dataclass
class Context:
    """Everything that is known about the targets. `loaded`: the imported ones, by module name."""

    project: Project
    resolver: Resolver
    definitions: Definitions
    targets: list[Module]
    loaded: dict[str, Loaded] = field(default_factory=dict)

    @cached_property
    def sagas(self) -> list[SagaDef]:
        """The sagas defined in the targets."""
        return [saga for saga in self.definitions.sagas.values() if saga.function.module in self.targets]

    @cached_property
    def definitions_here(self) -> list[Definition]:
        """The steps and sagas defined in the targets, in the order of the source."""
        every: list[Definition] = [*self.definitions.steps.values(), *self.definitions.sagas.values()]
        here = [each for each in every if each.function.module in self.targets]
        return sorted(here, key=lambda each: (str(each.function.module.path), each.function.node.lineno))

    @cached_property
    def summaries(self) -> Summaries:
        """The paths of sagas."""
        return Summaries(self.definitions)

    @cached_property
    def reached(self) -> dict[SagaDef, list[Reached]]:
        """The functions that run as part of each saga."""
        return {saga: reached(saga, self.definitions) for saga in self.sagas}

    def events(self, saga: SagaDef) -> list[Event]:
        """What can happen on the saga's paths."""
        paths = self.summaries.of(saga)
        return [] if paths is None else list(paths.events.values())


def say(
    code: str,
    module: Module,
    node: ast.AST,
    message: str,
    *,
    hint: str = "",
    chain: tuple[tuple[Function, ast.AST], ...] = (),
) -> Finding:
    """A finding of a rule at a node; `chain`: the calls through which saga code gets there."""
    rule = RULES[code]
    return Finding(
        code=code,
        name=rule.name,
        severity=rule.severity,
        message=message,
        why=rule.why,
        hint=hint or rule.hint,
        path=module.path.as_posix(),
        span=module.span(node),
        chain=tuple(_places(chain)),
    )


def _places(chain: tuple[tuple[Function, ast.AST], ...]) -> Iterator[Place]:
    for function, node in chain:
        line = getattr(node, "lineno", function.node.lineno)
        yield Place(function.module.path.as_posix(), line, function.qualname.replace(".<locals>", ""))
