"""The faulty network in front of a service, as ASGI middleware.

It notes each request, asks the plan which fault it meets, and lets that happen: it holds the request
for longer than the caller waits, holds the reply, breaks the connection, delivers twice, or keeps a
request until another one about the same action has gone through (its retry, or its undo) and delivers
it then.  What it still holds goes through, or is given up, when the run asks for it at the end.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Coroutine
from typing import Any, NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .books import HELD, Books
from .faults import Fault, Plan, Request

RELEASE = "/release"
HOLD = 1.6  # times the caller's timeout: it has certainly given up
AGAIN = 0.05  # seconds until the second delivery
PATIENCE = 20.0  # seconds that a late request is kept at most


class Arrival(NamedTuple):
    """A request as it came in, to be delivered now, later, or twice."""

    request: Request
    scope: Scope
    body: bytes


class Injector:
    """See the module's head. `timeout`: seconds after which callers give up."""

    def __init__(self, app: ASGIApp, books: Books, plan: Plan, timeout: float) -> None:
        self._app = app
        self._books = books
        self._plan = plan
        self._hold = timeout * HOLD
        self._passed: dict[tuple[str, str], asyncio.Event] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == RELEASE:
            await self._release(send)
        else:
            await _or_give_up(self._serve(scope, receive, send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._meet(await self._arrived(scope, receive), send)

    async def _arrived(self, scope: Scope, receive: Receive) -> Arrival:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        _, account, direction = scope["path"].split("/")
        order = msgspec.json.decode(body)["order"]
        attempt = self._books.attempts(order, account, direction) + 1
        return Arrival(Request(order, account, direction, attempt), scope, body)

    async def _meet(self, arrival: Arrival, send: Send) -> None:
        """Let the fault happen that the plan has for this request."""
        fault = self._plan.fault(arrival.request)
        if fault is None or fault is Fault.REJECTED:
            await self._deliver(arrival, send, fault)
        elif fault is Fault.TWICE:
            await self._deliver(arrival, send, None)
            self._spawn(self._again(arrival))
        else:
            if fault is Fault.LATE:
                self._spawn(self._late(arrival))
            elif fault is Fault.BEFORE:
                self._books.note(arrival.request, fault)
            else:
                await self._deliver(arrival, _nowhere, fault)
            if fault is not Fault.LOST:
                await _wait(self._closing, self._hold)
            await _break_off(send)

    async def _again(self, arrival: Arrival) -> None:
        await _wait(self._closing, AGAIN)
        await self._deliver(arrival, _nowhere, Fault.TWICE)

    async def _late(self, arrival: Arrival) -> None:
        """Once another request about this action has gone through, or the run ends."""
        self._books.note(arrival.request, Fault.LATE, HELD)
        other = self._passed.setdefault(arrival.request[:2], asyncio.Event())
        await _wait(other, PATIENCE)
        await self._deliver(arrival, _nowhere, Fault.LATE)

    async def _deliver(self, arrival: Arrival, send: Send, fault: Fault | None) -> None:
        """Hand the request to the service, and note what came of it."""
        number = self._books.note(arrival.request, fault)
        state: dict[str, Any] = {}
        await self._app({**arrival.scope, "state": state}, _replayed(arrival.body), send)
        self._books.settle(number, state.get("verdict", ""))
        if (waiting := self._passed.get(arrival.request[:2])) is not None:
            waiting.set()

    async def _release(self, send: Send) -> None:
        """Let go of everything that is held, and answer once it has gone through."""
        self._closing.set()
        for event in self._passed.values():
            event.set()
        while self._later:
            await asyncio.gather(*self._later)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_or_give_up(work))
        self._later.add(task)
        task.add_done_callback(self._later.discard)


async def _or_give_up(work: Coroutine[Any, Any, None]) -> None:
    """A service whose books cannot be written, on a full disk say, had better not answer at all."""
    try:
        await work
    except sqlite3.DatabaseError as error:
        print(f"the books cannot be written: {error}", file=sys.stderr, flush=True)
        os._exit(os.EX_IOERR)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _nowhere(message: Message) -> None:
    """A reply that nobody gets."""


async def _break_off(send: Send) -> None:
    """Begin a reply and never end it: the server closes the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


def _replayed(body: bytes) -> Receive:
    """The body of a request, once more."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
