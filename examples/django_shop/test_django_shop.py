from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.docs.projects import (
    PATIENCE,
    Process,
    copied,
    free_port,
    listening,
    run_readme,
    running,
    surroundings,
    until,
)

ENDED = {"completed", "compensated"}


class Site:
    """The example in a folder of its own: its commands, its processes, its books."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.browser = httpx2.Client(base_url=self.address, trust_env=False, timeout=PATIENCE)

    def manage(self, *command: str) -> str:
        return self.run("manage.py", *command)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=surroundings(WAREHOUSE=self.address),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def web(self, slow: float = 0) -> Iterator[Process]:
        command = ("manage.py", "runserver", "--noreload", "--skip-checks", self.port)
        with running(self.folder, *command, SLOW=str(slow)) as process:
            until(partial(listening, self.port), "the site", process)
            yield process

    def worker(self, slow: float = 0) -> AbstractContextManager[Process]:
        return running(self.folder, "manage.py", "work", WAREHOUSE=self.address, SLOW=str(slow))

    def place(self, number: str, item: str, pieces: int, cents: int) -> None:
        basket = {"item": item, "pieces": pieces, "cents": cents}
        assert self.browser.put(f"/orders/{number}", json=basket).status_code == 202

    def status(self, number: str) -> str:
        found: str = self.browser.get(f"/orders/{number}").json()["status"]
        return found

    def ended(self, *numbers: str) -> dict[str, str]:
        until(lambda: all(self.status(number) in ENDED for number in numbers), "the orders to end")
        return {number: self.status(number) for number in numbers}

    def books(self, sql: str) -> list[tuple[str, int]]:
        with closing(sqlite3.connect(self.folder / "shop.db")) as books:
            return books.execute(sql).fetchall()

    def moved(self) -> list[tuple[str, int]]:
        return self.books('SELECT "order", pieces FROM shop_movement ORDER BY id')

    def paid(self) -> list[tuple[str, int]]:
        return self.books('SELECT "order", cents FROM shop_payment ORDER BY id')

    def stock(self) -> dict[str, int]:
        return dict(self.books("SELECT item, left FROM shop_stock"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(copied("django_shop", tmp_path))
    with site.browser:
        yield site


@pytest.fixture
def open_site(site: Site) -> Site:
    site.manage("migrate", "--verbosity", "0")
    site.manage("loaddata", "stock")
    return site


@pytest.mark.slow
def test_orders_are_paid_and_taken_or_neither(open_site: Site) -> None:
    site = open_site
    with site.web(), site.worker():
        site.place("1", "book", 2, 3800)
        site.place("2", "book", 3, 500_000)  # the card is declined
        site.place("3", "piano", 2, 100)  # there is only one
        assert site.ended("1", "2", "3") == {"1": "completed", "2": "compensated", "3": "compensated"}
    assert site.stock() == {"book": 8, "piano": 1}
    assert sorted(site.moved()) == [("1", 2), ("2", -3), ("2", 3)]
    assert site.paid() == [("1", 3800)]


@pytest.mark.slow
def test_killed_between_the_effect_and_the_answer(open_site: Site) -> None:
    site = open_site
    with site.worker(slow=60) as worker, site.web(slow=60) as web:
        site.place("1", "book", 2, 3800)
        until(site.moved, "books to be taken", worker, web)
        web.kill()  # they are taken, and the worker will never hear of it
        with site.web():
            until(site.paid, "the payment", worker)
            worker.kill()  # it is paid, and nobody has written that down
            with site.worker():
                assert site.ended("1") == {"1": "completed"}
    assert (site.moved(), site.paid()) == ([("1", 2)], [("1", 3800)])
    assert site.stock()["book"] == 8


@pytest.mark.slow
def test_cancelled_while_nobody_knows_whether_it_was_taken(open_site: Site) -> None:
    site = open_site
    with site.web(slow=60), site.worker():
        site.place("1", "book", 2, 3800)
        until(site.moved, "books to be taken")
        site.run("-m", "amends", "cancel", "order-1", "--reason", "changed my mind")
        assert site.ended("1") == {"1": "compensated"}
    assert (site.moved(), site.paid()) == ([("1", 2), ("1", -2)], [])
    assert site.stock()["book"] == 10


@pytest.mark.slow
def test_djangos_own_tests(site: Site) -> None:
    said = site.manage("test", "shop")
    assert "Ran 7 tests" in said
    assert "\nOK\n" in said


def test_migrations_are_complete(site: Site) -> None:
    site.manage("makemigrations", "--check", "--dry-run")


def test_sagas_are_checked_with_the_site(site: Site) -> None:
    assert "no issues" in site.manage("check")
    sagas = site.folder / "shop" / "sagas.py"
    sagas.write_text(sagas.read_text().replace("    await take(order)\n", "    take(order)\n"))
    assert "(amends.AM403)" in site.manage("check")


@pytest.mark.slow
def test_the_readme(site: Site) -> None:
    run_readme(site.folder, PORT=site.port, WAREHOUSE=site.address)
