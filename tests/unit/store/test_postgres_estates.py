"""What a worker that died owned is taken over at a pace: all of it, soon, and never in one burst."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.clock import Clock
from amends.store.kit.support import header, row
from amends.store.pausing import Pause
from amends.store.port import AuditRecord, Write
from amends.store.postgres import PostgresStore, estates
from amends.store.postgres.estates import BEAT, CATCH_UP, LEAST, SPREAD, Estates
from tests.stores import execute, new_schema

DEAD = 7
LIMIT = 128


def taken_over(executions: int, pauses: list[float]) -> list[tuple[float, int]]:
    """When how many were taken, by an heir that looks after each of these pauses, then at each beat."""
    known, now, left = Estates(), 100.0, executions
    known.add(DEAD, executions, 100.0, now)
    taken: list[tuple[float, int]] = []
    waits = iter(pauses)
    while left:
        turn = known.next(now, LIMIT, now)
        if turn is not None:
            count = min(turn[2], left)
            left -= count
            taken.append((now, count))
        wake = known.wake(now, now)
        assert wake is not None
        now += max(next(waits, 0.0), wake - now, 0.001)
    return taken


def test_a_large_estate_within_the_spread() -> None:
    taken = taken_over(100_000, [])
    assert sum(count for _, count in taken) == 100_000
    assert 0.9 * SPREAD < taken[-1][0] - taken[0][0] < 1.1 * SPREAD


def test_a_small_estate_at_once() -> None:
    taken = taken_over(100, [])
    assert taken[-1][0] - taken[0][0] <= 100 / LEAST


@given(st.integers(1, 20_000), st.lists(st.floats(0.0, 10.0), max_size=50))
def test_no_burst(executions: int, pauses: list[float]) -> None:
    """However an heir is delayed, in no stretch of time more than its pace and what it may catch up with."""
    taken = taken_over(executions, pauses)
    pace = max(executions / SPREAD, LEAST)
    for begin in range(len(taken)):
        total = 0
        for at, count in taken[begin : begin + 40]:
            total += count
            assert total <= pace * (at - taken[begin][0] + CATCH_UP + BEAT) + 1


def test_what_others_took_is_forgotten() -> None:
    known = Estates()
    known.add(1, 10, 5.0, 0.0)
    known.add(2, 10, 6.0, 0.0)
    known.keep({2})
    assert (1 in known, 2 in known) == (False, True)
    assert known.wake(7.0, 0.0) == 6.0


def test_what_died_later_than_asked_for_stays() -> None:
    """A worker that is full asks only for what has waited for a while."""
    known = Estates()
    known.add(1, 10, 5.0, 0.0)
    assert known.next(4.9, LIMIT, 1.0) is None
    assert known.next(5.0, LIMIT, 1.0) is not None


# ---------------------------------------------------------------- on a server


class Still(Clock):
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 50.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


async def one_that_died(postgres: str, schema: str, executions: int) -> int:
    """A worker that owns as many, and vanished."""
    dead = PostgresStore(postgres, schema=schema, unsafe=True, lease=600.0)
    await dead.open()
    me = await dead.register(0.0, wait=False)
    assert me is not None
    uids = [f"{number:05}" for number in range(executions)]
    await dead.commit(me, [Write(uid, start=header(uid), row=row(0)) for uid in uids])
    dead.abandon()
    execute(postgres, f"UPDATE {schema}.leases SET expires_at = '-infinity'")
    return me


async def heir(postgres: str, schema: str, clock: Clock) -> tuple[PostgresStore, int]:
    store = PostgresStore(postgres, schema=schema, unsafe=True, lease=600.0, clock=clock)
    await store.open()
    me = await store.register(clock.now(), wait=False)
    assert me is not None
    return store, me


async def claimed(postgres: str, schema: str, seconds: float) -> list[int]:
    """How many of 300 an heir claims at each beat, for so many seconds."""
    await one_that_died(postgres, schema, 300)
    clock = Still()
    store, me = await heir(postgres, schema, clock)
    counts = []
    while clock.at < 50.0 + seconds:
        counts.append(len(await store.claim(me, clock.now(), 512)))
        clock.at += 2 * BEAT
    await store.close()
    return counts


def test_taken_over_at_a_pace(postgres: str, schema: str) -> None:
    """At each beat what it brings; then nothing is left of the dead."""
    counts = asyncio.run(claimed(postgres, schema, 1.0))
    assert sum(counts) == 300
    assert max(counts) <= LEAST * 2 * BEAT + 1
    assert execute(postgres, f"SELECT count(*) FROM {schema}.fences") == [(1,)]
    assert execute(postgres, f"SELECT count(*) FROM {schema}.leases") == [(1,)]


def test_without_a_pace_all_at_once(postgres: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pace is for."""
    monkeypatch.setattr(estates, "LEAST", 1e9)
    assert max(asyncio.run(claimed(postgres, schema, 0.2))) == 300


