"""A service as its authors would write it: a route, the books, the barrier. Of faults it knows nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ...errors import Rejected
from ...participants.barrier import Barrier, Entry, Key, State
from ...participants.barrier.web import key_of
from ...participants.barrier.web.starlette import install
from . import ABLATION, ACCOUNTS, NO_BARRIER
from .books import Books

Refuses = Callable[[str, str], str | None]

barrier = Barrier()


def service(name: str, books: Books, refuses: Refuses) -> Starlette:
    """The web application of a service. `refuses` says why an order is refused in an account, if it is."""
    guarded = os.environ.get(ABLATION) != NO_BARRIER
    barrier.create_table(books.connection)

    async def act(request: Request) -> JSONResponse:
        account, direction = request.path_params["account"], request.path_params["direction"]
        if account not in ACCOUNTS[name] or direction not in ("do", "undo"):
            return JSONResponse({"error": f"{name} has no {account}/{direction}"}, 404)
        wanted = await request.json()
        order, key = wanted["order"], key_of(request.headers, direction)
        amount = wanted["amount"] if direction == "do" else -wanted["amount"]
        reason = refuses(order, account) if direction == "do" else None
        if not guarded:
            return JSONResponse(_blindly(books, key, order, account, amount, reason))
        entry = _once(books, key, order, account, amount, reason)
        request.state.verdict = "rejected" if entry.state is State.REJECTED else entry.verdict.value
        return JSONResponse(entry.answer())

    app = Starlette(routes=[Route("/{account}/{direction}", act, methods=["POST"])])
    install(app)
    return app


def _once(books: Books, key: Key, order: str, account: str, amount: int, reason: str | None) -> Entry:
    """The books and the barrier in one transaction."""
    books.connection.execute("BEGIN IMMEDIATE")
    with books.connection:  # commits, or rolls back
        if reason is not None:
            return barrier.reject(books.connection, key, reason)
        entry = barrier.enter(books.connection, key, reply=f"{account}-{secrets.token_hex(4)}")
        if entry.execute:
            books.enter(key.action, order, account, amount)
    return entry


def _blindly(books: Books, key: Key, order: str, account: str, amount: int, reason: str | None) -> str:
    """What a service without a barrier does: as it is told, each time. The ablation."""
    if reason is not None:
        raise Rejected(reason)
    books.connection.execute("BEGIN IMMEDIATE")
    with books.connection:
        books.enter(key.action, order, account, amount)
    return f"{account}-{order}"
