"""The audit: what the services' own books say, and nothing else. It knows neither amends nor the orders.

Each order must be *delivered* (money, stock, label and parcel are all net one) or *undone* (all net
zero, as many cents given back as were taken).  What else is kept account of follows: an invoice
stands if the order was delivered, and not if it was undone.  The ledgers themselves must add up,
line by line, and no action may count twice.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .services import SERVICES
from .services.books import Line, book_path, look

CORE = ("money", "stock", "label", "parcel")
REPEATABLE = {"reminder"}  # may stand any number of times once an order is delivered
ACTIVITIES = {
    ("stock", True): "place order",
    ("invoice", True): "send invoice",
    ("reminder", True): "send reminder",
    ("money", True): "pay",
    ("invoice", False): "cancel order",
    ("label", True): "prepare delivery",
    ("parcel", True): "make delivery",
    ("receipt", True): "confirm payment",
}
"""What a line of a ledger is called in a process log, by account and whether it was done or undone."""


@dataclass
class Account:
    """The figures of one account over all orders."""

    done: int = 0
    undone: int = 0
    amount: int = 0


@dataclass
class Report:
    """The result of an audit. No `findings`: all is as it must be."""

    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    delivered: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    activities: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    charged: int = 0
    refunded: int = 0
    findings: list[str] = field(default_factory=list)


def audit(folder: Path) -> Report:
    """Read the books of a run and judge them."""
    report = Report()
    orders: dict[str, list[Line]] = defaultdict(list)
    for service in SERVICES:
        lines = _ledger(book_path(folder, service), report)
        report.findings += [f"{service}.db: {said}" for said in _chain(lines)]
        for line in lines:
            orders[line.order].append(line)
            _count(line, report)
    in_use = [*CORE, *sorted(report.accounts.keys() - {*CORE})]
    for order in sorted(orders):
        report.findings += [f"{order}: {said}" for said in _judge(order, orders[order], in_use, report)]
    return report


def _ledger(path: Path, report: Report) -> list[Line]:
    if not path.exists():
        report.findings.append(f"{path.name} is missing")
        return []
    try:
        damage = [str(row[0]) for row in look(path, "PRAGMA integrity_check") if row[0] != "ok"]
        rows = look(path, "SELECT id, at, order_id, account, key, amount, balance FROM ledger ORDER BY id")
    except sqlite3.DatabaseError as error:
        damage, rows = [str(error)], []
    report.findings += [f"{path.name} is damaged: {said}" for said in damage]
    return [Line(*row) for row in rows]


def _chain(lines: list[Line]) -> Iterator[str]:
    """Lines must follow each other, balances come from the one before, and each key count once."""
    balances: Counter[str] = Counter()
    counted: Counter[tuple[str, bool]] = Counter()
    for number, line in enumerate(lines, 1):
        if line.id != number:
            yield f"line {number} of the ledger is missing, or out of order"
            return
        balances[line.account] += line.amount
        if balances[line.account] != line.balance:
            yield (
                f"line {number} does not add up: {line.account} {line.amount:+} gives"
                f" {balances[line.account]}, written is {line.balance}"
            )
            balances[line.account] = line.balance
        counted[line.key, line.amount > 0] += 1
        if counted[line.key, line.amount > 0] == 2:
            what = "done" if line.amount > 0 else "undone"
            yield f"line {number}: the action {line.key} of {line.order} was {what} twice"


def _count(line: Line, report: Report) -> None:
    account = report.accounts[line.account]
    account.done += line.amount > 0
    account.undone += line.amount < 0
    account.amount += line.amount
    if line.account == "money":
        report.charged += max(0, line.amount)
        report.refunded += max(0, -line.amount)
    if activity := ACTIVITIES.get((line.account, line.amount > 0)):
        report.activities[line.order][activity] += 1


def _judge(order: str, lines: Iterable[Line], in_use: list[str], report: Report) -> Iterator[str]:
    """Net one, or net zero, in everything; each thing done once at most."""
    net, done, amount = Counter[str](), Counter[str](), Counter[str]()
    for line in lines:
        net[line.account] += 1 if line.amount > 0 else -1
        done[line.account] += line.amount > 0
        amount[line.account] += line.amount
    single = [account for account in in_use if account not in REPEATABLE]
    if all(net[account] == 1 for account in single):
        report.delivered.add(order)
    elif not any(net[account] for account in in_use):
        report.undone.add(order)
    else:
        yield "neither delivered nor undone: " + ", ".join(f"{account} {net[account]}" for account in in_use)
    yield from (
        f"{account} was done {done[account]} times, under different keys"
        for account in single
        if done[account] > 1
    )
    yield from (
        f"{account} was done and undone, and {amount[account]:+} is left"
        for account in in_use
        if net[account] == 0 and amount[account]
    )
