"""A warehouse: a shelf, a ledger that is only ever added to, and the barrier before both. It knows no sagas.

Run it: ``python warehouse.py north chairs=3 lamps=2``; the goods are put on the shelf when the books are new.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from amends import Rejected
from amends.participants.barrier import Barrier, Key
from amends.participants.barrier.web.starlette import install, key

URLS = {
    "north": os.environ.get("NORTH_URL", "http://127.0.0.1:8111"),
    "south": os.environ.get("SOUTH_URL", "http://127.0.0.1:8112"),
}
SCHEMA = """
CREATE TABLE shelf (
    sku TEXT PRIMARY KEY, delivered INTEGER NOT NULL, quantity INTEGER NOT NULL CHECK (quantity >= 0)
) STRICT;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, action TEXT NOT NULL, order_id TEXT NOT NULL, sku TEXT NOT NULL,
    account TEXT NOT NULL, quantity INTEGER NOT NULL
) STRICT;
"""


class Goods(BaseModel):
    order: str
    sku: str
    quantity: int


class Books:
    """One SQLite file. Accounts of an order: ``reserved``, ``shipped``, ``back-ordered``."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.barrier = Barrier()

    def once(self, key: Key, work: Callable[[], int]) -> int:
        """Do the work in one transaction with the barrier's row; a copy gets the first one's answer."""
        return self.barrier.run(self.db, key, work) or 0

    def reserve(self, key: Key, wanted: Goods) -> int:
        """As many as there are, up to what is wanted. Rejected if there are none."""
        found = self.db.execute("SELECT quantity FROM shelf WHERE sku = ?", (wanted.sku,)).fetchone()
        quantity = min(wanted.quantity, found[0] if found else 0)
        if not quantity:
            raise Rejected(f"no {wanted.sku} left")
        self.put(wanted.sku, -quantity)
        self.note(key, wanted, "reserved", quantity)
        return quantity

    def back_order(self, key: Key, wanted: Goods) -> int:
        self.note(key, wanted, "back-ordered", wanted.quantity)
        return wanted.quantity

    def ship(self, key: Key, wanted: Goods) -> int:
        self.note(key, wanted, "reserved", -wanted.quantity)
        self.note(key, wanted, "shipped", wanted.quantity)
        return wanted.quantity

    def undo(self, key: Key) -> int:
        """Write the opposite of what this key's action wrote; put back what it took from the shelf."""
        rows = self.db.execute(
            "SELECT order_id, sku, account, quantity FROM ledger WHERE action = ?", (key.action,)
        ).fetchall()
        for order, sku, account, quantity in rows:
            if account == "reserved":
                self.put(sku, quantity)
            self.note(key, Goods(order=order, sku=sku, quantity=quantity), account, -quantity)
        return len(rows)

    def put(self, sku: str, quantity: int) -> None:
        self.db.execute("UPDATE shelf SET quantity = quantity + ? WHERE sku = ?", (quantity, sku))

    def note(self, key: Key, goods: Goods, account: str, quantity: int) -> None:
        line = (key.action, goods.order, goods.sku, account, quantity)
        self.db.execute(
            "INSERT INTO ledger (action, order_id, sku, account, quantity) VALUES (?, ?, ?, ?, ?)", line
        )


def open_books(path: str, shelf: dict[str, int]) -> None:
    """Make new books with these goods on the shelf."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        db.executemany("INSERT INTO shelf VALUES (?, ?, ?)", [(sku, n, n) for sku, n in shelf.items()])
        Barrier().create_table(db)


ByKey = Annotated[Key, Depends(key)]


def make(path: str) -> FastAPI:
    """The warehouse's web application on these books."""
    books = Books(path)
    app = FastAPI()
    install(app)  # answers what the barrier raises

    @app.post("/reservations")
    async def reserve(wanted: Goods, key: ByKey) -> int:
        return books.once(key, lambda: books.reserve(key, wanted))

    @app.post("/back-orders")
    async def back_order(wanted: Goods, key: ByKey) -> int:
        return books.once(key, lambda: books.back_order(key, wanted))

    @app.post("/shipments")
    async def ship(wanted: Goods, key: ByKey) -> int:
        return books.once(key, lambda: books.ship(key, wanted))

    @app.post("/undo")
    async def undo(key: ByKey) -> int:
        return books.once(key, lambda: books.undo(key))

    return app


if __name__ == "__main__":
    name, *goods = sys.argv[1:]
    if not Path(f"{name}.db").exists():
        open_books(f"{name}.db", {sku: int(count) for sku, count in (each.split("=") for each in goods)})
    here = urlsplit(URLS[name])
    uvicorn.run(make(f"{name}.db"), host=here.hostname or "", port=here.port or 0, access_log=False)
