"""Group commit for clients: what comes together is committed together, and fails alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from amends.errors import StoreError, UnknownName
from amends.store import SqliteStore, gathering
from amends.store.kit.support import UNSTORABLE, header, inbox_of, to
from amends.store.port import AuditRecord, Query


class Counting(SqliteStore):
    """A store that counts its transactions."""

    transactions = 0

    async def open(self) -> None:
        await super().open()
        self._writer.connection().set_commit_hook(self._count)

    def _count(self) -> bool:
        self.transactions += 1
        return False


def run(path: Path, main: Any, **options: Any) -> None:
    async def whole() -> None:
        store = Counting(path, **options)
        await store.open()
        await main(store)
        await store.close()

    asyncio.run(whole())


@pytest.mark.parametrize("options", [{}, {"inline_rows": 0}])
def test_many_orders_share_a_transaction(tmp_path: Path, options: dict[str, Any]) -> None:
    async def main(store: Counting) -> None:
        made = await asyncio.gather(*(store.create(header(f"{n:05}")) for n in range(2500)))
        assert made == [True] * 2500
        assert store.transactions <= 2500 // gathering.MOST + 2
        before = store.transactions
        await asyncio.gather(*(store.send([to(f"{n:05}", f"[{n}]")]) for n in range(2500)))
        assert store.transactions - before <= 2500 // gathering.MOST + 2
        assert await inbox_of(store, "00007") == ["[7]"]
        assert len(await store.headers(Query(limit=5000))) == 2500

    run(tmp_path / "x.db", main, **options)


def test_single_order_waits_for_nothing(tmp_path: Path) -> None:
    async def main(store: Counting) -> None:
        assert await store.create(header("a"))
        assert store.transactions == 1

    run(tmp_path / "x.db", main)


def test_bad_order_fails_alone(tmp_path: Path) -> None:
    """An unknown receiver, a text that cannot be stored and an id that exists are their senders' business
    only."""

    async def main(store: Counting) -> None:
        await store.create(header("a", id="x"))
        record = AuditRecord(1.0, "a", "me", "send")
        answers = await asyncio.gather(
            store.send([to("a", "[1]")], [record]),
            store.send([to("a", "[2]"), to("nobody")], [record]),
            store.create(header("b")),
            store.create(header("c", input=UNSTORABLE)),
            store.create(header("d", id="x")),
            store.send([to("a", UNSTORABLE)]),
            store.send([to("b", "[3]")]),
            store.create(header("b")),
            return_exceptions=True,
        )
        assert answers[0] is None
        assert isinstance(answers[1], UnknownName)
        assert answers[2] is True
        assert type(answers[3]) is StoreError
        assert answers[4] is False
        assert type(answers[5]) is StoreError
        assert answers[6] is None
        assert answers[7] is False
        assert await inbox_of(store, "a") == ["[1]"]
        assert await inbox_of(store, "b") == ["[3]"]
        assert await store.audited("a") == [record]
        assert [head.uid for head in await store.headers(Query())] == ["b", "a"]
        assert store.transactions == 2

    run(tmp_path / "x.db", main)


def test_same_id_twice_in_one_transaction(tmp_path: Path) -> None:
    async def main(store: Counting) -> None:
        made = await asyncio.gather(*(store.create(header(uid, id="x")) for uid in "abc"))
        assert made == [True, False, False]
        made = await asyncio.gather(*(store.create(header("d")) for _ in range(3)))
        assert sorted(made) == [False, False, True]

    run(tmp_path / "x.db", main)


def test_cancelled_before_its_turn_never_happens(tmp_path: Path) -> None:
    async def main(store: Counting) -> None:
        orders = [asyncio.ensure_future(store.create(header(uid))) for uid in "abc"]
        asyncio.get_running_loop().call_soon(orders[1].cancel)
        await asyncio.gather(*orders, return_exceptions=True)
        assert [head.uid for head in await store.headers(Query())] in (["c", "a"], ["c", "b", "a"])
        assert await store.create(header("d"))

    run(tmp_path / "x.db", main)


def test_orders_after_the_end_are_refused(tmp_path: Path) -> None:
    async def main(store: Counting) -> None:
        order = asyncio.ensure_future(store.create(header("a")))
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(order, return_exceptions=True)
        with pytest.raises(StoreError, match="not open"):
            await store.create(header("b"))
        await store.open()
        assert await store.create(header("b"))

    run(tmp_path / "x.db", main)


def test_two_event_loops_in_turn(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    asyncio.run(store.open())
    assert asyncio.run(store.create(header("a")))
    assert asyncio.run(store.create(header("b")))
    assert not asyncio.run(store.create(header("a")))
    asyncio.run(store.close())
