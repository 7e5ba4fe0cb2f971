"""A new colleague: everything is prepared, then a manager decides.

Account, mailbox and permissions are made at once. Then the saga waits for days, at the cost of one row in the
database, and reminds the manager every day. A no, or no answer, takes everything back. After a yes there
is no way back: the account is opened, the welcome mail goes out.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from office import Office

import amends
from amends import Engine, Rejected, Resource, Retry, Signal, current, injected, saga, step

DECIDE_WITHIN = timedelta(days=3)
REMIND_EVERY = timedelta(days=1)
SYSTEMS = ("calendar", "wiki")

UNDO = Retry(attempts=None, delay=1, cap=300)


@dataclass(frozen=True)
class Hire:
    """Who begins, and whose yes it takes."""

    login: str
    name: str
    manager: str

    @property
    def address(self) -> str:
        return f"{self.login}@example.com"


@dataclass(frozen=True)
class Decision:
    """What the manager said."""

    by: str
    approved: bool
    reason: str = ""


decision = Signal[Decision]("onboarding.decision")


# ---------------------------------------------------------------- prepared, and taken back


@step(name="onboarding.create_account", timeout=10, remembers_rejections=True)
def create_account(hire: Hire, office: Resource[Office] = injected) -> str:
    office.change(
        current().idempotency_key,
        "INSERT INTO accounts (login, name) VALUES (?, ?)",
        hire.login,
        hire.name,
        taken=f"the login {hire.login} is taken",
    )
    return hire.login


@create_account.compensation(retry=UNDO)
def delete_account(login: str | None, hire: Hire, office: Resource[Office] = injected) -> None:
    # Without a login nobody knows whether there is an account. The office does: by the key.
    office.change(current().idempotency_key, "DELETE FROM accounts WHERE login = ?", hire.login)


@step(name="onboarding.create_mailbox", timeout=10, remembers_rejections=True)
def create_mailbox(hire: Hire, office: Resource[Office] = injected) -> str:
    office.change(
        current().idempotency_key,
        "INSERT INTO mailboxes VALUES (?)",
        hire.address,
        taken=f"the address {hire.address} is taken",
    )
    return hire.address


@create_mailbox.compensation(retry=UNDO)
def delete_mailbox(address: str | None, hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(current().idempotency_key, "DELETE FROM mailboxes WHERE address = ?", hire.address)


@step(name="onboarding.grant", timeout=10, remembers_rejections=True)
def grant(hire: Hire, system: str, office: Resource[Office] = injected) -> None:
    office.change(current().idempotency_key, "INSERT INTO permissions VALUES (?, ?)", hire.login, system)


@grant.compensation(retry=UNDO)
def revoke(nothing: None, hire: Hire, system: str, office: Resource[Office] = injected) -> None:
    office.change(
        current().idempotency_key,
        "DELETE FROM permissions WHERE login = ? AND system = ?",
        hire.login,
        system,
    )


# ---------------------------------------------------------------- a person decides


@step(name="onboarding.ask", timeout=10)
def ask(hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(
        current().idempotency_key,
        "INSERT INTO approvals (login, manager) VALUES (?, ?)",
        hire.login,
        hire.manager,
    )


@ask.compensation(retry=UNDO)
def withdraw(nothing: None, hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(current().idempotency_key, "DELETE FROM approvals WHERE login = ?", hire.login)


# amends: ignore[AM101] a reminder belongs to its approval, and `withdraw` takes that back
@step(name="onboarding.remind", timeout=10)
def remind(hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(
        current().idempotency_key,
        "UPDATE approvals SET reminders = reminders + 1 WHERE login = ?",
        hire.login,
    )


async def decided(hire: Hire) -> Decision:
    """The manager's answer, reminded every day. Raises TimeoutError when there is none in time."""
    async with asyncio.timeout(DECIDE_WITHIN.total_seconds()):
        while True:
            try:
                return await decision.receive(timeout=REMIND_EVERY)
            except TimeoutError:
                await remind(hire)


# ---------------------------------------------------------------- no way back


@step(name="onboarding.activate", timeout=10, retry=UNDO)
def activate(hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(current().idempotency_key, "UPDATE accounts SET active = 1 WHERE login = ?", hire.login)


@step(name="onboarding.welcome", timeout=10, retry=UNDO)
def welcome(hire: Hire, office: Resource[Office] = injected) -> None:
    office.change(
        current().idempotency_key, "INSERT INTO mails VALUES (?, ?)", hire.login, f"Welcome, {hire.name}"
    )


@saga(name="onboarding.onboard")
async def onboard(hire: Hire) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(create_account(hire))
        group.create_task(create_mailbox(hire))
        for system in SYSTEMS:
            group.create_task(grant(hire, system))
    await ask(hire)
    said = await decided(hire)
    if not said.approved:
        raise Rejected(f"{said.by} said no: {said.reason or 'without a reason'}")
    await amends.pivot()
    await activate(hire)
    await welcome(hire)
    return f"{hire.login} begins, approved by {said.by}"


engine = Engine(
    "sqlite:///amends.db",
    sagas=[onboard],
    resources=[Office(Path("office.db"), seconds=float(os.environ.get("OFFICE_SECONDS", "0")))],
)
