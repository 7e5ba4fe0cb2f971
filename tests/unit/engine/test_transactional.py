"""Steps and compensations in one transaction with the journal, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import psycopg
import pytest

import amends
from amends import (
    Compensated,
    Engine,
    NeedsAttention,
    Rejected,
    Resource,
    Retry,
    StepFailed,
    Transaction,
    injected,
    saga,
    step,
)

LOG: list[object] = []


@dataclass
class Place:
    """A database of the test's own, and how its parameters are written."""

    url: str
    mark: str
    query: Callable[[str], tuple[object, ...]]


HERE: list[Place] = []


@pytest.fixture(params=["sqlite", "postgres"], autouse=True)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    LOG.clear()
    if request.param == "sqlite":
        path = f"{tmp_path}/t.db"

        def on_sqlite(sql: str) -> tuple[object, ...]:
            return next(iter(apsw.Connection(path).execute(sql)))

        made = Place(f"sqlite:///{path}", "?", on_sqlite)
    else:
        url = request.getfixturevalue("database")

        def on_postgres(sql: str) -> tuple[object, ...]:
            with psycopg.connect(url) as connection:
                return connection.execute(sql).fetchone() or ()

        made = Place(f"{url}{'&' if '?' in url else '?'}unsafe=true&lease=1", "%s", on_postgres)
    HERE[:] = [made]
    return made


def insert(tx: Transaction, amount: int | None) -> None:
    tx.execute(f"INSERT INTO money VALUES ({HERE[0].mark})", (amount,))


def run(call, place: Place):
    async def main():
        async with Engine(place.url) as engine:
            return await engine.run(call, id="x")

    return asyncio.run(main())


@step(name="run.move", transaction=True)
def move(amount: int, tx: Resource[Transaction] = injected) -> int:
    tx.execute("CREATE TABLE IF NOT EXISTS money (amount INTEGER)")
    insert(tx, amount)
    if amount < 0:
        raise ValueError("no debts")
    return tx.execute("SELECT sum(amount) FROM money")[0][0]


@saga(name="run.moves")
async def moves(amounts: list[int]) -> list[object]:
    seen: list[object] = []
    for amount in amounts:
        try:
            seen.append(await move(amount))
        except StepFailed as failed:
            seen.append(f"{failed.type} {failed.outcome}")
    return seen


def test_a_transactional_step_commits_with_its_row_or_not_at_all(place):
    assert run(moves([5, -1, 2]), place) == [5, "ValueError rejected", 7]


@pytest.mark.parametrize("retried", [True, False])
def test_whatever_a_transactional_step_raises_is_certainly_without_effect(place, retried):
    """Errors keep their types: policies that name them hold here, too."""
    tries = []

    @step(name="run.own_error", transaction=True, retry=Retry(attempts=2, delay=0.001, never=[KeyError]))
    def own_error(tx: Resource[Transaction] = injected) -> None:
        tries.append(1)
        raise amends.DefinitionError("an error of amends itself") if retried else KeyError("no")

    @saga(name="run.own_errors")
    async def own_errors() -> str:
        try:
            await own_error()
        except StepFailed as failed:
            return f"{failed.type} {failed.outcome}"
        return "?"

    told = "DefinitionError rejected" if retried else "KeyError rejected"
    assert run(own_errors(), place) == told
    assert len(tries) == (2 if retried else 1)


def test_a_transactional_step_knows_who_it_is(place):
    @step(name="run.who", transaction=True)
    def who(tx: Resource[Transaction] = injected) -> str:
        return amends.current().idempotency_key

    @saga(name="run.whos")
    async def whos() -> str:
        return await who()

    key = run(whos(), place)
    assert key.endswith("/do")


