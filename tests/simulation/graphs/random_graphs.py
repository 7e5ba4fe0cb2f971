"""Random graphs over a participants' book, and how to play one while its worker is killed.

A `Case` is data: nodes with their dependencies, what each dispatch of each step does, and at which commits the worker dies.
`build` makes steps and a graph of it, `play` runs it to its end, `audit` says what of the promises does not hold.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from amends import Graph, NotSent, Rejected, Result, Retry, Settings
from amends.definition.step import Step
from amends.dialects.graph import Block
from amends.dialects.graph.order import ancestors
from amends.dialects.graph.plan import Plan
from tests.simulation.promises.book import OK, Book, Call
from tests.simulation.promises.world import World

OUTCOMES = ("ok", "slow", "rejected", "lost", "retried", "long")
BENIGN = ("ok", "slow", "retried", "long")


@dataclass(frozen=True)
class Item:
    """A node: `kind` is step, each, try, sleep, value or pivot; `after` are places of earlier nodes; `when` is constant."""

    kind: str
    after: tuple[int, ...]
    outcome: str = "ok"
    when: bool | None = None
    reads: bool = False
    inner: tuple[Item, ...] = ()
    otherwise: bool = True


@dataclass(frozen=True)
class Case:
    """A graph, and (commit, moment) of each life of its worker that ends in a kill."""

    items: tuple[Item, ...]
    kills: tuple[tuple[int, str], ...] = ()


def _item(place: int, inner: bool) -> st.SearchStrategy[Item]:
    kinds = ["step"] * 5 + ["each", "sleep", "value"] + ([] if inner else ["try"] * 3)
    return st.builds(
        Item,
        kind=st.sampled_from(kinds),
        after=st.sets(st.integers(0, place - 1), max_size=2).map(sorted).map(tuple) if place else st.just(()),
        outcome=st.sampled_from(OUTCOMES[:2] * (1 if inner else 4) + OUTCOMES),
        when=st.sampled_from([None] * 6 + [True, False]),
        reads=st.booleans(),
        inner=st.just(()) if inner else st.integers(1, 3).flatmap(lambda n: st.tuples(*(_item(i, True) for i in range(n)))),
        otherwise=st.sampled_from([True, True, False]),
    )  # fmt: skip


def _pivoted(items: tuple[Item, ...], place: int) -> tuple[Item, ...]:
    """The same with a pivot at `place`: after all before it, and before all after it, where nothing fails for good."""
    before = items[:place]
    pivot = Item("pivot", tuple(range(place)))
    after = [
        Item(i.kind, (place, *(a + 1 for a in i.after if a >= place)), _benign(i.outcome), i.when, i.reads, tuple(
            Item(x.kind, x.after, _benign(x.outcome), x.when, x.reads) for x in i.inner), i.otherwise)
        for i in items[place:]
    ]  # fmt: skip
    return (*before, pivot, *after)


def _benign(outcome: str) -> str:
    return outcome if outcome in BENIGN else "ok"


plain = st.integers(1, 7).flatmap(lambda n: st.tuples(*(_item(i, False) for i in range(n))))
pivoted = plain.flatmap(lambda items: st.integers(0, len(items)).map(lambda place: _pivoted(items, place)))
kills = st.lists(st.tuples(st.integers(1, 8), st.sampled_from(["before", "after"])), max_size=3).map(tuple)
cases = st.builds(Case, plain | plain | pivoted, kills)


# ---------------------------------------------------------------- building


def _script(outcome: str) -> tuple[Any, ...]:
    async def slow(call: Call) -> None:
        await asyncio.sleep(3)

    async def long(call: Call) -> None:
        await asyncio.sleep(40)

    return {
        "ok": (OK,),
        "slow": (slow,),
        "long": (long,),
        "rejected": (Rejected("no"),),
        "lost": (ConnectionError("after the effect"),),
        "retried": (NotSent("not yet"), ConnectionError("once"), OK),
    }[outcome]


@dataclass
class Made:
    """A graph with its steps, and which names stand inside which savepoint."""

    graph: Graph
    steps: dict[str, Step[..., Any]] = field(default_factory=dict)


def build(case: Case, book: Book) -> Made:
    """The graph of a case, with steps that write into the book."""
    made = Made(Graph("random.graph"))
    _fill(made.graph, case.items, "n", book, made)
    made.graph.returns("'the end'")
    return made


def _fill(block: Block, items: tuple[Item, ...], prefix: str, book: Book, made: Made) -> None:
    for place, item in enumerate(items):
        name = f"{prefix}{place}"
        # One of the dependencies is by reading, the others by `after`.
        before = [f"{prefix}{other}" for other in item.after]
        read = before.pop() if item.reads and before and item.kind in {"step", "value"} else ""
        common: dict[str, Any] = {
            "after": before,
            "when": {None: None, True: "1 < 2", False: "2 < 1"}[item.when],
        }
        match item.kind:
            case "step":
                _step(name, item.outcome, book, made)
                args = {"tag": f"concat({read}, '')" if read else "''"}
                block.step(name, name, args, **common)
            case "each":
                _step(name, item.outcome, book, made)
                block.step(name, name, {"tag": "item"}, each="['x', 'y', 'z']", at_once=2, **common)
            case "sleep":
                block.sleep(name, 20, **common)
            case "value":
                block.value(name, [read or "null"], **common)
            case "pivot":
                assert isinstance(block, Graph)
                block.pivot(name, after=before)
            case "try":
                inner, other = Block(), Block().returns("error.type")
                _fill(inner, item.inner, f"{name}_", book, made)
                block.attempt(name, inner, otherwise=other if item.otherwise else None, **common)


def _step(name: str, outcome: str, book: Book, made: Made) -> None:
    async def undo(call: Call) -> None:
        await asyncio.sleep(2)

    retry = Retry(attempts=3, delay=15, jitter=0)
    made.steps[name] = book.step(name, *_script(outcome), undo=(undo,), retry=retry)


# ---------------------------------------------------------------- playing


async def play(world: World, made: Made, case: Case, seen: Counter[str]) -> Result[Any]:
    """Run it to its end, through the kills; what a stubborn compensation needs is given."""
    for kill in [*case.kills, None]:
        result = await _live(world, made, kill, seen)
        if result is not None:
            return result
    raise AssertionError("the last life has no kill")


async def _live(
    world: World, made: Made, kill: tuple[int, str] | None, seen: Counter[str]
) -> Result[Any] | None:
    wire = world.wire()
    if kill is not None:
        wire.at(*kill, "crash")
    async with world.engine(
        made.graph.saga, wire=wire, settings=Settings(poll=0.1, grace=1.0, linger=5.0)
    ) as engine:

        async def serve() -> Result[Any]:
            handle = await engine.start(made.graph(), id="one")
            waiting = asyncio.ensure_future(handle.outcome())
            try:
                while not waiting.done():
                    await asyncio.sleep(1)
                    seen["out of memory"] += not engine.stats()["resident"] and not waiting.done()
                return waiting.result()
            finally:
                waiting.cancel()

        serving = asyncio.create_task(serve())
        died = asyncio.create_task(wire.crashed.wait())
        await asyncio.wait([serving, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not wire.crashed.is_set():
            return serving.result()
        seen["killed"] += 1
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await world.crash(engine)
    return None


# ---------------------------------------------------------------- judging


def audit(made: Made, case: Case, result: Result[Any], book: Book) -> list[str]:
    """What does not hold: all or nothing, and the order that the graph declares, forward and backward."""
    found = (
        [] if result.status in {"completed", "compensated"} else [f"it ended {result.status}: {result.error}"]
    )
    effects = Counter(name.partition(":")[0] for name in book.remaining)
    if result.status == "compensated" and effects:
        found.append(f"compensated, but these effects remain: {dict(effects)}")
    if result.status == "completed":
        found += _complete(case.items, "n", effects)
    plan = made.graph.plan
    found += _order(plan, book)
    for task in plan.every():
        for block in task.blocks.values():
            found += _order(block, book)
    return found


def _complete(items: tuple[Item, ...], prefix: str, effects: Counter[str]) -> list[str]:
    """In a completed execution every node that was not skipped has its effects, a savepoint all or none."""
    found = []
    for place, item in enumerate(items):
        name = f"{prefix}{place}"
        if item.when is False:
            inside = [label for label in effects if label.startswith(f"{name}_") or label == name]
            found += [f"{label} was to be skipped" for label in inside if effects[label]]
        elif item.kind in {"step", "each"}:
            wanted = 3 if item.kind == "each" else 1
            if effects[name] != wanted:
                found.append(f"completed, but {name} has {effects[name]} effects, not {wanted}")
        elif item.kind == "try":
            whole = _complete(item.inner, f"{name}_", effects)
            none = not any(count for label, count in effects.items() if label.startswith(f"{name}_"))
            if whole and not (none and item.otherwise):
                found.append(f"the savepoint {name} is neither whole nor undone: {whole}")
    return found


def _order(plan: Plan, book: Book) -> list[str]:
    found = []
    for name, before in ancestors(plan).items():
        for earlier in before:
            found += _pair(book, plan, earlier, name)
    return found


def _calls(book: Book, plan: Plan, name: str, direction: str) -> list[Call]:
    """The calls of a node, or of all that stand inside it."""
    return [
        c
        for c in book.calls
        if c.direction == direction and (c.name == name or c.name.startswith(f"{name}_"))
    ]


def _pair(book: Book, plan: Plan, a: str, b: str) -> list[str]:
    """a is declared before b."""
    found = []
    first, later = _calls(book, plan, a, "do"), _calls(book, plan, b, "do")
    if first and later and max(c.ended or 0 for c in first) > min(c.began for c in later):
        found.append(f"{b} began before {a} had ended")
    undone, undone_later = _calls(book, plan, a, "undo"), _calls(book, plan, b, "undo")
    settled = plan.tasks[a].blocks  # what a savepoint undid by itself is not part of the order around it
    if (
        undone
        and undone_later
        and not settled
        and not plan.tasks[b].blocks
        and min(c.began for c in undone) < max(c.ended or 0 for c in undone_later)
    ):
        found.append(f"{a} was undone before {b}, which depends on it, had been")
    return found
