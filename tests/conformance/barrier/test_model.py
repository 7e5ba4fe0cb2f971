"""20,000 requests at the barrier, on SQLite and PostgreSQL, without a single violation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.barrier.reference import Call, explained
from tests.conformance.barrier.world import FAULTS, World, plan

OPERATIONS = {
    "sqlite3": 7_000,
    "apsw": 6_000,
    "psycopg": 4_000,
    "asyncpg": 3_000,
}
SQLITE = {"sqlite3", "apsw"}

# Each answer that there is must have been given, or the run proves little.
EXPECTED = {
    *(f"do: {said}" for said in ("execute", "duplicate", "rejected", "hanging")),
    *(f"undo: {said}" for said in ("execute", "duplicate", "null")),
    *(f"reject: {said}" for said in ("rejected", "duplicate", "hanging")),
    *(f"probe: {said}" for said in ("unknown", "succeeded", "rejected")),
    *(f"seal: {said}" for said in ("succeeded", "rejected")),
    *(f"fault: {fault}" for fault in FAULTS if fault != "none"),
}


def test_there_are_20_000() -> None:
    assert sum(OPERATIONS.values()) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("driver", OPERATIONS)
def test_the_barrier_keeps_its_promise(driver: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = str(tmp_path / "service.db") if driver in SQLITE else request.getfixturevalue("database")
    world = World(driver, place)
    world.run(plan(1, OPERATIONS[driver]))
    assert world.violations() == []
    assert sum(world.seen.values()) >= OPERATIONS[driver]
    assert EXPECTED - set(world.seen) == set()


# ---------------------------------------------------------------- the check can fail


def test_an_order_must_agree_with_time() -> None:
    first = Call("undo", "a", 0, 1, ("null", None))
    assert explained([first, Call("do", "b", 2, 3, ("hanging", None))])
    assert not explained([first, Call("do", "b", 2, 3, ("execute", "b"))])
    later = Call("do", "b", 1, 2, ("execute", "b"))
    assert explained([Call("undo", "a", 0, 3, ("execute", "a")), later])
    assert not explained([Call("undo", "a", 0, 0, ("execute", "a")), later])


def test_what_was_lost_must_have_had_no_effect() -> None:
    lost = Call("do", "a", 0, 1, None)
    assert explained([lost, Call("do", "b", 2, 3, ("execute", "b"))])
    assert not explained([lost, Call("do", "b", 2, 3, ("duplicate", "a"))])
