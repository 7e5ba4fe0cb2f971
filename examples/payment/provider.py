"""A payment provider, as its authors would write it: routes, books, the barrier. It knows nothing of sagas.

Run it: ``python provider.py``. Its books are ``provider.db``. There are cards to test with, as everywhere
(`Card`). A refund is accepted at once and booked by the next clearing, as everywhere.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit
from uuid import uuid4

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Response
from pydantic import BaseModel

from amends import Rejected
from amends.participants.barrier import Barrier, Found, Key
from amends.participants.barrier.web import status
from amends.participants.barrier.web.starlette import install, key

CLEARING = 0.2  # seconds between two clearings
SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    id TEXT PRIMARY KEY, action TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, card TEXT NOT NULL,
    cents INTEGER NOT NULL, refund TEXT NOT NULL DEFAULT 'none'
) STRICT;
CREATE TABLE IF NOT EXISTS ledger (payment TEXT NOT NULL REFERENCES payments, cents INTEGER NOT NULL) STRICT;
"""


class Card(StrEnum):
    """Cards to test with. Any other one is charged, and that is that."""

    DECLINED = "declined"
    EXPIRED = "expired"  # charged; a refund bounces
    SLOW = "slow"  # charged; the answer takes a minute
    REPLY_LOST = "reply-lost"  # charged; a gateway loses the answer, each time
    REQUEST_LOST = "request-lost"  # a gateway loses the request, each time


class Charge(BaseModel):
    order: str
    card: str
    cents: int


class Payment(BaseModel):
    id: str
    cents: int


class Books:
    """One SQLite file. What is done for a request is done in the transaction of the barrier's row."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        self.barrier = Barrier()
        self.barrier.create_table(self.db)

    def charge(self, key: Key, wanted: Charge, payment: Payment) -> Payment:
        """Once per key; every copy is answered like the first."""

        def work() -> None:
            if wanted.card == Card.DECLINED:
                raise Rejected("card declined")
            row = (payment.id, key.action, wanted.order, wanted.card, payment.cents)
            self.db.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?, 'none')", row)
            self.db.execute("INSERT INTO ledger VALUES (?, ?)", (payment.id, payment.cents))

        return Payment(**self.barrier.run(self.db, key, work, reply=payment.model_dump()))

    def refund(self, key: Key) -> None:
        """Accept to give back what this key's action charged, if it charged anything."""

        def work() -> None:
            self.db.execute("UPDATE payments SET refund = 'accepted' WHERE action = ?", (key.action,))

        self.barrier.run(self.db, key, work)

    def refund_state(self, key: Key) -> str:
        """``accepted``, ``booked``, ``bounced``, or ``nothing`` to refund."""
        found = self.db.execute("SELECT refund FROM payments WHERE action = ?", (key.action,)).fetchone()
        return found[0] if found else "nothing"

    def seal(self, key: Key) -> Found:
        """What became of this key. If nothing, nothing ever will: that is what makes the answer certain."""
        with self.transaction():
            return self.barrier.seal(self.db, key)

    def clear(self) -> None:
        """Book the refunds that were accepted; those to expired cards bounce."""
        with self.transaction():
            bounce = "UPDATE payments SET refund = 'bounced' WHERE refund = 'accepted' AND card = ?"
            self.db.execute(bounce, (Card.EXPIRED,))
            self.db.execute("INSERT INTO ledger SELECT id, -cents FROM payments WHERE refund = 'accepted'")
            self.db.execute("UPDATE payments SET refund = 'booked' WHERE refund = 'accepted'")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        with self.db:  # commits, or rolls back
            yield


ByKey = Annotated[Key, Depends(key)]


def make(path: str) -> FastAPI:
    """The provider's web application on books of its own."""
    books = Books(path)

    @asynccontextmanager
    async def clearing(app: FastAPI) -> AsyncIterator[None]:
        async def forever() -> None:
            while True:
                await asyncio.sleep(CLEARING)
                books.clear()

        task = asyncio.create_task(forever())
        yield
        task.cancel()

    app = FastAPI(lifespan=clearing)
    install(app)  # answers what the barrier raises

    @app.post("/payments", status_code=201)
    async def pay(wanted: Charge, key: ByKey) -> Payment:
        if wanted.card == Card.REQUEST_LOST:
            raise HTTPException(504)
        mine = Payment(id=f"p-{uuid4().hex[:8]}", cents=wanted.cents)
        payment = books.charge(key, wanted, mine)
        if wanted.card == Card.REPLY_LOST:
            raise HTTPException(504)
        if wanted.card == Card.SLOW and payment == mine:  # the first copy
            await asyncio.sleep(60)
        return payment

    @app.get("/payments/by-key")
    async def find(key: ByKey) -> Response:
        said = status(books.seal(key))
        return Response(said.body, said.status, said.headers)

    @app.post("/refunds", status_code=202)
    async def refund(key: ByKey) -> None:
        books.refund(key)

    @app.get("/refunds/by-key")
    async def find_refund(key: ByKey) -> str:
        return books.refund_state(key)

    return app


if __name__ == "__main__":
    here = urlsplit(os.environ.get("PROVIDER_URL", "http://127.0.0.1:8101"))
    uvicorn.run(make("provider.db"), host=here.hostname or "", port=here.port or 0, access_log=False)
