"""Orders, which start sagas and show how they are; and the warehouse, a participant."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_http_methods, require_POST

from amends import Client, IdInUse, Rejected, Status, UnknownName
from amends.participants.barrier.web import key_of

from .models import Movement, Stock
from .sagas import Order, barrier, place_order

# ---------------------------------------------------------------- orders


@dataclass(frozen=True)
class Basket:
    """The body of a PUT."""

    item: str
    pieces: int
    cents: int


@require_http_methods(["GET", "PUT"])
def order(request: HttpRequest, number: str) -> HttpResponse:
    """PUT places the order: it is durable when this answers, and the same PUT again is the same order."""
    try:
        if request.method == "PUT":
            basket = msgspec.json.decode(request.body, type=Basket)
            started = start(Order(number, basket.item, basket.pieces, basket.cents))
            return JsonResponse({"id": started}, status=202)
        now = status(number)
    except msgspec.MsgspecError as error:
        return JsonResponse({"error": str(error)}, status=400)
    except IdInUse as error:
        return JsonResponse({"error": error.message}, status=409)
    except UnknownName as error:
        return JsonResponse({"error": error.message}, status=404)
    return JsonResponse({"status": now.status, "error": (now.error or {}).get("message")})


# A client for each request: it opens a file, nothing more, and survives whatever a server does with processes
# and threads. The sagas run elsewhere, in `manage.py work`.


@async_to_sync
async def start(order: Order) -> str:
    async with Client(settings.AMENDS_STORE) as client:
        return (await client.start(place_order(order), id=f"order-{order.number}")).id


@async_to_sync
async def status(number: str) -> Status:
    async with Client(settings.AMENDS_STORE) as client:
        return await client.handle(place_order, f"order-{number}").status()


# ---------------------------------------------------------------- the warehouse


@require_POST
def take(request: HttpRequest, item: str) -> HttpResponse:
    """Take pieces from the shelf: once for each key, or never if there are too few."""
    order = msgspec.json.decode(request.body, type=Order)

    def work() -> None:
        enough = Stock.objects.filter(item=item, left__gte=order.pieces)
        if not enough.update(left=F("left") - order.pieces):
            raise Rejected(f"there are no {order.pieces} of {item}")  # remembered; the middleware answers 422
        Movement.objects.create(order=order.number, item=item, pieces=order.pieces)

    barrier.run(connection, key_of(request.headers, "do"), work)
    time.sleep(settings.SLOW)
    return HttpResponse(status=204)


@require_POST
def put_back(request: HttpRequest, item: str) -> HttpResponse:
    """Put them back, if they were taken; if they were not, see to it that they never will be."""
    order = msgspec.json.decode(request.body, type=Order)

    def work() -> None:
        Stock.objects.filter(item=item).update(left=F("left") + order.pieces)
        Movement.objects.create(order=order.number, item=item, pieces=-order.pieces)

    barrier.run(connection, key_of(request.headers, "undo"), work)
    return HttpResponse(status=204)
