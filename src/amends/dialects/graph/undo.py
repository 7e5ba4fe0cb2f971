"""Compensations that a node declares instead of its step's own.

The backward plan finds compensations by the name of the step that acted (promise 8).  So a node with its
own `undo` acts under a name of its own: a copy of the step, named after graph, version and node, whose
compensation evaluates the node's expressions over what a compensation knows: the result, the action's
arguments, the outcome.  It is registered with the graph, like any step, and found by it weeks later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ... import codec
from ...definition.compensation import CompensationOptions, attach
from ...definition.context import current
from ...definition.policy import UNDO_RETRY
from ...definition.registry import Registry
from ...definition.step import Step
from ...errors import DefinitionError
from .model import RetryPolicy, StepNode, Undo
from .plan import Task
from .problems import Problems
from .templates import Template


def own_step(
    task: Task, node: StepNode, prefix: str, registry: Registry, problems: Problems
) -> Step[..., Any]:
    """The step that the node runs: the registered one, or a copy with another compensation."""
    step = task.step
    assert step is not None
    if node.undo is None or (node.undo is False and step.undo is None):
        return step
    copy: Step[..., Any] = object.__new__(type(step))
    copy.__dict__ = {
        **step.__dict__,
        "name": f"{prefix}/{task.name}",
        "result_name": f"result of {task.name}",
        "undo": None,
        "verifier": None,
    }
    if node.undo:
        if step.options.irreversible:
            copy.options = msgspec.structs.replace(step.options, irreversible=False)
        try:
            attach(
                copy, _function(step, registry.step(node.undo.step), task.undo_args), _options(node.undo), ()
            )
        except DefinitionError as error:
            problems.add((*task.path, "undo"), error.message, error.hint)
    return copy


def _options(undo: Undo) -> CompensationOptions:
    return CompensationOptions(
        critical=undo.critical,
        timeout=undo.timeout,
        retry=UNDO_RETRY if undo.retry is None else retry_of(undo.retry, UNDO_RETRY),
    )


def retry_of(policy: RetryPolicy, base: Any) -> Any:
    """A `Retry` with the fields that the node changes."""
    changed = {
        name: value for name in policy.__struct_fields__ if (value := getattr(policy, name)) is not None
    }
    if changed.get("attempts") == "unlimited":
        changed["attempts"] = None
    return msgspec.structs.replace(base, **changed)


def _function(
    step: Step[..., Any], undo: Step[..., Any], templates: Mapping[str, Template]
) -> Callable[..., Any]:
    """A compensation of `step`, by its parameters, that calls `undo` with the templates' values."""
    action = list(msgspec.structs.fields(step.signature.args))
    resources = undo.signature.plan[2]

    def call(result: Any, values: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        given = {field.name: value for field, value in zip(action, values, strict=False)}
        given.update((key, value) for key, value in named.items() if key not in resources)
        environment = {"result": result, "outcome": str(current().outcome or ""), **given}
        plain = msgspec.json.decode(codec.encode(environment, "what a compensation knows"))
        filled = {name: template.fill(plain) for name, template in templates.items()}
        args = undo.signature.decode_args(codec.encode(filled, f"arguments of {undo.name}"))
        return undo.invoke(args, {key: value for key, value in named.items() if key in resources})

    async def undo_async(result: Any, *values: Any, **named: Any) -> None:
        await call(result, values, named)

    def undo_plain(result: Any, *values: Any, **named: Any) -> None:
        call(result, values, named)

    fn: Any = undo_async if undo.is_async else undo_plain
    fn.__name__ = fn.__qualname__ = undo.fn.__name__
    _describe(fn, step, undo)
    return fn  # type: ignore[no-any-return]


def _describe(fn: Any, step: Step[..., Any], undo: Step[..., Any]) -> None:
    """Give the function the parameters of a compensation of `step`, and the resources of `undo`."""
    positional, named, _ = step.signature.plan
    hints = {**step.signature.hints}
    parameter = inspect.Parameter
    first = "result" if "result" not in {*positional, *named} else "action_result"
    parameters = [parameter(first, parameter.POSITIONAL_ONLY)]
    parameters += [parameter(name, parameter.POSITIONAL_OR_KEYWORD) for name in positional]
    parameters += [parameter(name, parameter.KEYWORD_ONLY) for name in named]
    for name in undo.signature.plan[2]:
        parameters.append(parameter(name, parameter.KEYWORD_ONLY))
        hints[name] = undo.signature.hints[name]
    hints[first] = hints.get("return", Any)
    fn.__signature__ = inspect.Signature(parameters)
    fn.__annotations__ = {p.name: hints.get(p.name, Any) for p in parameters}
