"""A service as its authors would write it: a route, the books, the barrier. Of faults it knows nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from . import ABLATION, ACCOUNTS
from .books import Books
from .once import Answer, Refusal, once

STATUS = {"rejected": 422, "hanging": 409}
Refuses = Callable[[str, str], str | None]


def service(name: str, books: Books, refuses: Refuses) -> Starlette:
    """The web application of a service. `refuses` says why an order is refused in an account, if it is."""
    guarded = os.environ.get(ABLATION) != "no-barrier"

    async def act(request: Request) -> JSONResponse:
        account, direction = request.path_params["account"], request.path_params["direction"]
        if account not in ACCOUNTS[name] or direction not in ("do", "undo"):
            return JSONResponse({"error": f"{name} has no {account}/{direction}"}, 404)
        wanted = await request.json()
        order, amount = wanted["order"], wanted["amount"]
        key, _, _ = request.headers["idempotency-key"].strip('"').rpartition("/")

        def effect() -> str:
            if direction == "do" and (reason := refuses(order, account)):
                raise Refusal(reason)
            return books.enter(key, order, account, amount if direction == "do" else -amount)

        answer = once(books.connection, key, direction, effect) if guarded else _blindly(books, effect)
        request.state.verdict = answer.verdict
        return JSONResponse({"id": answer.reply}, STATUS.get(answer.verdict, 200))

    return Starlette(routes=[Route("/{account}/{direction}", act, methods=["POST"])])


def _blindly(books: Books, effect: Callable[[], str]) -> Answer:
    """What a service without a barrier does: as it is told, each time."""
    try:
        return Answer("execute", effect())
    except Refusal as refusal:
        return Answer("rejected", str(refusal))
