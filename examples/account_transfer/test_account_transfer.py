from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import apsw
import audit
import pytest
from transfers import OtherBank, Transfer, deposit, remit, transfer

from amends import Client, Engine, Result, SagaCall
from tests.docs.projects import Process, copied, free_port, listening, run_readme, running, until

ENDED = {"completed", "compensated"}


class Banks:
    """The example in a folder of its own: the processes, and the books of both banks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"sqlite:///{folder}/amends.db"

    def engine(self) -> Engine:
        bank = OtherBank(f"http://127.0.0.1:{self.port}")
        return Engine(self.url, sagas=[deposit, transfer, remit], resources=[bank])

    def run(self, *calls: SagaCall[None]) -> list[Result[None]]:
        """All of them at once."""

        async def run() -> list[Result[None]]:
            async with self.engine() as engine:
                handles = [await engine.start(call) for call in calls]
                return list(await asyncio.gather(*(handle.outcome() for handle in handles)))

        return asyncio.run(run())

    @contextmanager
    def other(self, *options: str) -> Iterator[Process]:
        with running(self.folder, "other_bank.py", *options, BANK_PORT=self.port) as process:
            until(partial(listening, self.port), "the other bank", process)
            yield process

    def worker(self) -> AbstractContextManager[Process]:
        return running(self.folder, "-m", "amends", "worker", "transfers", BANK_PORT=self.port)

    def start(self, calls: dict[str, SagaCall[None]]) -> None:
        async def start() -> None:
            async with Client(self.url) as client:
                for id, call in calls.items():
                    await client.start(call, id=id)

        asyncio.run(start())

    def statuses(self) -> dict[str, str]:
        async def look() -> dict[str, str]:
            async with Client(self.url) as client:
                return {found.id: found.status for found in await client.list(limit=1000)}

        return asyncio.run(look())

    # ------------------------------------------------------------ what the books say

    def balances(self) -> dict[str, int]:
        """Of customers."""
        return {name: cents for name, cents in audit.balances(self.folder).items() if name[0] != "("}

    def entries(self) -> Counter[str]:
        """How many our ledger has under each execution."""
        return Counter(name for (name,) in audit.ours(self.folder, "SELECT reference FROM entries"))

    def have_entered(self, many: int) -> bool:
        return self.entries().total() >= many

    def credited(self) -> list[int]:
        return [cents for (cents,) in audit.theirs(self.folder, "SELECT cents FROM entries ORDER BY id")]


@pytest.fixture
def banks(tmp_path: Path) -> Iterator[Banks]:
    banks = Banks(copied("account_transfer", tmp_path))
    banks.run(deposit("ada", 1000), deposit("ben", 500))
    yield banks
    assert audit.complaints(banks.folder) == []


def statuses(results: list[Result[None]]) -> list[str]:
    return [result.status for result in results]


def test_both_sides_move_in_one_commit(banks: Banks) -> None:
    assert statuses(banks.run(transfer(Transfer("ada", "ben", 300)))) == ["completed"]
    assert banks.balances() == {"ada": 700, "ben": 800}


@pytest.mark.parametrize("order", [Transfer("ada", "ben", 1001), Transfer("ada", "nobody", 1)])
def test_what_is_refused_moves_nothing(banks: Banks, order: Transfer) -> None:
    before = banks.entries()
    assert statuses(banks.run(transfer(order))) == ["compensated"]
    assert (banks.balances(), banks.entries()) == ({"ada": 1000, "ben": 500}, before)


def test_no_more_is_spent_than_there_is_however_many_try_at_once(banks: Banks) -> None:
    ended = Counter(statuses(banks.run(*[transfer(Transfer("ada", "ben", 30)) for _ in range(100)])))
    assert ended == {"completed": 33, "compensated": 67}
    assert banks.balances() == {"ada": 10, "ben": 1490}


def test_another_bank_has_it_or_the_payer_has_it_back(banks: Banks) -> None:
    with banks.other():
        orders = [Transfer("ada", "zoe", 300), Transfer("ada", "nobody", 200), Transfer("ada", "yan", 1)]
        assert statuses(banks.run(*map(remit, orders))) == ["completed", "compensated", "completed"]
    assert banks.balances()["ada"] == 699
    assert sorted(banks.credited()) == [1, 300]


def test_what_the_other_bank_may_or_may_not_have_done_is_reversed(banks: Banks) -> None:
    with banks.other("--lost-replies=1000"):
        (done,) = banks.run(remit(Transfer("ada", "zoe", 300)))
    assert done.status == "compensated"
    assert "unknown" in str(done.error)
    assert banks.balances()["ada"] == 1000
    assert banks.credited() == [300, -300]


@pytest.mark.slow
def test_killed_again_and_again(banks: Banks) -> None:
    there, back = Transfer("ada", "ben", 3), Transfer("ben", "ada", 2)
    inside = {f"t-{n}": transfer(there if n % 2 else back) for n in range(60)}
    abroad = {f"r-{n}": remit(Transfer("ada", "nobody" if n % 3 == 0 else "zoe", 5)) for n in range(30)}
    banks.start(inside | abroad)
    with banks.other("--lost-replies=5") as other:
        for share in (0.1, 0.4, 0.8):
            with banks.worker() as worker:
                enough = int(share * 2 * (len(inside) + 2 * len(abroad)))
                until(partial(banks.have_entered, enough), "progress", worker, other)
                worker.kill()
        with banks.worker() as worker:
            until(lambda: set(banks.statuses().values()) <= ENDED, "all to end", worker, other)
    ended, entries = banks.statuses(), banks.entries()
    assert {ended[id] for id in inside} == {"completed"}
    assert {entries[id] for id in inside} == {2}
    assert {entries[id] for id in abroad} == {4}  # withdrawn, and settled or given back
    sent = [id for id in abroad if ended[id] == "completed"]
    assert {f"r-{n}" for n in range(0, 30, 3)}.isdisjoint(sent)
    assert sum(banks.credited()) == 5 * len(sent)
    assert banks.balances() == {"ada": 1000 - 30 * 3 + 30 * 2 - 5 * len(sent), "ben": 500 + 30 * 3 - 30 * 2}


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("ada", "ada has 701, its entries say 700"),
        ("(in transit)", "1 cents are still in transit"),
        ("(other bank)", "we owe the other bank 301, it has paid out 300"),
    ],
)
def test_the_audit_finds_what_does_not_add_up(banks: Banks, account: str, said: str) -> None:
    with banks.other():
        banks.run(remit(Transfer("ada", "zoe", 300)))
    with closing(apsw.Connection(str(banks.folder / "amends.db"))) as books:
        books.execute("UPDATE accounts SET balance = balance + 1 WHERE name = ?", (account,))
        assert said in audit.complaints(banks.folder)
        books.execute("UPDATE accounts SET balance = balance - 1 WHERE name = ?", (account,))


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    run_readme(copied("account_transfer", tmp_path), BANK_PORT=free_port())
