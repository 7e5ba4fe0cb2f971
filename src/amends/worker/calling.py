"""What a call of a step's code needs: the step and the policies that hold for it, who it is told it is, and
its result as it travels.

Pure functions, for the worker and for whoever plays one (`amends.testing.explore`).
"""

from __future__ import annotations

from typing import Any, TypeVar

from .. import codec
from ..definition.context import Current
from ..definition.policy import Outcome, RecoveryPolicy
from ..definition.registry import Registry
from ..definition.step import Step, StepCall, StepOptions
from ..errors import PayloadError, PayloadTooLarge
from ..kernel import entries as e
from ..kernel.actions import Action
from ..kernel.instance import Instance
from ..store.port import Header
from .conclusions import Unreadable

C = TypeVar("C", bound=Current)


def definition_of(
    instance: Instance, action: Action, registry: Registry
) -> tuple[Step[..., Any], StepOptions]:
    """The step and this call's policies: as the saga's code said, else as registered.

    Raises `UnknownName`.
    """
    program = instance.program
    future = program.futures.get(action.id) if program is not None else None
    if future is not None and type(call := future.call) is StepCall:
        step = call.step
        if step.signature.skip and step.instance is None:  # a method, named without its object (a graph's)
            step = registry.step(action.name)
        return step, call.overrides or call.step.options
    step = registry.step(action.name)
    return step, step.options


def recovery_of(instance: Instance, step: Step[..., Any]) -> RecoveryPolicy:
    """What to do per exception class once the step has failed: its own words count before its saga's."""
    program = instance.program
    if program is None or not program.saga.options.recovery:
        return step.options.recovery
    return {**program.saga.options.recovery, **step.options.recovery}


def current_of(
    kind: type[C], header: Header, action: Action, attempt: int, direction: str, deadline_at: float | None
) -> C:
    """What `amends.current()` says in an attempt (`deadline_at`: seconds since the epoch)."""
    return kind(
        header.id,
        header.uid,
        action.run,
        header.saga,
        action.name,
        action.id,
        attempt,
        direction,
        deadline_at,
        Outcome(action.outcome) if action.outcome else None,
        action.key_suffix,
        action.origin,
    )


def encoded(step: Step[..., Any], value: Any, limit: int) -> e.Raw:
    """A result's JSON, within the limit (bytes) and readable by its annotation. Raises `PayloadError`."""
    try:
        data = codec.encode(value, step.result_name)
        step.signature.result.decode(data, step.result_name)
    except PayloadError as error:
        raise Unreadable(error.message, hint=error.hint) from error
    if len(data) > limit:
        raise PayloadTooLarge(
            f"result of {step.name}: {len(data):,} bytes, the limit is {limit:,}",
            hint="store the data elsewhere and return a reference, or raise Limits(payload=…)",
        )
    return e.Raw(data)
