"""Random sagas end badly, are forked at every point, and the forks end well or badly: the books are right.

The oracle reads the journal as `history` shows it, and the participants' books; it knows nothing of ledgers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

import amends
from amends import Engine, Handle, Recovery, Refused, Retry, saga, step
from amends.engine.journals import verified
from amends.store.port import History
from amends.testing import world

ONCE = Retry(attempts=1)
ENDS = ("cancel", "terminate")


@dataclass
class Books:
    """What participants were told, in order: direction, label, key without direction."""

    log: list[tuple[str, str, str]] = field(default_factory=list)
    broken: bool = True

    def write(self, direction: str, label: str) -> None:
        self.log.append((direction, label, amends.current().idempotency_key.rpartition("/")[0]))

    def keys(self, direction: str) -> list[str]:
        return [key for way, _, key in self.log if way == direction]

    def stands(self) -> Counter[str]:
        """Labels of what can be undone and is not."""
        undone = set(self.keys("undo"))
        return Counter(label for way, label, key in self.log if way == "do" and key not in undone)


books = Books()


@step(name="random.plain", retry=ONCE)
async def plain(label: str, drawn: float) -> None:
    books.write("plain", label)


@step(name="random.undoable", retry=ONCE)
async def undoable(label: str, drawn: float) -> None:
    books.write("do", label)


@undoable.compensation(retry=ONCE)
async def undo(result: None, label: str, drawn: float) -> None:
    books.write("undo", label)


@step(name="random.last", retry=ONCE, recovery={LookupError: Recovery.ASK})
async def last() -> None:
    if books.broken:
        raise LookupError("broken")


class Back(Exception):
    pass


async def play(program: Any) -> None:
    """A program: a label (upper case can be undone), a list (one after the other), a tuple (side by side), a set
    of one (a savepoint that is rolled back), a number (seconds to wait)."""
    match program:
        case str():
            act = undoable if program.isupper() else plain
            await act(program, amends.random().random())
        case list() if program[:1] == ["back"]:
            try:
                async with amends.savepoint():
                    await play(program[1:])
                    raise Back
            except Back:
                pass
        case list():
            for each in program:
                await play(each)
        case {"beside": beside}:
            async with asyncio.TaskGroup() as group:
                for each in beside:
                    group.create_task(play(each))
        case int():
            await asyncio.sleep(program)


@saga(name="random.saga")
async def random_saga(program: Any) -> None:
    await play(program)
    await last()


LABELS = st.sampled_from(["a", "b", "A", "B", "C"])
PROGRAMS = st.recursive(
    LABELS | st.just(1),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=2).map(lambda inside: ["back", *inside])
        | st.lists(inner, min_size=2, max_size=3).map(lambda beside: {"beside": beside})
    ),
    max_leaves=6,
)


# ---------------------------------------------------------------- the oracle


@dataclass
class Told:
    """What a journal says of an action: rows in which it was begun, ended, and its undoing was begun. scope: of its
    savepoint."""

    step: str
    scope: str
    begun: int
    ended: int | None = None
    undone: int | None = None


def told(history: list[dict[str, Any]]) -> dict[str, Told]:
    found: dict[str, Told] = {}
    for row in history:
        at = row["position"]
        for each in row["events"]:
            if each["type"] == "completed":
                found[each["id"]].ended = at
        for each in row["commands"]:
            if each["type"] == "run":
                found[each["id"]] = Told(each["step"], each["scope"], at)
            elif each["type"] == "undo":
                found[each["id"]].undone = at
    return found


def may_be_forked(history: list[dict[str, Any]], action: str) -> bool:
    """What was begun before must be over or never undone, what was begun in that row or later must be undone; and
    the way must be forwards."""
    acts = told(history)
    cut = acts[action].begun
    rows = history[: cut + 1]
    if any(
        each["type"] in ("cancel_requested", "unwind")
        for row in rows
        for each in row["events"] + row["commands"]
    ):
        return False
    over = {each["id"] for row in rows for each in row["events"] if each["type"] == "undone"}
    for id, act in acts.items():
        if act.step == "random.undoable":
            stands = act.ended is not None and act.undone is None
            if stands if act.begun >= cut else act.undone is not None and id not in over:
                return False
    return True


def must_be_in_order(history: list[dict[str, Any]], log: list[tuple[str, str, str]]) -> None:
    """What ended before another was begun is undone after it (promise 6); a rollback looks at its savepoint only."""
    acts = told(history)
    turned = (row["position"] for row in history for each in row["commands"] if each["type"] == "backward")
    back = next(turned, len(history))
    order = {key.split("/", 2)[2]: place for place, (way, _, key) in enumerate(log) if way == "undo"}
    for first, second in itertools.permutations(order, 2):
        one, two = acts[first], acts[second]
        together = one.scope == two.scope or (one.undone is not None and one.undone >= back)
        if together and one.ended is not None and one.ended <= two.begun:
            assert order[second] < order[first], f"{second} was begun after {first}, and is undone later"


# ---------------------------------------------------------------- the test


async def ended(engine: Engine, program: Any, id: str, how: str) -> Handle[Any]:
    books.broken = True
    handle = await engine.start(random_saga(program), id=id)
    assert (await handle.outcome()).status == "attention"
    await getattr(handle, how)("no more")
    assert (await handle.outcome()).status == {"cancel": "compensated", "terminate": "terminated"}[how]
    return handle


async def forked(w: Any, program: Any, how: str, well: bool, crash: bool) -> None:
    """Fork it before each of its steps: a new one for each, as each can be forked once."""
    async with w.engine(sagas=[random_saga]) as engine:
        handle = await ended(engine, program, "probe", how)
        points = list(told(await handle.history()))
    for place, point in enumerate(points):
        books.log.clear()
        async with w.engine(sagas=[random_saga]) as engine:
            first = await ended(engine, program, f"o{place}", how)
            history = await first.history()
            books.broken = not well
            try:
                fork = await first.fork(point)
            except Refused as refused:
                event(f"refused ({how})")
                assert not may_be_forked(history, point), refused
                continue
            event(f"forked ({how})")
            assert may_be_forked(history, point)
            if crash:
                await w.crash(engine)
        async with w.engine(sagas=[random_saga]) as engine:
            await judge(engine, engine.handle(random_saga, fork.id), program, well)


async def judge(engine: Engine, fork: Handle[Any], program: Any, well: bool) -> None:
    before = len(books.log)
    outcome = await fork.outcome()
    if well:
        assert outcome.status == "completed"
        assert books.stands() == Counter(_standing(program)), "each effect once, by whomever"
    else:
        assert outcome.status == "attention"
        await fork.cancel("no more")
        assert (await fork.outcome()).status == "compensated"
        assert not books.stands()
    assert max(Counter(books.keys("do")).values(), default=1) == 1
    assert max(Counter(books.keys("plain")).values(), default=1) == 1
    assert max(Counter(books.keys("undo")).values(), default=1) == 1
    assert set(books.keys("undo")) <= set(books.keys("do"))
    history = await fork.history()
    must_be_in_order(history, books.log[before:])
    found = await engine._backend.store.read((await fork.status()).uid)
    assert found is not None
    assert verified(History(*found)).status == ("completed" if well else "compensated")


def _standing(program: Any) -> list[str]:
    match program:
        case str():
            return [program] if program.isupper() else []
        case ["back", *_] | int():
            return []
        case {"beside": beside}:
            return [label for each in beside for label in _standing(each)]
    return [label for each in program for label in _standing(each)]


@settings(max_examples=40)
@given(PROGRAMS, st.sampled_from(ENDS), st.booleans(), st.booleans())
@example(["a", "A", "B"], "terminate", True, False)
@example(["a", "A", "B"], "cancel", True, False)
@example(["A", {"beside": ["B", ["a", "b"]]}, "C"], "terminate", False, True)
@example(["A", ["back", "B", "a"], {"beside": ["C", "b"]}], "terminate", False, False)
@example({"beside": [["back", "A"], ["a", "A"]]}, "cancel", False, False)
@example([{"beside": ["A", [1, "B"]]}, 1], "terminate", False, False)
def test_forks_of_random_sagas(program: Any, how: str, well: bool, crash: bool) -> None:
    async def main() -> None:
        async with world() as w:
            books.log.clear()
            await forked(w, program, how, well, crash)

    asyncio.run(main())
