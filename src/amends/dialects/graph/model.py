"""A graph as data: what stands in the document, field by field.

The kinds of node tell themselves apart by the field that names their work (`step`, `saga`, `signal`, …);
`KINDS` holds these fields.  The published JSON Schema is made from these classes (`schema`), and
documents are read by them (`reading`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$", min_length=1, max_length=100)]
Durable = Annotated[str, Meta(min_length=1, description="The durable name of a step or saga.")]
Seconds = Annotated[float, Meta(gt=0, description="Seconds.")]
Template: TypeAlias = Annotated[
    Any,
    Meta(
        description="Text is an expression. Numbers, true, false and null stand for themselves; lists and "
        "objects hold templates."
    ),
]
Type: TypeAlias = Annotated[
    str | list[Any] | dict[str, Any],
    Meta(
        description="A word (any, string, integer, number, boolean, null, list, object; with ? it may be "
        'null), {"field": type} (with ? the field may be missing), or [type].'
    ),
]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of everything in a document."""


class RetryPolicy(Part, frozen=True, kw_only=True):
    """When to try again: as `amends.Retry`. Fields left out are as the step says."""

    attempts: Annotated[int, Meta(ge=1)] | Literal["unlimited"] | None = None
    delay: Annotated[float, Meta(ge=0)] | None = None
    factor: Annotated[float, Meta(ge=1)] | None = None
    cap: Annotated[float, Meta(ge=0)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] | None = None
    total: Seconds | None = None


class Undo(Part, frozen=True, kw_only=True):
    """A compensation instead of the step's own: a step, called with expressions over `result`, the
    arguments of the action (each by its name) and `outcome`.
    """

    step: Durable
    args: Mapping[str, Template] = msgspec.field(name="with", default_factory=dict)
    retry: RetryPolicy | None = None
    timeout: Seconds | None = None
    critical: bool = True


class Node(Part, frozen=True, kw_only=True):
    """What every node has: it begins when those named in `after`, and those it reads, have ended; if
    `when` is false it is skipped, and its value is null.
    """

    after: tuple[Name, ...] = ()
    when: str | bool | None = None
    title: str = ""


class EachNode(Node, frozen=True, kw_only=True):
    """A node that can be done once for each item of a list (at most `at_once` at a time): in `with`,
    `item` is the item and `index` its place; the value is the list of the values.
    """

    each: Template = None
    at_once: Annotated[int, Meta(ge=1)] | None = None


class StepNode(EachNode, frozen=True, kw_only=True):
    """Runs a step. `undo`: another compensation; false: none."""

    step: Durable
    args: Mapping[str, Template] = msgspec.field(name="with", default_factory=dict)
    timeout: Seconds | None = None
    schedule_to_close: Seconds | None = None
    heartbeat: Seconds | None = None
    retry: RetryPolicy | None = None
    undo: Undo | Literal[False] | None = None


class SagaNode(EachNode, frozen=True, kw_only=True):
    """Runs a nested saga or graph; without `version` it must be the only one."""

    saga: Durable
    version: str | None = None
    args: Mapping[str, Template] = msgspec.field(name="with", default_factory=dict)
    deadline: Seconds | None = None


class SignalNode(Node, frozen=True, kw_only=True):
    """Waits for a signal; its value is the node's. After `timeout` it fails, or has the value
    `otherwise`.
    """

    signal: Annotated[str, Meta(min_length=1)]
    type: Type = "any"
    timeout: Seconds | None = None
    otherwise: Template | msgspec.UnsetType = msgspec.UNSET


class SleepNode(Node, frozen=True, kw_only=True):
    """Waits so many seconds (a number, or an expression)."""

    sleep: Annotated[float, Meta(ge=0)] | str


class ValueNode(Node, frozen=True, kw_only=True):
    """Gives a name to a value."""

    value: Template


class FailNode(Node, frozen=True, kw_only=True):
    """Ends the graph with this message (an expression), so that all is undone."""

    fail: str


class PivotNode(Node, frozen=True, kw_only=True):
    """The point of no return. Every other node must come before or after it."""

    pivot: Literal[True]


class Block(Part, frozen=True, kw_only=True):
    """Nodes of their own, which may read those around them, and their result."""

    nodes: Mapping[Name, Any] = {}
    result: Template = None


class TryNode(Node, frozen=True, kw_only=True):
    """Nodes inside a savepoint. If one fails, what they did is undone; then `otherwise` runs (where
    `error` tells what happened), or without it the failure goes on.
    """

    attempt: Block = msgspec.field(name="try")
    otherwise: Block | None = None


class Document(Part, frozen=True, kw_only=True):
    """A graph. Without `version` the version is a hash of the document."""

    graph: Durable
    version: str | None = None
    title: str = ""
    inputs: Mapping[str, Type] = {}
    nodes: Mapping[Name, Any] = {}
    result: Template = None
    deadline: Seconds | None = None


KINDS: dict[str, type[Node]] = {
    "step": StepNode,
    "saga": SagaNode,
    "signal": SignalNode,
    "sleep": SleepNode,
    "value": ValueNode,
    "fail": FailNode,
    "pivot": PivotNode,
    "try": TryNode,
}
"""The field that tells a node's kind, and its class."""


def kind_of(node: Node) -> str:
    """The field that tells this node's kind."""
    return next(key for key, cls in KINDS.items() if type(node) is cls)


def to_data(part: Document) -> dict[str, Any]:
    """The document as JSON's types, as `reading` takes it."""
    return msgspec.to_builtins(part, str_keys=True)  # type: ignore[no-any-return]
