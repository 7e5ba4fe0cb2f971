"""Writing a graph in Python: each method adds a node to a document of JSON's types, the same that a file
would hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

import msgspec

from ...definition.policy import Duration, Retry, seconds
from ...definition.saga import Saga
from ...definition.signal import Signal
from ...definition.step import Step
from ...errors import DefinitionError
from .expression import shape_of
from .expression.shapes import written

After = str | Sequence[str]
Condition = str | bool | None
Value = Any
"""A template: text is an expression, numbers, true, false and null stand for themselves."""


class Block:
    """Nodes and a result. Every method returns the block, so that calls can be chained; nothing is
    checked before the graph is.

    In all of them: `name` is the name by which expressions read the node's value; `after` names nodes
    that must have ended before (those that its expressions read count by themselves); `when` is an
    expression: if it is false, the node is skipped and its value is null.
    """

    def __init__(self) -> None:
        self._data: dict[str, Any] = {"nodes": {}}
        self._twice: list[str] = []

    def step(
        self,
        name: str,
        step: Step[..., Any] | str,
        args: Mapping[str, Value] | None = None,
        *,
        after: After = (),
        when: Condition = None,
        each: Value = None,
        at_once: int | None = None,
        timeout: Duration | None = None,
        schedule_to_close: Duration | None = None,
        heartbeat: Duration | None = None,
        retry: Retry | None = None,
        undo: Mapping[str, Any] | Step[..., Any] | str | bool | None = None,
    ) -> Self:
        """Run a step (or the one of that durable name) with arguments by name.

        `each`: once for each item of this list (`item` and `index` in `args`), at most `at_once` at a
        time.  Times in seconds, and `retry`, are for this node only.  `undo`: another compensation, as a
        step or a mapping (`step`, `with`, `retry`, `timeout`, `critical`); False: none.
        """
        own = {"step": step.name} if isinstance(step, Step) else {"step": step}
        policies = {
            "timeout": seconds(timeout, "timeout"),
            "schedule_to_close": seconds(schedule_to_close, "schedule_to_close"),
            "heartbeat": seconds(heartbeat, "heartbeat"),
            "retry": None if retry is None else _retry(retry),
            "undo": _undo(undo),
        }
        return self._add(name, after, when, own, {"with": args, "each": each, "at_once": at_once, **policies})

    def nest(
        self,
        name: str,
        saga: Any,
        args: Mapping[str, Value] | None = None,
        *,
        version: str | None = None,
        after: After = (),
        when: Condition = None,
        each: Value = None,
        at_once: int | None = None,
        deadline: Duration | None = None,
    ) -> Self:
        """Run a saga or another graph (or the one of that durable name) as a nested saga."""
        inner = getattr(saga, "saga", saga)
        if isinstance(inner, Saga):
            saga, version = inner.name, inner.version if version is None else version
        more = {"version": version, "with": args, "each": each, "at_once": at_once}
        return self._add(
            name, after, when, {"saga": saga}, {**more, "deadline": seconds(deadline, "deadline")}
        )

    def receive(
        self,
        name: str,
        signal: Signal[Any] | str,
        *,
        after: After = (),
        when: Condition = None,
        timeout: Duration | None = None,
        otherwise: Value = msgspec.UNSET,
    ) -> Self:
        """Wait for a signal. After `timeout` (seconds) the value is `otherwise`, or without it the node
        fails.
        """
        own: dict[str, Any] = {"signal": signal}
        if isinstance(signal, Signal):
            own = {"signal": signal.name}
            if signal.type is not Any:
                own["type"] = written(shape_of(signal.type))
        if otherwise is not msgspec.UNSET:
            own["otherwise"] = otherwise
        return self._add(name, after, when, own, {"timeout": seconds(timeout, "timeout")})

    def sleep(
        self, name: str, duration: Duration | str, *, after: After = (), when: Condition = None
    ) -> Self:
        """Wait so many seconds (a number, a timedelta, or an expression)."""
        given = duration.total_seconds() if isinstance(duration, timedelta) else duration
        return self._add(name, after, when, {"sleep": given}, {})

    def value(self, name: str, value: Value, *, after: After = (), when: Condition = None) -> Self:
        """Give a name to a value."""
        return self._add(name, after, when, {"value": value}, {})

    def fail(self, name: str, message: str, *, after: After = (), when: Condition = None) -> Self:
        """End the graph with this message (an expression: text in quotes), so that everything is undone."""
        return self._add(name, after, when, {"fail": message}, {})

    def attempt(
        self,
        name: str,
        block: Block,
        *,
        otherwise: Block | None = None,
        after: After = (),
        when: Condition = None,
    ) -> Self:
        """Run the nodes of `block` inside a savepoint. If one fails, what they did is undone; then
        `otherwise` runs (its expressions may read `error`), or without it the failure goes on.
        """
        for inner in (block, otherwise):
            self._twice += inner._twice if inner is not None else []
        more = {"otherwise": None if otherwise is None else otherwise._data}
        return self._add(name, after, when, {"try": block._data}, more)

    def returns(self, value: Value) -> Self:
        """The result, once every node has ended."""
        self._changing()
        self._data["result"] = value
        return self

    def _add(
        self, name: str, after: After, when: Condition, own: dict[str, Any], more: Mapping[str, Any]
    ) -> Self:
        self._changing()
        node = {**own, **{key: value for key, value in more.items() if value is not None and value != {}}}
        if after:
            node["after"] = [after] if isinstance(after, str) else list(after)
        if when is not None:
            node["when"] = when
        if name in self._data["nodes"]:
            self._twice.append(name)
        self._data["nodes"][name] = node
        return self

    def _changing(self) -> None:
        """(A graph refuses once it is built.)"""


def _retry(retry: Retry) -> dict[str, Any]:
    plain = Retry()
    if retry.on != plain.on or retry.never != plain.never:
        raise DefinitionError(
            "a graph cannot say which exceptions are tried again (Retry on=, never=)",
            hint="say it at the step: @step(retry=Retry(never=(…,)))",
        )
    fields = ("attempts", "delay", "factor", "cap", "jitter", "total")
    found = {name: value for name in fields if (value := getattr(retry, name)) is not None}
    return {"attempts": "unlimited", **found}


def _undo(undo: Any) -> Any:
    if isinstance(undo, Step):
        return {"step": undo.name}
    if isinstance(undo, str):
        return {"step": undo}
    if isinstance(undo, Mapping):
        step = undo.get("step")
        retry = undo.get("retry")
        named = {**undo, "step": step.name if isinstance(step, Step) else step}
        return {**named, "retry": _retry(retry)} if isinstance(retry, Retry) else named
    if undo is True:
        raise DefinitionError(
            "undo=True says nothing", hint="leave it out: the step's own compensation is used"
        )
    return undo