def transfer(*, fails: list[str], verified: bool = False, plain: bool = True):
    """Takes money in one transaction, fails then, and gives it back in another."""

    @step(name="run.take", transaction=True)
    def take(amount: int, tx: Resource[Transaction] = injected) -> int:
        tx.execute("CREATE TABLE IF NOT EXISTS money (amount INTEGER)")
        insert(tx, -amount)
        return amount

    if plain:

        @take.compensation(retry=Retry(attempts=3, delay=0.001))
        def give_back(taken: int | None, amount: int, tx: Resource[Transaction] = injected) -> None:
            insert(tx, taken)
            LOG.append(amends.current().idempotency_key.rpartition("/")[2])
            if fails:
                raise ValueError(fails.pop())
    else:

        @take.compensation(retry=Retry(attempts=1))
        async def give_back_async(
            taken: int | None, amount: int, tx: Resource[Transaction] = injected
        ) -> None:
            LOG.append("never")

    if verified:

        @take.verify
        def balanced(taken: int | None, amount: int, tx: Resource[Transaction] = injected) -> bool:
            LOG.append("checked")
            return tx.execute("SELECT sum(amount) FROM money")[0][0] == (
                1 if LOG.count("checked") == 1 else 0
            )

    @step(name="run.refuse")
    async def refuse() -> None:
        raise Rejected("no")

    @saga(name="run.transfer")
    async def transfers() -> None:
        await take(100)
        await refuse()

    return transfers()


def balance(place: Place):
    return place.query("SELECT sum(amount), count(*) FROM money")


@pytest.mark.parametrize("failures", [0, 2])
def test_a_transactional_compensation_commits_with_its_row_or_not_at_all(place, failures):
    with pytest.raises(Compensated):
        run(transfer(fails=["?"] * failures), place)
    assert ["undo"] * (failures + 1) == LOG
    assert balance(place) == (0, 2)


def test_the_check_of_a_transactional_compensation_rolls_it_back(place):
    with pytest.raises(Compensated):
        run(transfer(fails=[], verified=True), place)
    assert LOG == ["undo", "checked"] * 2
    assert balance(place) == (0, 2)


def test_a_transaction_that_waits_for_its_turn_is_dropped_when_the_saga_gives_up(place):
    @step(name="run.first", transaction=True)
    def first(tx: Resource[Transaction] = injected) -> None:
        raise Rejected("no")

    @step(name="run.second", transaction=True)
    def second(tx: Resource[Transaction] = injected) -> None:
        LOG.append("the effect")

    @saga(name="run.both")
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(first())
            group.create_task(second())

    with pytest.raises(Compensated):
        run(both(), place)
    assert LOG == []


def test_parallel_transactions_of_one_saga_take_turns(place, caplog):
    @saga(name="run.parallel")
    async def parallel(amounts: list[int]) -> list[int]:
        return await asyncio.gather(*(move(amount) for amount in amounts))

    assert run(parallel([1, 2, 3, 4]), place) == [1, 3, 6, 10]
    assert "loading again" not in caplog.text


def test_an_async_compensation_cannot_have_a_transaction(place):
    with pytest.raises(NeedsAttention, match="plain def"):
        run(transfer(fails=[], plain=False), place)
    assert LOG == []


KILLED = """
import asyncio, os, sys, time
import amends
from amends import Engine, Resource, Transaction, injected, saga, step

@step(name="run.slow_deposit", transaction=True)
def deposit(tx: Resource[Transaction] = injected) -> None:
    tx.execute("CREATE TABLE IF NOT EXISTS money (amount INTEGER)")
    tx.execute("INSERT INTO money VALUES (7)")
    if len(sys.argv) > 2:
        open(sys.argv[2], "w").close()
        time.sleep(60)

@saga(name="run.slow_deposits")
async def deposits() -> str:
    await deposit()
    return "done"

async def main():
    async with Engine(sys.argv[1], sagas=[deposits]) as engine:
        print(await engine.run(deposits(), id="x"))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_worker_killed_in_the_transaction_leaves_nothing_and_the_step_happens_once(place, tmp_path):
    script, mark = tmp_path / "worker.py", tmp_path / "inside"
    script.write_text(textwrap.dedent(KILLED))
    victim = subprocess.Popen([sys.executable, script, place.url, mark])
    for _ in range(1000):
        if mark.exists():
            break
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    said = subprocess.run(
        [sys.executable, script, place.url], capture_output=True, text=True, timeout=60, check=False
    )
    assert said.stdout == "done\n", said.stderr
    assert place.query("SELECT sum(amount), count(*) FROM money") == (7, 1)
