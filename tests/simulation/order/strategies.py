"""Random programs and what happens to them. Small numbers are simple choices, so that examples shrink well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from . import programs as p
from .driver import FAULTS, Case

Draw = Callable[[Any], Any]

_dice = st.integers(0, 99)
_small = st.integers(0, 3)
_tape = st.binary(min_size=20, max_size=60)
_fault = st.tuples(st.integers(1, 40), st.sampled_from(FAULTS), st.integers(0, 3))
_kind = st.sampled_from(("undoable", "undoable", *p.KINDS))
_end = st.sampled_from(("ok", *p.ENDS))

LEAVES = (("act", 70), ("undo_with", 10), ("fail", 8), ("nap", 6), ("pivot", 6))
BRANCHES = (
    ("seq", 34),
    ("group", 10),
    ("gather", 10),
    ("collect", 4),
    ("savepoint", 10),
    ("attempt", 6),
    ("child", 8),
    ("within", 4),
    ("until", 2),
    ("spawn", 4),
    ("shield", 3),
    ("ending", 3),
    ("stubborn", 2),
)
PROFILES: dict[str, dict[str, int]] = {
    "mixed": {},
    "parallel": {"group": 25, "gather": 25, "spawn": 8, "child": 4},
    "nested": {"child": 40, "pivot": 12},
    "savepoints": {"savepoint": 40, "attempt": 12, "spawn": 8},
    "cuts": {"within": 20, "until": 10, "shield": 10, "ending": 10, "stubborn": 8},
    "pivots": {"pivot": 25, "child": 14, "spawn": 6},
    "cleanups": {"savepoint": 25, "spawn": 20, "ending": 20, "stubborn": 8, "fail": 16},
}


class _Writer:
    """Draws one program."""

    def __init__(self, draw: Draw, profile: str) -> None:
        self.draw = draw
        wanted = PROFILES[profile]
        self.leaves = [(name, wanted.get(name, weight)) for name, weight in LEAVES]
        self.branches = [(name, wanted.get(name, weight)) for name, weight in BRANCHES]
        self.left = 14
        self.sagas = 3

    def choose(self, options: list[tuple[str, int]]) -> str:
        dice = self.draw(_dice) * sum(weight for _, weight in options) // 100
        for name, weight in options:
            dice -= weight
            if dice < 0:
                return name
        return options[-1][0]

    def node(self, depth: int) -> p.Node:
        self.left -= 1
        if depth <= 0 or self.left <= 0 or self.draw(_dice) < 30:
            return self.leaf()
        return self.branch(depth)

    def leaf(self) -> p.Node:
        name = self.choose(self.leaves)
        if name == "act":
            kind = self.draw(_kind)
            end = self.draw(_end)
            ends = [] if end == "ok" else [end]
            if ends and kind in ("retried", "barrier"):
                second = self.draw(_end)
                ends += [] if second == "ok" else [second]
            undo = max(0, self.draw(_small) - 1) if kind in p.COMPENSABLE else 0
            spare = ("fail+",) if kind == "preferring" and self.draw(_small) == 3 else ()
            return p.act(kind, *ends, undo=undo, spare=spare)
        if name == "undo_with":
            return p.undo_with(undo=1 if self.draw(_small) == 3 else 0)
        if name == "nap":
            return p.nap((1, 5, 20, 5)[self.draw(_small)])
        return p.pivot() if name == "pivot" else p.fail()

    def branch(self, depth: int) -> p.Node:
        name = self.choose(self.branches)
        if name in ("seq", "group", "gather", "collect"):
            kids = [self.node(depth - 1) for _ in range(2 + self.draw(_small) % 3)]
            return getattr(p, name)(*kids)  # type: ignore[no-any-return]
        if name in ("attempt", "ending"):
            return getattr(p, name)(self.node(depth - 1), self.node(depth - 2))  # type: ignore[no-any-return]
        if name == "child":
            if self.sagas <= 0:
                return self.leaf()
            self.sagas -= 1
            return p.child(self.node(depth), 4 if self.draw(_small) == 3 else 0)
        if name == "savepoint":
            return p.savepoint(self.node(depth - 1), caught=self.draw(_small) > 1)
        if name in ("within", "until"):
            return getattr(p, name)(self.node(depth - 1), (1, 5, 1, 20)[self.draw(_small)])  # type: ignore[no-any-return]
        return getattr(p, name)(self.node(depth - 1))  # type: ignore[no-any-return]

    def program(self) -> p.Node:
        kids = [self.node(4) for _ in range(1 + self.draw(_small))]
        if self.draw(_dice) >= 96:
            kids.append(p.again(self.node(3)))
        return kids[0] if len(kids) == 1 else p.seq(*kids)


@st.composite
def cases(draw: Draw, profile: str = "mixed") -> Case:
    """Programs of one profile with a tape and some faults."""
    program = _Writer(draw, profile).program()
    faults = tuple(draw(st.lists(_fault, max_size=3)))
    deadline = (0, 0, 0, 0, 3, 8)[draw(st.integers(0, 5))]
    return Case(program, draw(_tape), faults, deadline)


@st.composite
def happenings(draw: Draw, program: Callable[[], p.Node]) -> Case:
    """What may happen to one program."""
    faults = tuple(draw(st.lists(_fault, max_size=3)))
    return Case(program(), draw(_tape), faults, (0, 0, 0, 3, 8)[draw(st.integers(0, 4))])
