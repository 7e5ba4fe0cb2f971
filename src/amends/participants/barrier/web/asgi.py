"""Any ASGI application that lets exceptions through: `BarrierMiddleware(app)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..keys import Key
from . import ERRORS, key_of, refusal

__all__ = ["BarrierMiddleware", "key"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BarrierMiddleware:
    """Answers `Rejected`, `Hanging` and `InvalidKey` that the application raises before it has answered."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ERRORS as error:
            if answering or scope["type"] != "http":
                raise
            said = refusal(error)
            headers = [(name.encode(), value.encode()) for name, value in said.headers.items()]
            await send({"type": "http.response.start", "status": said.status, "headers": headers})
            await send({"type": "http.response.body", "body": said.body})


def key(scope: Scope) -> Key:
    """The key of the request with that scope. Raises `InvalidKey`."""
    headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in scope["headers"]}
    return key_of(headers)
