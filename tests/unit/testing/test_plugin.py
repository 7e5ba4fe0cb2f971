"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
from amends import Resource, current, injected, saga, step


class Bank:
    def __init__(self):
        self.payments = {}

    def pay(self, key):
        self.payments[key] = 100

    def refund(self, key):
        self.payments.pop(key, None)


def key():
    return current().idempotency_key.rpartition("/")[0]


@step(name="shop.charge")
async def charge(bank: Resource[Bank] = injected) -> None:
    bank.pay(key())


@charge.compensation
async def refund(_: None, bank: Resource[Bank] = injected) -> None:
    bank.refund(key())


@step(name="shop.ship")
async def ship() -> None: ...


@saga(name="shop.order")
async def order() -> None:
    await charge()
    await ship()


@pytest.fixture
def call():
    return order()


@pytest.mark.explore(participants=Bank, accept=["late"])
def test_right(call):
    return call


@pytest.mark.explore(participants=Bank)
def test_wrong():
    return order()


def test_one_path(saga):
    report = saga.run(order(), "ship:2#1=rejected", participants=Bank)
    assert report.status == "compensated"
    assert report.participants[0].payments == {}


def test_a_path_that_is_wrong(saga):
    saga.replay(order(), "charge:1#1=late", participants=Bank)


def test_explored(saga):
    assert saga.explore(order(), participants=Bank, without=["late"]).runs > 50
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_marks_the_fixture_and_the_summary(processes: int, tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS, encoding="utf-8")
    options = ["-n", str(processes), "-p", "no:cacheprovider", "-q", "-W", "error", "--strict-markers"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--explore-faults", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout
    assert "2 failed, 3 passed" in said, said + done.stderr
    assert "a request of shop.charge that arrives after its compensation" in said
    assert "replay: charge:1#1=late" in said
    assert "saga coverage" in said
    assert "explorer.py" not in said  # tracebacks end where the user's code does
    summary = said.partition("saga coverage")[2]
    assert "shop.charge" in summary
    assert "shop.ship" in summary


def test_a_session_without_sagas_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x(): assert not {'amends.kernel', 'apsw', 'amends.testing.explore'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "saga coverage" not in done.stdout
