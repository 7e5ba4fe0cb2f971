"""The body of a graph's saga: ordinary saga code that reads a plan instead of being written.

**Theory of operation.**  Each node is a task of one TaskGroup.  It waits for the nodes that it needs,
evaluates its condition and arguments over the values so far, does its work and keeps its value.  So all
runs at once that may, and a node begins in the same activation in which the last of those it needs has
ended.  Its command therefore stands in a row not before their outcomes, which is what promise 6 asks:
dependent actions are undone in reverse, those that ran side by side are undone side by side.  A failure
ends the group, which settles what still runs; the saga then ends with that failure, and the kernel does
the rest.  Nothing here knows of journals: replay, crashes, retries and compensation are the kernel's.

Values are what JSON can say, also between two steps of Python types: an action's result is encoded, and its
arguments are decoded by the annotations of the step that takes them.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec

from ... import codec
from ...definition import flow
from ...definition.saga import SagaCall
from ...definition.signal import Signal
from ...definition.step import StepCall
from ...errors import AmendsError, Compensated, ExpressionError, GraphFailed, Rejected, StepFailed
from .expression.shapes import hint_of, shape_from
from .model import FailNode, PivotNode, SagaNode, SignalNode, SleepNode, StepNode, TryNode
from .plan import Plan, Task
from .templates import Template
from .undo import retry_of

Values = ChainMap[str, Any]
_FAILURES = (StepFailed, Compensated, GraphFailed, Rejected)


async def run(plan: Plan, inputs: dict[str, Any]) -> Any:
    """The value of a graph for these inputs. Awaited inside a saga."""
    return await _block(plan, ChainMap(plain(inputs)))


def plain(value: Any) -> Any:
    """The value in JSON's types. Raises `PayloadError`."""
    return msgspec.json.decode(codec.encode(value))


async def _block(plan: Plan, values: Values) -> Any:
    ended = {name: asyncio.Event() for name in plan.tasks}
    await _together((_node(task, values, ended), task.name) for task in plan.tasks.values())
    return plan.result.fill(values)


async def _together(work: Iterable[tuple[Coroutine[Any, Any, Any], str]]) -> list[Any]:
    """Run all at once; the first failure ends the others, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine, name=name) for coroutine, name in work]
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None
        raise
    return [task.result() for task in tasks]


async def _node(task: Task, values: Values, ended: dict[str, asyncio.Event]) -> None:
    for name in task.needs:
        await ended[name].wait()
    wanted = task.templates["when"].fill(values) if "when" in task.templates else True
    if not isinstance(wanted, bool):
        raise _misfit(task.templates["when"], f"the condition must be true or false, it is {wanted!r}")
    values[task.name] = await _value(task, values) if wanted else None
    ended[task.name].set()


async def _value(task: Task, values: Values) -> Any:
    match task.node:
        case StepNode() | SagaNode():
            return await (_each if "each" in task.templates else _work)(task, values)
        case SignalNode() as node:
            return await _signal(task, node, values)
        case SleepNode():
            await asyncio.sleep(_seconds(task.templates["sleep"], values))
        case FailNode():
            raise GraphFailed(str(task.templates["fail"].fill(values)))
        case PivotNode():
            await flow.pivot()
        case TryNode():
            return await _attempt(task, values)
        case _:
            return task.templates["value"].fill(values)
    return None


# ---------------------------------------------------------------- steps and nested sagas


async def _work(task: Task, values: Values) -> Any:
    given = {name: template.fill(values) for name, template in task.args.items()}
    if task.step is not None:
        args = task.step.signature.decode_args(codec.encode(given, f"arguments of {task.step.name}"))
        return plain(await _policies(StepCall(task.step, args), task.node))
    assert task.saga is not None
    args = task.saga.signature.decode_args(codec.encode(given, f"arguments of {task.saga.name}"))
    call: SagaCall[Any] = SagaCall(task.saga, args, getattr(task.node, "deadline", None))
    return plain(await call)


def _policies(call: StepCall[Any], node: Any) -> StepCall[Any]:
    changed = {
        name: value
        for name in ("timeout", "schedule_to_close", "heartbeat")
        if (value := getattr(node, name)) is not None
    }
    if node.retry is not None:
        changed["retry"] = retry_of(node.retry, call.policy.retry)
    return call.options(**changed) if changed else call


async def _each(task: Task, values: Values) -> list[Any]:
    items = task.templates["each"].fill(values)
    if not isinstance(items, list):
        raise _misfit(task.templates["each"], f"`each` needs a list, it is {items!r:.60}")
    slots = asyncio.Semaphore(getattr(task.node, "at_once", None) or max(1, len(items)))

    async def one(index: int, item: Any) -> Any:
        async with slots:
            return await _work(task, values.new_child({"item": item, "index": index}))

    return await _together((one(index, item), f"{task.name}[{index}]") for index, item in enumerate(items))


# ---------------------------------------------------------------- the others


async def _signal(task: Task, node: SignalNode, values: Values) -> Any:
    signal: Signal[Any] = Signal(node.signal, type=hint_of(shape_from(node.type)))
    try:
        return plain(await signal.receive(node.timeout))
    except TimeoutError:
        if "otherwise" not in task.templates:
            raise
        return task.templates["otherwise"].fill(values)


def _seconds(template: Template, values: Values) -> float:
    seconds = template.fill(values)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise _misfit(template, f"`sleep` needs seconds, not negative; it is {seconds!r:.60}")
    return seconds


async def _attempt(task: Task, values: Values) -> Any:
    try:
        async with flow.savepoint():
            return await _block(task.blocks["try"], values.new_child())
    except Exception as error:
        if "otherwise" not in task.blocks or not _is_failure(error):
            raise
        said = _error(error)
    return await _block(task.blocks["otherwise"], values.new_child({"error": said}))


def _is_failure(error: Exception) -> bool:
    """Did something in the world fail (not: is the graph wrong)?"""
    if isinstance(error, ExceptionGroup):
        return all(isinstance(each, Exception) and _is_failure(each) for each in error.exceptions)
    return isinstance(error, _FAILURES) or not isinstance(error, AmendsError)


def _error(error: BaseException) -> dict[str, str]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StepFailed):
        return {"type": error.type, "message": error.reason, "step": error.step, "outcome": error.outcome}
    message = error.message if isinstance(error, AmendsError) else str(error)
    return {"type": type(error).__name__, "message": message, "step": "", "outcome": ""}


def _misfit(template: Template, message: str) -> ExpressionError:
    found = template.expressions
    return ExpressionError(found[0].text if found else "", 0, message)
