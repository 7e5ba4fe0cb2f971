"""Participants: compared by what they hold, and watched without their noticing."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from amends.testing.explore.participants import ABSENT, Present, Probe, difference, frozen, state, watch


@dataclass
class Item:
    name: str
    _note: str = "not compared"


@dataclass(slots=True)
class Slotted:
    number: int

    def add(self, more: int) -> int:
        self.number += more
        return self.number

    async def twice(self) -> int:
        self.add(1)
        return self.add(1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, [2])}, {"a": [1, [2]]}),
        ({1: {3, 2}}, {"1": [2, 3]}),
        (deque([Item("x")]), [{"name": "x"}]),
        (Counter({"a": 0, "b": 2}), {"b": 2}),
        (defaultdict(list, {"a": [], "b": [1]}), {"b": [1]}),
        (OrderedDict(a=None), {"a": None}),
        (Slotted(3), {"number": 3}),
        (Decimal("1.5"), Decimal("1.5")),
    ],
)
def test_frozen(value: Any, expected: Any) -> None:
    assert frozen(value) == expected


def test_what_holds_itself_has_an_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert frozen(loop) == ["…"]


def test_a_snapshot_says_what_counts() -> None:
    class Shop:
        def __init__(self) -> None:
            self.log: list[str] = []

        def snapshot(self) -> int:
            return len(self.log) % 2

    shop = Shop()
    before = state([shop])
    shop.log += ["a", "b"]
    assert state([shop]) == before
    shop.log.append("c")
    assert difference(before, state([shop])) == {"Shop": (0, 1)}


def test_differences_are_named_by_their_place() -> None:
    assert difference({"a": {"b": [1]}, "c": 1}, {"a": {"b": [2, 3]}}) == {
        "a.b[0]": (1, 2),
        "a.b[1]": (ABSENT, 3),
        "c": (1, ABSENT),
    }


@pytest.fixture
def watched() -> Any:
    made = Slotted(0)
    watch(made)
    yield made
    Present.probe = None


def test_a_watched_participant_is_what_it_was(watched: Any) -> None:
    assert isinstance(watched, Slotted)
    assert watched.add(2) == 2
    assert asyncio.run(watched.twice()) == 4
    assert state([watched]) == {"Slotted": {"number": 4}}


def test_calls_from_outside_count_and_those_among_themselves_do_not(watched: Any) -> None:
    Present.probe = probe = Probe()
    asyncio.run(watched.twice())
    watched.add(1)
    assert probe.calls == 2


def test_broken_before_and_after(watched: Any) -> None:
    Present.probe = probe = Probe(before=2, error=OSError("gone"))
    watched.add(1)
    with pytest.raises(OSError, match="gone"):
        watched.add(1)
    assert watched.number == 1
    assert probe.fired == "add"
    watched.add(1)  # it tries again by itself
    assert not probe.fired
    Present.probe = probe = Probe(after=1, error=OSError("lost"))
    with pytest.raises(OSError, match="lost"):
        asyncio.run(watched.twice())
    assert watched.number == 4
    assert probe.answered


def test_builtin_participants_are_left_alone() -> None:
    plain: dict[str, int] = {}
    watch(plain)
    plain["a"] = 1
    assert state([plain]) == {"dict": {"a": 1}}
