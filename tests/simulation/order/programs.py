"""Saga programs as data: a small tree language, printed as the calls that build it.

A `Node` is built by the functions below (`seq(act("undoable"), act("plain", "reject"))`), so a shrunk example can be
pasted into a test as it was printed.  `number` gives each node its label and its parent before a run; a
node runs at most once in its execution, so a label names an action without asking the kernel.

How attempts end (`act(kind, *ends)`, one word per attempt, ``ok`` once the words are used up):

    ok       the effect took place, the value came back
    reject   certainly no effect                  (Rejected)
    refused  certainly not sent                   (ConnectionRefusedError)
    fail+    an error, and the effect took place  (unknown)
    fail-    an error, and it did not             (unknown)

`undo=n`: the first n attempts of its compensation fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KINDS = ("undoable", "plain", "soft", "irreversible", "retried", "barrier", "asking", "preferring")
ENDS = ("ok", "fail+", "reject", "fail-", "refused")
COMPENSABLE = frozenset({"undoable", "soft", "retried", "barrier", "asking", "preferring"})


class Node:
    """One place in a program. `op` says what it does, `kids` with what, `options` how."""

    __slots__ = ("kids", "label", "op", "options", "parent")

    def __init__(self, op: str, kids: tuple[Node, ...], options: dict[str, Any]) -> None:
        self.op = op
        self.kids = kids
        self.options = options
        self.label = ""
        self.parent: Node | None = None

    def __repr__(self) -> str:
        shown = [repr(kid) for kid in self.kids]
        for name, value in self.options.items():
            if name == "kind":
                shown.append(repr(value))
            elif name == "ends":
                shown += [repr(end) for end in value]
            elif value:
                shown.append(f"{name}={value!r}")
        return f"{self.op}({', '.join(shown)})"

    def walk(self) -> Iterator[Node]:
        """This node and all below it, first things first."""
        yield self
        for kid in self.kids:
            yield from kid.walk()

    def above(self) -> Iterator[Node]:
        """The nodes around this one, from the inside out, up to the saga it belongs to."""
        node = self.parent
        while node is not None:
            yield node
            if node.op in SAGAS:
                return
            node = node.parent


SAGAS = frozenset({"saga", "child", "again"})


def act(kind: str = "undoable", *ends: str, undo: int = 0, spare: tuple[str, ...] = ()) -> Node:
    """A step of one of the `KINDS`. `spare`: how the attempts of its fallback end (kind ``preferring``)."""
    return Node("act", (), {"kind": kind, "ends": ends, "undo": undo, "spare": spare})


def undo_with(undo: int = 0) -> Node:
    """An ad hoc compensation is registered."""
    return Node("undo_with", (), {"undo": undo})


def pivot() -> Node:
    """The point of no return."""
    return Node("pivot", (), {})


def fail() -> Node:
    """Saga code raises an error of its own."""
    return Node("fail", (), {})


def nap(seconds: int = 5) -> Node:
    """A durable sleep."""
    return Node("nap", (), {"seconds": seconds})


def seq(*kids: Node) -> Node:
    """One after the other."""
    return Node("seq", kids, {})


def group(*kids: Node) -> Node:
    """Side by side in a TaskGroup: one fails, the others are cancelled."""
    return Node("group", kids, {})


def gather(*kids: Node) -> Node:
    """Side by side in `asyncio.gather`: one fails, the others run on."""
    return Node("gather", kids, {})


def collect(*kids: Node) -> Node:
    """Side by side in `gather(return_exceptions=True)`."""
    return Node("collect", kids, {})


def savepoint(kid: Node, caught: bool = False) -> Node:
    """A savepoint; `caught`: the exception that leaves it is caught outside."""
    return Node("savepoint", (kid,), {"caught": caught})


def attempt(kid: Node, other: Node) -> Node:
    """``try: kid except <a failure>: other``."""
    return Node("attempt", (kid, other), {})


def ending(kid: Node, last: Node) -> Node:
    """``try: kid finally: last``."""
    return Node("ending", (kid, last), {})


def stubborn(kid: Node) -> Node:
    """``try: kid except (Exception, CancelledError): pass``."""
    return Node("stubborn", (kid,), {})


def within(kid: Node, seconds: int = 5) -> Node:
    """`asyncio.wait_for`."""
    return Node("within", (kid,), {"seconds": seconds})


def until(kid: Node, seconds: int = 5) -> Node:
    """`asyncio.timeout`."""
    return Node("until", (kid,), {"seconds": seconds})


def spawn(kid: Node) -> Node:
    """`create_task`, not awaited."""
    return Node("spawn", (kid,), {})


def shield(kid: Node) -> Node:
    """`asyncio.shield`, awaited."""
    return Node("shield", (kid,), {})


def child(kid: Node, deadline: int = 0) -> Node:
    """A nested saga with this body."""
    return Node("child", (kid,), {"deadline": deadline})


def again(kid: Node) -> Node:
    """`continue_as_new`, with this as the next body."""
    return Node("again", (kid,), {})


def number(program: Node) -> dict[str, Node]:
    """Label all nodes of a program; returns the root saga and them by label."""
    root = Node("saga", (program,), {})
    found: dict[str, Node] = {}
    for place, node in enumerate(root.walk()):
        node.label = f"{node.op}{place}"
        found[node.label] = node
        for kid in node.kids:
            kid.parent = node
    return found
