"""Another bank: accounts over HTTP, with books of its own in `other_bank.db`, guarded by the barrier.

``python other_bank.py`` serves it. With ``--lost-replies N`` so many credits are done and nobody is told.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from amends import Rejected
from amends.participants.barrier import Barrier
from amends.participants.barrier.web import key_of
from amends.participants.barrier.web.starlette import install

CUSTOMERS = ("zoe", "yan")
SCHEMA = "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, payer TEXT, payee TEXT, cents INTEGER)"

barrier = Barrier()


class Books:
    """A ledger that is only ever added to."""

    def __init__(self, file: str = "other_bank.db") -> None:
        self.db = sqlite3.connect(file, isolation_level=None)
        self.db.execute(SCHEMA)
        barrier.create_table(self.db)

    def entry(self, order: dict[str, Any], cents: int) -> Callable[[], None]:
        """The work for the barrier: a line in the ledger."""

        def work() -> None:
            if order["payee"] not in CUSTOMERS:
                raise Rejected(f"nobody here is called {order['payee']}")
            line = (order["payer"], order["payee"], cents)
            self.db.execute("INSERT INTO entries (payer, payee, cents) VALUES (?, ?, ?)", line)

        return work


def application(books: Books, lost_replies: int = 0) -> Starlette:
    """The bank behind HTTP."""
    to_lose = iter(range(lost_replies))

    async def credit(request: Request) -> Response:
        order = await request.json()
        barrier.run(books.db, key_of(request.headers, "do"), books.entry(order, order["cents"]))
        if next(to_lose, None) is not None:
            raise OSError("it is done, and nobody will be told")  # a 500
        return Response(status_code=204)

    async def reverse(request: Request) -> Response:
        order = await request.json()
        barrier.run(books.db, key_of(request.headers, "undo"), books.entry(order, -order["cents"]))
        return Response(status_code=204)

    app = Starlette(
        routes=[
            Route("/accounts/{name}/credit", credit, methods=["POST"]),
            Route("/accounts/{name}/reverse", reverse, methods=["POST"]),
        ]
    )
    install(app)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="another bank")
    parser.add_argument(
        "--lost-replies", type=int, default=0, help="so many credits are done and nobody is told"
    )
    app = application(Books(), parser.parse_args().lost_replies)
    uvicorn.run(app, port=int(os.environ.get("BANK_PORT", "8701")), access_log=False)
