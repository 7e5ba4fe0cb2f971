"""Sagas in a web application: the engine lives as long as the application, requests start and ask.

Run it: ``uvicorn app:app``, then

    curl -X PUT localhost:8000/orders/1001 -H 'content-type: application/json' \\
        -d '{"item": "book", "cents": 1900}'

The same PUT again is the same order; that is what the id is for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from amends import Engine, IdInUse, Rejected, UnknownName, saga, step


class Order(BaseModel):
    item: str
    cents: int


@step(name="web.charge")
async def charge(order: Order) -> str:
    if order.cents > 100_000:
        raise Rejected("card declined")
    return f"paid {order.cents}"


@charge.compensation
async def refund(payment: str | None, order: Order) -> None: ...


@step(name="web.ship")
async def ship(order: Order) -> str:
    if order.item == "anvil":
        raise Rejected("too heavy")
    return f"shipped {order.item}"


@ship.compensation
async def recall(parcel: str | None, order: Order) -> None: ...


@saga(name="web.place_order")
async def place_order(order: Order) -> str:
    await charge(order)
    return await ship(order)


def make(url: str = "sqlite:///shop.db") -> FastAPI:
    """The application on a store of its own."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Engine(url, sagas=[place_order]) as engine:
            app.state.engine = engine
            yield

    app = FastAPI(lifespan=lifespan)

    @app.put("/orders/{number}", status_code=202)
    async def put(number: str, order: Order) -> dict[str, Any]:
        try:
            handle = await app.state.engine.start(place_order(order), id=f"order-{number}")
        except IdInUse as error:
            raise HTTPException(409, error.message) from error
        return {"id": handle.id}

    @app.get("/orders/{number}")
    async def get(number: str, wait: bool = False) -> dict[str, Any]:
        handle = app.state.engine.handle(place_order, f"order-{number}")
        try:
            if wait:
                outcome = await handle.outcome()
                return {"status": outcome.status, "result": outcome.value}
            return {"status": (await handle.status()).status}
        except UnknownName as error:
            raise HTTPException(404, error.message) from error

    return app


app = make()
