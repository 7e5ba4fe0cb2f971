"""A salon: its calendar, its till, the mails it sends, and the barrier before all three. It knows no sagas.

Run it: ``python salon.py``. Its books are ``salon.db``. Customers pay when they book. Who calls off gets
the money back less a fee, which depends on how early the salon hears of it (`TERMS`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import AwareDatetime, BaseModel

from amends import Rejected
from amends.participants.barrier import Barrier, Key
from amends.participants.barrier.web.starlette import install, key

TERMS = (  # at least so early: so many per cent are kept
    (timedelta(hours=24), 0),
    (timedelta(hours=2), 50),
    (timedelta.min, 100),
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS calendar (
    slot TEXT PRIMARY KEY, action TEXT NOT NULL, customer TEXT NOT NULL, cents INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS till (customer TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS mails (customer TEXT NOT NULL, text TEXT NOT NULL) STRICT;
"""


class Visit(BaseModel):
    customer: str
    at: AwareDatetime
    cents: int

    @property
    def slot(self) -> str:
        return self.at.astimezone(UTC).isoformat()


class Ticket(BaseModel):
    number: str


class CallOff(BaseModel):
    """`confirmed`: did the customer ever hear that the slot is booked?"""

    confirmed: bool


class Mail(BaseModel):
    customer: str
    text: str


def fee(cents: int, early: timedelta) -> int:
    """What is kept of the price when a visit is called off so early."""
    return cents * next(percent for least, percent in TERMS if early >= least) // 100


class Books:
    """One SQLite file. What is done for a request is done in the transaction of the barrier's row: `once`."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        self.barrier = Barrier()
        self.barrier.create_table(self.db)

    def book(self, key: Key, visit: Visit) -> Ticket:
        def work() -> None:
            if self.db.execute("SELECT 1 FROM calendar WHERE slot = ?", (visit.slot,)).fetchone():
                raise Rejected(f"{visit.slot} is taken")
            row = (visit.slot, key.action, visit.customer, visit.cents)
            self.db.execute("INSERT INTO calendar VALUES (?, ?, ?, ?, 0)", row)
            self.db.execute("INSERT INTO till VALUES (?, ?)", (visit.customer, visit.cents))

        return Ticket(number=self.once(key, work, reply=f"t-{uuid4().hex[:8]}"))

    def call_off(self, key: Key, said: CallOff) -> int | None:
        """Free the slot and give the money back, less the fee. What nobody confirmed costs nothing."""

        def work() -> int:
            found = "SELECT slot, customer, cents FROM calendar WHERE action = ?"
            slot, customer, cents = self.db.execute(found, (key.action,)).fetchone()
            early = datetime.fromisoformat(slot) - datetime.now(UTC)
            kept = fee(cents, early) if said.confirmed else 0
            self.db.execute("DELETE FROM calendar WHERE slot = ?", (slot,))
            self.db.execute("INSERT INTO till VALUES (?, ?)", (customer, kept - cents))
            return kept

        answer: int | None = self.once(key, work)
        return answer

    def carry_out(self, key: Key, visit: Visit) -> None:
        done = "UPDATE calendar SET done = 1 WHERE slot = ?"
        self.once(key, lambda: self.db.execute(done, (visit.slot,)) and None)

    def mail(self, key: Key, mail: Mail) -> None:
        row = (mail.customer, mail.text)
        self.once(key, lambda: self.db.execute("INSERT INTO mails VALUES (?, ?)", row) and None)

    def once(self, key: Key, work: Callable[[], object], reply: str | None = None) -> Any:
        """A copy gets the first one's answer: a fee does not grow while somebody asks again."""
        return self.barrier.run(self.db, key, work, reply=reply)


ByKey = Annotated[Key, Depends(key)]


def make(path: str) -> FastAPI:
    """The salon's web application on books of its own."""
    books = Books(path)
    app = FastAPI()
    install(app)  # answers what the barrier raises

    @app.post("/visits")
    async def book(visit: Visit, key: ByKey) -> Ticket:
        return books.book(key, visit)

    @app.post("/visits/call-off")
    async def call_off(said: CallOff, key: ByKey) -> int | None:
        return books.call_off(key, said)

    @app.post("/visits/carry-out")
    async def carry_out(visit: Visit, key: ByKey) -> None:
        books.carry_out(key, visit)

    @app.post("/mails")
    async def mail(mail: Mail, key: ByKey) -> None:
        books.mail(key, mail)

    return app


if __name__ == "__main__":
    here = urlsplit(os.environ.get("SALON_URL", "http://127.0.0.1:8121"))
    uvicorn.run(make("salon.db"), host=here.hostname or "", port=here.port or 0, access_log=False)
