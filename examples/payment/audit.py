"""What the provider's own books say of each order: ``python audit.py``, or ``python audit.py order-1``.

It knows neither the shop nor amends. With an order's number it fails if the books do not know that order.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import NamedTuple


class Standing(NamedTuple):
    """In cents, and how many times the card was charged."""

    charged: int
    refunded: int
    charges: int


def audit(books: str = "provider.db") -> dict[str, Standing]:
    with closing(sqlite3.connect(f"file:{books}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT order_id, sum(max(ledger.cents, 0)), sum(max(-ledger.cents, 0)), count(DISTINCT payment)"
            " FROM ledger JOIN payments ON payments.id = payment GROUP BY order_id ORDER BY order_id"
        )
        return {order: Standing(*rest) for order, *rest in rows}


if __name__ == "__main__":
    found = audit()
    for order in sys.argv[1:] or found:
        if order not in found:
            sys.exit(f"{order}: nothing was ever charged")
        print(f"{order}: charged {found[order].charged}, refunded {found[order].refunded}")
