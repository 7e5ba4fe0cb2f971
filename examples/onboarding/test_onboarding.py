from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from office import TABLES, Office
from onboarding import Decision, Hire, decision, onboard

from amends import Client, Engine, Result
from tests.docs.projects import copied, run_readme, running, until

ADA = Hire("ada", "Ada Lovelace", "grace")
NOTHING: dict[str, list[tuple[object, ...]]] = {table: [] for table in TABLES}


class Later:
    """The machine's clock, so much later."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, by: timedelta) -> None:
        self.by = by.total_seconds()

    def now(self) -> float:
        return time.time() + self.by


class Company:
    """The office, and the saga's store; each engine is a process that begins so much later."""

    def __init__(self, folder: Path) -> None:
        self.office = Office(folder / "office.db")
        self.url = f"sqlite:///{folder}/amends.db"

    def engine(self, later: timedelta = timedelta(0)) -> Engine:
        return Engine(self.url, sagas=[onboard], resources=[self.office], clock=Later(later))

    def books(self) -> dict[str, list[tuple[object, ...]]]:
        return {table: self.office.rows(table) for table in TABLES}

    def has_reminded(self, times: int) -> bool:
        return [row[2] for row in self.office.rows("approvals")] == [times]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def onboarded(company: Company, said: Decision) -> Result[str]:
    with company.engine().sync as engine:
        handle = engine.start(onboard(ADA), id="ada")
        engine.wait(handle.send(decision, said))
        return engine.wait(handle.outcome())


def test_a_yes_opens_the_account(company: Company) -> None:
    assert onboarded(company, Decision("grace", True)).value == "ada begins, approved by grace"
    assert company.books() == {
        "accounts": [("ada", "Ada Lovelace", 1)],
        "mailboxes": [("ada@example.com",)],
        "permissions": [("ada", "calendar"), ("ada", "wiki")],
        "approvals": [("ada", "grace", 0)],
        "mails": [("ada", "Welcome, Ada Lovelace")],
    }


def test_a_no_takes_everything_back(company: Company) -> None:
    assert onboarded(company, Decision("grace", False, "no budget")).status == "compensated"
    assert company.books() == NOTHING


def test_a_login_that_is_taken_is_refused_and_stays_with_its_owner(company: Company) -> None:
    company.office.change("another/0/1/do", "INSERT INTO accounts VALUES ('ada', 'Ada Byron', 1)")
    done = onboarded(company, Decision("grace", True))
    assert done.status == "compensated"
    assert company.books() == {**NOTHING, "accounts": [("ada", "Ada Byron", 1)]}


def test_silence_is_a_no_after_three_days_and_a_reminder_each_day(company: Company) -> None:
    with company.engine().sync as engine:
        engine.start(onboard(ADA), id="ada")
        until(lambda: company.office.rows("approvals"), "the manager to be asked")
    assert company.has_reminded(0)
    for days in (1, 2):  # nobody works in between: a wait needs no process
        with company.engine(timedelta(days=days, minutes=1)).sync as engine:
            until(partial(company.has_reminded, days), f"reminder {days}")
    with company.engine(timedelta(days=3, minutes=10)).sync as engine:
        done = engine.wait(engine.engine.handle(onboard, "ada").outcome())
    assert (done.status, done.error and done.error["type"]) == ("compensated", "TimeoutError")
    assert company.books() == NOTHING


def test_a_yes_in_time_counts_though_nobody_works_until_later(company: Company) -> None:
    with company.engine().sync as engine:
        engine.start(onboard(ADA), id="ada")
        until(lambda: company.office.rows("approvals"), "the manager to be asked")
    asyncio.run(answered(company.url, Decision("grace", True)))
    with company.engine(timedelta(days=4)).sync as engine:
        assert engine.wait(engine.engine.handle(onboard, "ada").outcome()).status == "completed"
    assert company.has_reminded(0)


def test_who_does_not_come_after_all_leaves_nothing(company: Company) -> None:
    with company.engine().sync as engine:
        handle = engine.start(onboard(ADA), id="ada")
        until(lambda: company.office.rows("approvals"), "the manager to be asked")
        engine.wait(handle.cancel("took another job"))
        assert engine.wait(handle.outcome()).status == "compensated"
    assert company.books() == NOTHING


class Silent(Office):
    """Does what it is asked to, and never says so for mailboxes."""

    def change(self, key: str, sql: str, *values: object, taken: str = "") -> None:
        super().change(key, sql, *values, taken=taken)
        if sql.startswith("INSERT INTO mailboxes"):
            raise ConnectionResetError("the line broke after the request")


def test_what_may_or_may_not_have_happened_is_taken_back(company: Company) -> None:
    company.office = Silent(company.office.file)
    done = onboarded(company, Decision("grace", True))
    assert done.status == "compensated"
    assert "unknown" in str(done.error)
    assert company.books() == NOTHING


# ---------------------------------------------------------------- processes


async def started(url: str) -> None:
    async with Client(url) as client:
        await client.start(onboard(ADA), id="ada")


async def answered(url: str, said: Decision) -> None:
    async with Client(url) as client:
        await client.handle(onboard, "ada").send(decision, said)


async def status(url: str) -> str:
    async with Client(url) as client:
        return (await client.handle(onboard, "ada").status()).status


@pytest.mark.slow
def test_killed_while_it_prepares_and_while_it_waits(tmp_path: Path) -> None:
    folder = copied("onboarding", tmp_path)
    company = Company(folder)
    worker = ("-m", "amends", "worker", "onboarding")
    asyncio.run(started(company.url))
    with running(folder, *worker, OFFICE_SECONDS="60") as first:
        until(lambda: company.office.rows("accounts"), "an account", first)
        first.kill()  # the account is there, and nobody has heard of it
    with running(folder, *worker) as second:
        until(lambda: company.office.rows("approvals"), "the manager to be asked", second)
        second.kill()
    asyncio.run(answered(company.url, Decision("grace", True)))
    with running(folder, *worker) as third:
        until(lambda: company.office.rows("mails"), "the welcome mail", third)
        third.stop()
    assert asyncio.run(status(company.url)) == "completed"
    assert [len(rows) for rows in company.books().values()] == [1, 1, 2, 1, 1]


@pytest.mark.slow
def test_the_readme(tmp_path: Path) -> None:
    run_readme(copied("onboarding", tmp_path))
