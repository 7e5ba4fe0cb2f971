"""The provider is a process of its own; what counts is what stands in its books."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amends import Client, Engine, Result
from amends.engine.sync import Sync
from examples.payment.audit import Standing, audit
from examples.payment.shop import Order, Provider, buy
from tests.docs.projects import Process, copied, free_port, run_readme, running, until

PAID = Standing(charged=700, refunded=0, charges=1)
PAID_BACK = Standing(charged=700, refunded=700, charges=1)


class World:
    """A provider in a process, the folder where it keeps its books, and shops."""

    def __init__(self, folder: Path, provider: Process, url: str) -> None:
        self.folder, self.provider, self.url = folder, provider, url

    def books(self, number: str) -> Standing | None:
        return audit(str(self.folder / "provider.db")).get(number)

    def seals(self) -> int:
        with closing(sqlite3.connect(self.folder / "provider.db")) as db:
            return db.execute("SELECT count(*) FROM amends_barrier WHERE state = 'sealed'").fetchone()[0]

    def shop(self, store: Path, timeout: float = 20) -> Sync:
        provider = Provider(self.url, timeout=timeout)
        return Engine(f"sqlite:///{store}/shop.db", sagas=[buy], resources=[provider]).sync


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = copied("payment", tmp_path_factory.mktemp("world"))
    url = f"http://127.0.0.1:{free_port()}"
    with running(folder, "provider.py", PROVIDER_URL=url) as provider:
        provider.serves()
        yield World(folder, provider, url)


def place(world: World, store: Path, order: Order) -> Result[str]:
    with world.shop(store) as shop:
        return shop.wait(shop.start(buy(order), id=f"order-{order.number}").outcome())


def test_a_good_card_is_charged_once(world: World, tmp_path: Path) -> None:
    assert place(world, tmp_path, Order("1", "good", 700)).status == "completed"
    assert place(world, tmp_path, Order("1", "good", 700)).status == "completed"  # the same order
    assert world.books("1") == PAID


def test_a_declined_card_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    result = place(world, tmp_path, Order("2", "declined", 700))
    assert result.status == "compensated"
    assert "card declined" in str(result.error)
    assert world.books("2") is None


def test_when_every_reply_is_lost_the_probe_finds_the_payment(world: World, tmp_path: Path) -> None:
    assert place(world, tmp_path, Order("3", "reply-lost", 700)).status == "completed"
    assert world.books("3") == PAID


def test_when_every_request_is_lost_the_probe_seals_the_key(world: World, tmp_path: Path) -> None:
    before = world.seals()
    result = place(world, tmp_path, Order("4", "request-lost", 700))
    assert result.status == "compensated"
    assert "payment.charge rejected" in str(result.error)  # certain, so there was nothing to undo
    assert world.books("4") is None
    assert world.seals() == before + 1


def test_compensated_means_that_the_refund_is_booked(world: World, tmp_path: Path) -> None:
    result = place(world, tmp_path, Order("5", "good", 700, address="nowhere"))
    assert result.status == "compensated"
    assert world.books("5") == PAID_BACK


def test_a_refund_that_bounces_waits_for_a_person(world: World, tmp_path: Path) -> None:
    with world.shop(tmp_path) as shop:
        handle = shop.start(buy(Order("6", "expired", 700, address="nowhere")), id="order-6")
        stuck = shop.wait(handle.outcome())
        assert (stuck.status, stuck.items[0]["step"]) == ("attention", "payment.charge")
        assert "pay them back another way" in str(stuck.items[0])
        assert world.books("6") == PAID
        shop.wait(handle.resolve(None, "paid back by bank transfer", by="kim"))
        assert shop.wait(handle.outcome()).status == "compensated"
        assert [record.by for record in shop.wait(handle.audit())] == ["kim"]


@pytest.mark.slow
def test_when_nobody_can_tell_it_is_refunded_in_case_it_was_paid(world: World, tmp_path: Path) -> None:
    with world.shop(tmp_path, timeout=1) as shop:
        with world.provider.frozen():  # what is sent to it now arrives later
            handle = shop.start(buy(Order("7", "good", 700)), id="order-7")
            until(
                lambda: "failed" in events(shop.wait(handle.history())), "all attempts and the probe to end"
            )
        result = shop.wait(handle.outcome())
    assert result.status == "compensated"
    assert "payment.charge unknown" in str(result.error)
    assert world.books("7") in (None, PAID_BACK)  # refused as hanging, or made and paid back


def events(history: list) -> list[str]:
    return [event["type"] for row in history for event in row["events"]]


@pytest.mark.slow
def test_a_worker_killed_amid_the_payment_does_not_pay_twice(world: World) -> None:
    asyncio.run(killed_amid_the_payment(world))


async def killed_amid_the_payment(world: World) -> None:
    serve = ("-m", "amends", "worker", "shop")
    async with Client(f"sqlite:///{world.folder}/shop.db") as client:
        with running(world.folder, *serve, PROVIDER_URL=world.url) as worker:
            handle = await client.start(buy(Order("8", "slow", 700)), id="order-8")
            until(lambda: world.books("8"), "the payment", worker)
            worker.kill()
        assert (await handle.status()).status == "running"
        with running(world.folder, *serve, PROVIDER_URL=world.url):
            assert await handle.result()
    assert world.books("8") == PAID


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    run_readme(copied("payment", tmp_path), PROVIDER_URL=f"http://127.0.0.1:{free_port()}")