def test_neither_takes_the_half_of_the_other(
    postgres: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due waits for no estate, and an estate for nothing that is due."""
    monkeypatch.setattr(estates, "LEAST", 1e9)

    async def main() -> None:
        await one_that_died(postgres, schema, 100)
        store, me = await heir(postgres, schema, Still())
        for number in range(100):
            assert await store.create(header(f"due-{number:05}"))
        for due, inherited in ((20, 20), (20, 20), (20, 20), (20, 20), (20, 20), (0, 0)):
            claims = await store.claim(me, 50.0, 40)
            assert sum(claim.header.uid.startswith("due") for claim in claims) == due
            assert len(claims) - due == inherited
        await store.close()

    asyncio.run(main())


def test_two_heirs_share(postgres: str, schema: str) -> None:
    """None is taken by both, none is left."""

    async def main() -> None:
        await one_that_died(postgres, schema, 300)
        clock = Still()
        heirs = [await heir(postgres, schema, clock) for _ in range(2)]
        found: list[str] = []
        while clock.at < 51.0:
            both = await asyncio.gather(*(store.claim(me, clock.now(), 512) for store, me in heirs))
            assert all(len(claims) <= LEAST * 2 * BEAT + 1 for claims in both)
            found += [claim.header.uid for claims in both for claim in claims]
            assert all(claim.lost and claim.deaths == 1 for claims in both for claim in claims)
            clock.at += BEAT
        assert sorted(found) == [f"{number:05}" for number in range(300)]
        for store, _ in heirs:
            await store.close()

    asyncio.run(main())


def test_what_it_has_no_code_of_is_due_for_others(postgres: str, schema: str) -> None:
    async def main() -> None:
        await one_that_died(postgres, schema, 10)
        clock = Still()
        store, me = await heir(postgres, schema, clock)
        await store.serve(me, [("another", "")])
        assert await store.claim(me, clock.now(), 100) == []
        other, it = await heir(postgres, schema, clock)
        await other.serve(it, [("shop.order", "")])
        claims = await other.claim(it, clock.now(), 100)
        assert [(claim.lost, claim.deaths) for claim in claims] == [(True, 1)] * 10
        for each in (store, other):
            await each.close()

    asyncio.run(main())


def test_what_is_paused_waits_for_the_end_of_that(postgres: str, schema: str) -> None:
    async def main() -> None:
        await one_that_died(postgres, schema, 10)
        clock = Still()
        store, me = await heir(postgres, schema, clock)
        audit = AuditRecord(1.0, "pause", "ann", "pause")
        await store.add_pause(Pause(namespace="default", saga="shop.order"), audit)
        assert await store.claim(me, clock.now(), 100) == []
        assert execute(postgres, f"SELECT DISTINCT owner FROM {schema}.executions") == [(None,)]
        await store.end_pause("default", "shop.order", audit)
        assert len(await store.claim(me, clock.now(), 100)) == 10
        await store.close()

    asyncio.run(main())


def test_a_living_worker_has_no_heirs(postgres: str, schema: str) -> None:
    """Suspected is not retired: as long as its fence stands, nothing of it is taken."""

    async def main() -> None:
        dead = await one_that_died(postgres, schema, 10)
        clock = Still()
        store, me = await heir(postgres, schema, clock)
        execute(postgres, f"UPDATE {schema}.fences SET retired = false WHERE incarnation = {dead}")
        assert await store.claim(me, clock.now(), 100) == []
        execute(postgres, f"UPDATE {schema}.fences SET retired = true WHERE incarnation = {dead}")
        clock.at += 2 * BEAT
        assert len(await store.claim(me, clock.now(), 100)) == 10
        await store.close()

    asyncio.run(main())


def test_who_is_retired_inherits_nothing(postgres: str, schema: str) -> None:
    async def main() -> None:
        from amends.errors import Fenced

        await one_that_died(postgres, schema, 10)
        clock = Still()
        store, me = await heir(postgres, schema, clock)
        execute(postgres, f"UPDATE {schema}.fences SET retired = true WHERE incarnation = {me}")
        with pytest.raises(Fenced):
            await store.claim(me, clock.now(), 100)
        owned: list[Any] = execute(postgres, f"SELECT DISTINCT owner FROM {schema}.executions")
        assert owned != [(me,)]
        await store.close()

    asyncio.run(main())
