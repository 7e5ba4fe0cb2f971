"""From a seed to a plan: a saga of 3 to 12 steps, the engine's settings, and the faults that may strike."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from amends import Limits, Settings
from tests.simulation.order import programs as p
from tests.simulation.order.programs import Node

from . import kinds
from .kinds import CUTS, PROGRAM, TIMELINE, Kind
from .saga import hear

ACTS = ("undoable",) * 6 + ("retried",) * 3 + ("thread",) * 2 + (
    "plain", "soft", "irreversible", "barrier", "asking", "preferring", "verified", "verified",
)  # fmt: skip
BRANCHES = ("seq",) * 8 + (
    "group", "group", "gather", "gather", "collect", "savepoint", "savepoint", "savepoint", "attempt", "attempt",
    "child", "child", "child", "within", "until", "spawn", "shield", "ending", "stubborn",
)  # fmt: skip
PIVOTS = 0.4
TROUBLES = (0.0, 0.06, 0.06, 0.15)


@dataclass
class Plan:
    """All that a seed decides beforehand."""

    seed: int
    store: str
    program: Node
    nodes: dict[str, Node]
    settings: Settings
    order: str
    kinds: dict[str, float]
    moments: list[tuple[float, str]]
    budget: int
    deadline: float
    latency: float
    shape: dict[str, int] = field(default_factory=dict)


def plan(seed: int, store: str, only: tuple[str, ...] = ()) -> Plan:
    """The plan of a seed. `only`: these kinds of faults, whatever else the seed would have chosen."""
    chance = random.Random(f"plan {seed}")
    chosen = _choose(chance, store, only)
    steps = chance.choice((3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12))
    writer = _Writer(chance, chance.choice(TROUBLES), {kind.name for kind in chosen})
    program = writer.program(steps)
    nodes = p.number(program)
    ops = Counter(node.op for node in nodes.values())
    shape = {"steps": ops["act"], "depth": _depth(program), **ops}
    return Plan(
        seed=seed,
        store=store,
        program=program,
        nodes=nodes,
        settings=_settings(chance),
        order=chance.choice(("fifo", "uniform", "uniform", "pct")),
        kinds={kind.name: chance.choice(kind.rates) for kind in chosen if kind.how != PROGRAM},
        moments=_moments(chance, [kind for kind in chosen if kind.how == TIMELINE]),
        budget=chance.choice((4, 8, 8, 16)),
        deadline=chance.choice((3.0, 8.0, 20.0)) if any(k.name == "deadline" for k in chosen) else 0.0,
        latency=chance.choice((0.02, 0.2, 1.0)),
        shape=shape,
    )


def _choose(chance: random.Random, store: str, only: tuple[str, ...]) -> list[Kind]:
    able = [kind for kind in kinds.ALL if store in kind.stores]
    if only:
        return [kind for kind in able if kind.name in only]
    wanted = chance.choice((2, 4, 4, 6, 8))
    found: dict[str, Kind] = {}
    while len(found) < min(wanted, len(able)):
        kind = chance.choices(able, [k.weight for k in able])[0]
        found[kind.name] = kind
    if found.keys() & set(
        CUTS
    ):  # a damage that is lost with the log cannot be told from one that is overlooked
        found.pop("row_flipped", None)
    return list(found.values())


def _moments(chance: random.Random, timeline: list[Kind]) -> list[tuple[float, str]]:
    """When the faults strike that come by themselves: mostly early, while there is something to break."""
    found = []
    for kind in timeline:
        for _ in range(chance.choice((1, 1, 2))):
            found.append((chance.random() ** 2 * chance.choice((2.0, 6.0, 20.0)), kind.name))
    return sorted(found)


def _settings(chance: random.Random) -> Settings:
    return Settings(
        steps=chance.choice((1, 2, 1000)),
        threads=2,
        resident=chance.choice((0, 1, 1000)),
        linger=chance.choice((0.0, 0.5, 5.0, 60.0)),
        batch=chance.choice((1, 2, 512)),
        claim=chance.choice((1, 256)),
        poll=5.0,
        grace=chance.choice((0.5, 2.0)),
        tune_gc=False,
        limits=Limits(callbacks=20_000, deaths=1_000),
    )


def _depth(node: Node) -> int:
    return 1 + max((_depth(kid) for kid in node.kids), default=0)


class _Writer:
    """Writes one program with a given number of steps."""

    def __init__(self, chance: random.Random, trouble: float, wanted: set[str]) -> None:
        self.chance = chance
        self.trouble = trouble
        self.wanted = wanted
        self.children = 2

    def program(self, steps: int) -> Node:
        """A body, perhaps with a pivot near its end, or a second run."""
        after = self.chance.randrange(2) if steps > 3 and self.chance.random() < PIVOTS else -1
        second = 1 if steps > 4 and self.chance.random() < 0.05 else 0
        body = self.body(steps - max(after, 0) - second, 4)
        if after >= 0:  # what comes after the pivot has to succeed in the end
            body = p.seq(body, p.pivot(), *(self.act() for _ in range(after)))
        if second:
            body = p.seq(body, p.again(self.body(second, 2)))
        if self.chance.random() < self.trouble * 3:
            body = p.seq(body, p.fail())
        return body

    def body(self, steps: int, depth: int) -> Node:
        if steps <= 1:
            return self.leaf()
        if depth <= 0:
            return p.seq(*(self.leaf() for _ in range(steps)))
        op = self.chance.choice(BRANCHES)
        if op in ("seq", "group", "gather", "collect"):
            return getattr(p, op)(*self.parts(steps, depth))  # type: ignore[no-any-return]
        if op in ("attempt", "ending"):
            first = self.chance.randint(1, steps - 1)
            return getattr(p, op)(self.body(first, depth - 1), self.body(steps - first, depth - 1))  # type: ignore[no-any-return]
        if op == "child" and self.children <= 0:
            op = "savepoint"
        inner = self.chance.randint(1, steps)
        made = self.wrap(op, self.body(inner, depth - 1))
        return made if inner == steps else p.seq(made, self.body(steps - inner, depth - 1))

    def wrap(self, op: str, inner: Node) -> Node:
        if op == "child":
            self.children -= 1
            return p.child(inner, self.chance.choice((0, 0, 0, 4)) if "deadline" in self.wanted else 0)
        if op == "savepoint":
            return p.savepoint(inner, caught=self.chance.random() < 0.5)
        if op in ("within", "until"):
            return getattr(p, op)(inner, self.chance.choice((1, 5, 20)))  # type: ignore[no-any-return]
        return getattr(p, op)(inner)  # type: ignore[no-any-return]

    def parts(self, steps: int, depth: int) -> list[Node]:
        found = []
        while steps > 0:
            part = self.chance.randint(1, max(1, steps // 2 + 1))
            part = min(part, steps)
            found.append(self.body(part, depth - 1))
            steps -= part
        return found

    def leaf(self) -> Node:
        act = self.act()
        dice = self.chance.random()
        if dice < 0.06:
            return p.seq(p.nap(self.chance.choice((1, 5, 30))), act)
        if dice < 0.11:
            return p.seq(act, p.undo_with(undo=self.chance.choice((0, 0, 1))))
        if dice < 0.16 or ("signal_duplicated" in self.wanted and dice < 0.4):
            return p.seq(hear(self.chance.choice((2, 20))), act)
        if dice < 0.16 + self.trouble / 3:
            return p.seq(act, p.fail())
        if dice > 0.965:
            return p.seq(act, p.attempt(p.pivot(), p.nap(1)))
        return act

    def act(self) -> Node:
        kind = self.chance.choice(ACTS)
        ends: list[str] = []
        rejects = self.trouble + 0.2 * ("rejected" in self.wanted)
        for word, rate in (("reject", rejects), ("fail+", self.trouble), ("fail-", self.trouble)):
            if self.chance.random() < rate:
                ends.append(word)
        self.chance.shuffle(ends)
        undo = 0
        if kind in p.COMPENSABLE or kind in ("thread", "verified"):
            if "compensation_fails_for_a_while" in self.wanted and self.chance.random() < 0.5:
                undo = 1
            if "compensation_fails_for_ever" in self.wanted and self.chance.random() < 0.4:
                undo = 1_000
        lies = int("verification_wrong" in self.wanted and self.chance.random() < 0.5)
        node = p.act(kind, *ends, undo=undo)
        options: dict[str, Any] = node.options
        options["lies"] = lies
        return node
