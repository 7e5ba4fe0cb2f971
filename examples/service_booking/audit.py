"""What the salon's own books say of a customer: ``python audit.py Ada``. It knows no saga and no amends."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import Any


@dataclass
class Account:
    """Money in cents. `visits`: how many stand in the calendar, and how many of those are done."""

    paid: int = 0
    given_back: int = 0
    visits: int = 0
    done: int = 0
    mails: tuple[str, ...] = ()


def audit(customer: str, books: str = "salon.db") -> Account:
    with closing(sqlite3.connect(f"file:{books}?mode=ro", uri=True)) as db:

        def look(what: str) -> list[Any]:
            return db.execute(f"SELECT {what} WHERE customer = ?", (customer,)).fetchall()

        ((paid, given_back),) = look("sum(max(cents, 0)), sum(max(-cents, 0)) FROM till")
        ((visits, done),) = look("count(*), sum(done) FROM calendar")
        mails = tuple(text for (text,) in look("text FROM mails"))
    return Account(paid or 0, given_back or 0, visits, done or 0, mails)


if __name__ == "__main__":
    print(audit(sys.argv[1]))
