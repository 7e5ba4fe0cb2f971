"""The salon is a process of its own; what counts is what stands in its till, its calendar and its mails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amends import Client, Engine, Handle
from amends.engine.sync import Sync
from examples.service_booking.audit import Account, audit
from examples.service_booking.booking import Booking, Salon, called_off, visit
from tests.docs.projects import Process, copied, free_port, run_readme, running, until

PRICE = 40_00
REMINDED = ("see you tomorrow",)
TOLD = (*REMINDED, "your visit is called off")
FREE, HALF, ALL = timedelta(days=3), timedelta(hours=5), timedelta(minutes=40)  # how early, for which fee


class Later:
    """The machine's clock, so much later."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, by: timedelta) -> None:
        self.by = by.total_seconds()

    def now(self) -> float:
        return time.time() + self.by


class World:
    """A salon in a process, the folder where it keeps its books, and engines that use it."""

    def __init__(self, folder: Path, salon: Process, url: str) -> None:
        self.folder, self.salon, self.url = folder, salon, url

    def engine(self, store: Path, later: timedelta = timedelta(0), timeout: float = 10) -> Sync:
        salon = Salon(self.url, timeout=timeout)
        return Engine(
            f"sqlite:///{store}/visits.db", sagas=[visit], resources=[salon], clock=Later(later)
        ).sync

    def books(self, customer: str) -> Account:
        return audit(customer, f"{self.folder}/salon.db")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = copied("service_booking", tmp_path_factory.mktemp("world"))
    url = f"http://127.0.0.1:{free_port()}"
    with running(folder, "salon.py", SALON_URL=url) as salon:
        salon.serves()
        yield World(folder, salon, url)


def booking(customer: str, early: timedelta) -> Booking:
    return Booking(customer, datetime.now(UTC) + early, PRICE)


async def count(handle: Handle[Any], what: str) -> int:
    """How often this stands in the journal: an event or a command."""
    rows = await handle.history()
    return sum(entry["type"] == what for row in rows for entry in (*row["events"], *row["commands"]))


def test_the_day_before_a_reminder_on_the_day_the_visit(world: World, tmp_path: Path) -> None:
    with world.engine(tmp_path) as engine:
        handle = engine.start(visit(booking("Ada", FREE)), id="ada")
        until(lambda: world.books("Ada").visits, "the booking")
    with world.engine(tmp_path, FREE - timedelta(hours=23)) as engine:  # nobody worked in between
        until(lambda: world.books("Ada").mails, "the reminder")
        assert world.books("Ada") == Account(paid=PRICE, visits=1, mails=REMINDED)
    with world.engine(tmp_path, FREE + timedelta(hours=1)) as engine:
        handle = engine.engine.handle(visit, "ada")
        assert engine.wait(handle.result()).number.startswith("t-")
    assert world.books("Ada") == Account(paid=PRICE, visits=1, done=1, mails=REMINDED)


@pytest.mark.parametrize(
    ("customer", "early", "fee", "mails"),
    [("Bob", FREE, 0, ()), ("Cy", HALF, PRICE // 2, TOLD), ("Di", ALL, PRICE, TOLD)],
)
@pytest.mark.parametrize("way", ["signal", "cancel"])
def test_who_calls_off_pays_a_fee_by_how_late_it_is(
    world: World, tmp_path: Path, way: str, customer: str, early: timedelta, fee: int, mails: tuple[str, ...]
) -> None:
    customer = f"{customer}, by {way}"
    with world.engine(tmp_path) as engine:
        handle = engine.start(visit(booking(customer, early)), id="visit")
        until(
            lambda: engine.wait(count(handle, "await")) and world.books(customer).mails == mails[:1],
            "the wait",
        )
        if way == "signal":
            engine.wait(handle.send(called_off, "ill"))
        else:
            engine.wait(handle.cancel("ill"))
        assert engine.wait(handle.outcome()).status == "compensated"
    assert world.books(customer) == Account(PRICE, given_back=PRICE - fee, visits=0, mails=mails)


def test_a_slot_that_is_taken_costs_nothing_and_is_free_once_called_off(world: World, tmp_path: Path) -> None:
    at = datetime.now(UTC) + FREE
    with world.engine(tmp_path) as engine:
        first = engine.start(visit(Booking("Eve", at)), id="eve")
        until(lambda: world.books("Eve").visits, "Eve's booking")
        second = engine.wait(engine.start(visit(Booking("Flo", at)), id="flo").outcome())
        assert second.status == "compensated"
        assert "is taken" in str(second.error)
        assert world.books("Flo") == Account()
        engine.wait(first.send(called_off, "Flo may have it"))
        engine.wait(first.outcome())
        engine.start(visit(Booking("Flo", at)), id="flo-again")
        until(lambda: world.books("Flo") == Account(PRICE, visits=1), "Flo's booking")


@pytest.mark.slow
def test_what_nobody_confirmed_is_given_up_without_a_fee(world: World, tmp_path: Path) -> None:
    with world.engine(tmp_path, timeout=1) as engine:
        with world.salon.frozen():  # what is sent to it now arrives later
            handle = engine.start(visit(booking("Gus", ALL)), id="gus")
            until(lambda: engine.wait(count(handle, "failed")), "the last attempt")
        assert engine.wait(handle.outcome()).status == "compensated"
    books = world.books("Gus")
    assert books.paid == books.given_back
    assert books.visits == 0


def test_a_call_counts_even_if_the_day_passes_before_anybody_works(world: World, tmp_path: Path) -> None:
    with world.engine(tmp_path) as engine:
        handle = engine.start(visit(booking("Ivy", FREE)), id="ivy")
        until(lambda: engine.wait(count(handle, "await")), "the wait")
    asyncio.run(call_off_from_elsewhere(f"sqlite:///{tmp_path}/visits.db", "ivy"))
    with world.engine(tmp_path, FREE + timedelta(hours=1)) as engine:
        assert engine.wait(engine.engine.handle(visit, "ivy").outcome()).status == "compensated"
    assert world.books("Ivy") == Account(PRICE, given_back=PRICE)


async def call_off_from_elsewhere(store: str, id: str) -> None:
    async with Client(store) as client:
        await client.handle(visit, id).send(called_off, "ill")


@pytest.mark.slow
def test_a_worker_is_killed_and_a_visit_called_off_while_nobody_works(world: World) -> None:
    asyncio.run(called_off_while_nobody_works(world))


async def called_off_while_nobody_works(world: World) -> None:
    serve = ("-m", "amends", "worker", "booking")
    async with Client(f"sqlite:///{world.folder}/visits.db") as client:
        with running(world.folder, *serve, SALON_URL=world.url) as worker:
            handle = await client.start(visit(booking("Hal", HALF)), id="hal")
            async with asyncio.timeout(60):  # until it waits for the visit
                while await count(handle, "await") < 2:
                    await asyncio.sleep(0.01)
            worker.kill()
        await handle.send(called_off, "found another salon", key="web form 7")
        await handle.send(called_off, "found another salon", key="web form 7")  # an impatient customer
        assert world.books("Hal") == Account(PRICE, visits=1, mails=REMINDED)
        with running(world.folder, *serve, SALON_URL=world.url):
            assert (await handle.outcome()).status == "compensated"
    assert world.books("Hal") == Account(PRICE, given_back=PRICE // 2, mails=TOLD)


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    run_readme(copied("service_booking", tmp_path), SALON_URL=f"http://127.0.0.1:{free_port()}")
