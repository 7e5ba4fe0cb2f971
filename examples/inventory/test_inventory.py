"""Two warehouses, each a process with books of its own; what counts is what stands there in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amends import Client, Engine, Handle, Result
from amends.engine.sync import Sync
from examples.inventory.audit import audit
from examples.inventory.fulfil import Answer, Line, Order, Part, Warehouses, answered, fulfil
from tests.docs.projects import Process, copied, free_port, run_readme, running, until

NORTH = {"chairs": 9, "lamps": 2, "rugs-2": 1, "rugs-3": 1, "rugs-4": 1}
SOUTH = {"chairs": 9, "lamps": 1, "rugs-2": 1, "rugs-3": 1, "rugs-4": 1}
NOTHING: dict[str, dict[str, int]] = {"north": {}, "south": {}}


class World:
    """Both warehouses, where they keep their books, and engines that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.urls = {name: f"http://127.0.0.1:{free_port()}" for name in ("north", "south")}
        self.env = {f"{name.upper()}_URL": url for name, url in self.urls.items()}
        self.north: Process

    def engine(self, store: Path, timeout: float = 10) -> Sync:
        warehouses = Warehouses(self.urls, timeout)
        return Engine(f"sqlite:///{store}/orders.db", sagas=[fulfil], resources=[warehouses]).sync

    def books(self, order: str) -> dict[str, dict[str, int]]:
        return audit(order, self.folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(copied("inventory", tmp_path_factory.mktemp("world")))
    with (
        running(world.folder, "warehouse.py", "north", *shelf(NORTH), **world.env) as world.north,
        running(world.folder, "warehouse.py", "south", *shelf(SOUTH), **world.env) as south,
    ):
        world.north.serves()
        south.serves()
        yield world


def shelf(goods: dict[str, int]) -> list[str]:
    return [f"{sku}={quantity}" for sku, quantity in goods.items()]


def place(
    world: World, store: Path, order: Order, answer: Answer | None = None
) -> tuple[Result[list[Part]], dict[str, dict[str, int]]]:
    """How the order ended, and what the warehouses then say of it."""
    with world.engine(store) as engine:
        handle = engine.start(fulfil(order), id=f"order-{order.number}")
        if answer is not None:
            engine.wait(handle.send(answered, answer))
        return engine.wait(handle.outcome()), world.books(order.number)


def test_what_is_there_is_shipped(world: World, tmp_path: Path) -> None:
    result, books = place(world, tmp_path, Order("1", [Line("chairs", 2), Line("chairs", 1)]))
    assert result.value == [Part("chairs", 2, "north"), Part("chairs", 1, "north")]
    assert books == {"north": {"chairs shipped": 3}, "south": {}}


@pytest.mark.parametrize(
    ("number", "answer", "status", "books"),
    [
        ("2", Answer.CANCEL, "compensated", NOTHING),
        (
            "3",
            Answer.WITHOUT,
            "completed",
            {"north": {"chairs shipped": 1, "rugs-3 shipped": 1}, "south": {"rugs-3 shipped": 1}},
        ),
        (
            "4",
            Answer.WAIT,
            "completed",
            {
                "north": {"chairs shipped": 1, "rugs-4 back-ordered": 2, "rugs-4 shipped": 1},
                "south": {"rugs-4 shipped": 1},
            },
        ),
    ],
)
def test_the_customer_decides_about_what_is_missing(
    world: World, tmp_path: Path, number: str, answer: Answer, status: str, books: dict[str, dict[str, int]]
) -> None:
    order = Order(number, [Line("chairs", 1), Line(f"rugs-{number}", 4)])
    result, found = place(world, tmp_path, order, answer)
    assert (result.status, found) == (status, books)


def test_a_line_that_must_be_whole_is_whole_or_nothing(world: World, tmp_path: Path) -> None:
    order = Order("5", [Line("lamps", 4, whole=True), Line("chairs", 1)])
    result, books = place(world, tmp_path, order, Answer.WAIT)
    assert result.value == [Part("chairs", 1, "north"), Part("lamps", 4, "north")]
    assert books == {"north": {"chairs shipped": 1, "lamps back-ordered": 4}, "south": {}}
    result, books = place(world, tmp_path, Order("6", [Line("lamps", 3, whole=True)]))
    assert books == {"north": {"lamps shipped": 2}, "south": {"lamps shipped": 1}}


def test_of_nothing_nothing_is_left(world: World, tmp_path: Path) -> None:
    result, books = place(world, tmp_path, Order("7", [Line("thrones", 1)]), Answer.WITHOUT)
    assert result.status == "compensated"
    assert "nothing is left of the order" in str(result.error)
    assert books == NOTHING


@pytest.mark.slow
def test_a_warehouse_that_does_not_answer_is_left_with_nothing_reserved(world: World, tmp_path: Path) -> None:
    with world.engine(tmp_path, timeout=1) as engine:
        with world.north.frozen():  # what is sent to it now arrives later
            handle = engine.start(fulfil(Order("8", [Line("chairs", 2)])), id="order-8")
            until(lambda: "failed" in entries(engine.wait(handle.history()), "events"), "the last attempt")
        assert engine.wait(handle.result()) == [Part("chairs", 2, "south")]
    assert world.books("8") == {"north": {}, "south": {"chairs shipped": 2}}


def entries(history: list[dict[str, Any]], kind: str) -> list[str]:
    return [entry["type"] for row in history for entry in row[kind]]


@pytest.mark.slow
def test_a_killed_worker_reserves_nothing_twice_and_forgets_nothing(world: World) -> None:
    asyncio.run(killed_twice(world))


async def killed_twice(world: World) -> None:
    """Amid a reservation, and while the customer is asked; the answer comes when nobody works."""
    order = Order("9", [Line("chairs", 2), Line("thrones", 1)])
    async with Client(f"sqlite:///{world.folder}/orders.db") as client:
        with world.north.frozen(), worker(world) as first:
            handle = await client.start(fulfil(order), id="order-9")
            await reaches(handle, "run")
            first.kill()
        with worker(world) as second:
            await reaches(handle, "await")
            second.kill()
        assert world.books("9") == {"north": {"chairs reserved": 2, "thrones back-ordered": 1}, "south": {}}
        await handle.send(answered, Answer.WITHOUT)
        with worker(world):
            assert await handle.result() == [Part("chairs", 2, "north")]
    assert world.books("9") == {"north": {"chairs shipped": 2}, "south": {}}


@contextmanager
def worker(world: World) -> Iterator[Process]:
    with running(world.folder, "-m", "amends", "worker", "fulfil", **world.env) as process:
        process.serves()
        yield process


async def reaches(handle: Handle[Any], command: str) -> None:
    """Wait until the journal holds such a command."""
    async with asyncio.timeout(60):
        while command not in entries(await handle.history(), "commands"):
            await asyncio.sleep(0.01)


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    urls = {f"{name}_URL": f"http://127.0.0.1:{free_port()}" for name in ("NORTH", "SOUTH")}
    run_readme(copied("inventory", tmp_path), **urls)
