"""Time: retries against their own limits, and the saga's longest path against its deadline."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from ...definition.policy import Retry
from ..context import Context, say
from ..definitions import SagaDef, StepDef
from ..durations import longest
from ..finding import Finding
from ..values import seconds


def retries(context: Context) -> Iterator[Finding]:
    """AM406: of a step alone, and of each step against the saga's deadline."""
    for step in context.definitions_here:
        if isinstance(step, StepDef) and (message := _against_own_limit(step)) is not None:
            yield say("AM406", step.function.module, step.function.node, message)
    seen: set[ast.AST] = set()
    for saga in context.sagas:
        deadline = seconds(saga.option("deadline"))
        if deadline is None:
            continue
        for event in context.events(saga):
            if event.step is None or event.node in seen or not event.before_pivot:
                continue
            needed = worst(event.step)
            if needed is not None and needed > deadline:
                seen.add(event.node)
                message = (
                    f"{event.step.label} may take {_said(needed)} with its retries,"
                    f" the deadline of {saga.label} is {_said(deadline)}"
                )
                yield say("AM406", event.function.module, event.node, message, chain=event.chain)


def _against_own_limit(step: StepDef) -> str | None:
    retry, limit, timeout = step.retry, step.duration("schedule_to_close"), step.duration("timeout")
    if timeout is not None and limit is not None and timeout > limit:
        each, all_of_them = _said(timeout), _said(limit)
        return f"one attempt of {step.label} may take {each}, and schedule_to_close is {all_of_them}"
    if retry is None or retry.attempts is None or "retry" not in step.options:
        return None
    limits = [each for each in (limit, retry.total) if each is not None]
    least = _waits(retry, retry.attempts) * (1 - retry.jitter)
    if limits and least > min(limits):
        return (
            f"the waits between the {retry.attempts} attempts of {step.label} take at least {_said(least)},"
            f" and {_said(min(limits))} are allowed"
        )
    return None


def worst(step: StepDef) -> float | None:
    """The longest that a step may take by its own policies (seconds); None: they do not say."""
    retry, timeout, limit = step.retry, step.duration("timeout"), step.duration("schedule_to_close")
    if retry is None:
        return None
    each = timeout or 0.0
    caps = [cap + each for cap in (limit, retry.total) if cap is not None]
    if retry.attempts is None:
        return min(caps, default=None)
    return min([retry.attempts * each + _waits(retry, retry.attempts), *caps])


def _waits(retry: Retry, attempts: int) -> float:
    """The waits between so many attempts, without jitter."""
    total, wait = 0.0, retry.delay
    for number in range(attempts - 1):
        if wait >= retry.cap:
            return total + (attempts - 1 - number) * retry.cap
        total += wait
        wait *= retry.factor
    return total


def longest_path(context: Context) -> Iterator[Finding]:
    """AM406 where the waits alone are too long, AM407 where it takes every step at its slowest."""
    for saga in context.sagas:
        deadline = seconds(saga.option("deadline"))
        if deadline is None:
            continue
        least = longest(saga, context, lambda step: 0.0)
        if least > deadline:
            message = f"{saga.label} waits for {_said(least)}, its deadline is {_said(deadline)}"
            yield say("AM406", saga.function.module, _at(saga), message)
            continue
        if any(e.step and e.before_pivot and (worst(e.step) or 0) > deadline for e in context.events(saga)):
            continue  # AM406 says it of the step
        most = longest(saga, context, lambda step: worst(step) or 0.0)
        if most > deadline:
            message = (
                f"the longest path of {saga.label} may take {_said(most)}, its deadline is {_said(deadline)}"
            )
            yield say("AM407", saga.function.module, _at(saga), message)


def _at(saga: SagaDef) -> ast.AST:
    return saga.function.node


def _said(value: float) -> str:
    """Seconds as people say them."""
    if math.isinf(value):
        return "for ever"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"
