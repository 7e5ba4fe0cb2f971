"""A bank's transfers. Its accounts live in the same SQLite file as the sagas.

So a step of the bank's own is one transaction with the journal: the money has moved exactly if the journal
says so, and no crash, retry or duplicate can come between the two. No keys, no barrier.

Another bank is another matter. It is asked over HTTP, and the money is kept in transit until it has said yes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import amends
from amends import Engine, Rejected, Resource, Retry, Transaction, current, injected, saga, step
from amends.participants.http import HttpClient

CASH = "(cash)"  # where money comes from: its balance is below zero by what customers have
TRANSIT = "(in transit)"
OTHER_BANK = "(other bank)"  # what we owe it

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, reference TEXT, account TEXT, cents INT)",
)


@dataclass(frozen=True)
class Transfer:
    """From whom, to whom, how much."""

    payer: str
    payee: str
    cents: int


def post(tx: Transaction, debit: str, credit: str, cents: int) -> None:
    """Double entry: what one account loses, another one gains, under the id of the execution."""
    for account, change in ((debit, -cents), (credit, cents)):
        tx.execute("INSERT INTO entries VALUES (NULL, ?, ?, ?)", (current().id, account, change))
        if not tx.execute(
            "UPDATE accounts SET balance = balance + ? WHERE name = ? RETURNING 1", (change, account)
        ):
            raise Rejected(f"there is no account {account}")  # rolls all of it back


def pay(tx: Transaction, payer: str, credit: str, cents: int) -> None:
    """The same, if the payer has so much."""
    post(tx, payer, credit, cents)
    ((balance,),) = tx.execute("SELECT balance FROM accounts WHERE name = ?", (payer,))
    if balance < 0:
        raise Rejected(f"{payer} has {balance + cents} cents, not {cents}")


# ---------------------------------------------------------------- within the bank


@step(name="bank.pay_in", transaction=True)
def pay_in(name: str, cents: int, tx: Resource[Transaction] = injected) -> None:
    for statement in SCHEMA:
        tx.execute(statement)
    for account in (CASH, TRANSIT, OTHER_BANK, name):
        tx.execute("INSERT OR IGNORE INTO accounts VALUES (?, 0)", (account,))
    post(tx, CASH, name, cents)


@pay_in.compensation
def pay_out(nothing: None, name: str, cents: int, tx: Resource[Transaction] = injected) -> None:
    post(tx, name, CASH, cents)


@step(name="bank.move", transaction=True)
def move(order: Transfer, tx: Resource[Transaction] = injected) -> None:
    pay(tx, order.payer, order.payee, order.cents)


@move.compensation
def move_back(nothing: None, order: Transfer, tx: Resource[Transaction] = injected) -> None:
    post(tx, order.payee, order.payer, order.cents)


@saga(name="bank.deposit")
async def deposit(name: str, cents: int) -> None:
    """Cash over the counter; the first opens the account."""
    await pay_in(name, cents)


@saga(name="bank.transfer")
async def transfer(order: Transfer) -> None:
    """Both sides in one commit. Undone only if it is cancelled at the very last moment."""
    await move(order)


# ---------------------------------------------------------------- to another bank


class OtherBank(HttpClient):
    """Its API."""


@step(name="bank.withdraw", transaction=True)
def withdraw(order: Transfer, tx: Resource[Transaction] = injected) -> None:
    pay(tx, order.payer, TRANSIT, order.cents)


@withdraw.compensation
def give_back(nothing: None, order: Transfer, tx: Resource[Transaction] = injected) -> None:
    # One transaction with the journal as well. It cannot be refused: what is in transit nobody can spend.
    post(tx, TRANSIT, order.payer, order.cents)


@step(name="bank.credit", timeout=10, retry=Retry(attempts=5, delay=0.2), remembers_rejections=True)
async def credit(order: Transfer, bank: Resource[OtherBank] = injected) -> None:
    await bank.post(f"/accounts/{order.payee}/credit", json=order)


@credit.compensation(timeout=10, retry=Retry(attempts=None, delay=0.2, cap=60))
async def reverse(nothing: None, order: Transfer, bank: Resource[OtherBank] = injected) -> None:
    await bank.post(f"/accounts/{order.payee}/reverse", json=order)


@step(name="bank.settle", transaction=True)
def settle(order: Transfer, tx: Resource[Transaction] = injected) -> None:
    post(tx, TRANSIT, OTHER_BANK, order.cents)


@saga(name="bank.remit")
async def remit(order: Transfer) -> None:
    await withdraw(order)
    await credit(order)
    await amends.pivot()  # the payee has it
    await settle(order)


engine = Engine(
    "sqlite:///amends.db",
    sagas=[deposit, transfer, remit],
    resources=[OtherBank(f"http://127.0.0.1:{os.environ.get('BANK_PORT', '8701')}", timeout=5)],
)
