"""What the warehouses' own books say of an order, net: ``python audit.py 1``. It knows no saga and no amends.

It fails if a shelf does not hold what was delivered less what is reserved and shipped.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAREHOUSES = ("north", "south")
NET = """
SELECT sku || ' ' || account AS what, sum(quantity) AS net FROM ledger WHERE order_id = ?
GROUP BY sku, account HAVING net <> 0 ORDER BY what
"""
WRONG = """
SELECT sku, delivered - quantity - coalesce((
    SELECT sum(ledger.quantity) FROM ledger WHERE sku = shelf.sku AND account <> 'back-ordered'
), 0) AS missing FROM shelf WHERE missing <> 0
"""


def audit(order: str, folder: Path = Path()) -> dict[str, dict[str, int]]:
    """For example ``{"north": {"chairs shipped": 2}, "south": {}}``. Raises ValueError for a wrong shelf."""
    if wrong := [(name, *row) for name in WAREHOUSES for row in look(folder / f"{name}.db", WRONG)]:
        raise ValueError(f"shelves and ledgers differ: {wrong}")
    return {name: dict(look(folder / f"{name}.db", NET, order)) for name in WAREHOUSES}


def look(path: Path, sql: str, *values: str) -> Iterator[Any]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield from db.execute(sql, values)
    finally:
        db.close()


if __name__ == "__main__":
    for warehouse, net in audit(sys.argv[1]).items():
        print(f"{warehouse}: " + (", ".join(f"{count} {what}" for what, count in net.items()) or "nothing"))
