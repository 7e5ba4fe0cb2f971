"""How the steps ask the services: over HTTP, with a client of amends for each."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import httpx2

from amends.participants.http import HttpClient

from .processes import Setup
from .services import SERVICE_OF, SERVICES


class Services:
    """A client for the three services; a resource of the worker, handed to the steps.

    Sagas with one service to a step would rather give the engine a client for each.
    """

    def __init__(self, setup: Setup) -> None:
        self._clients = {
            name: HttpClient(setup.url(name), timeout=setup.timeout, session=_session) for name in SERVICES
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def do(self, account: str, order: str, amount: int) -> str:
        """Ask the service that keeps this account to do its part; returns the id that it gave."""
        client = self._clients[SERVICE_OF[account]]
        reply = await client.post(f"/{account}/do", json={"order": order, "amount": amount})
        return reply.read(str)

    async def undo(self, account: str, order: str, amount: int) -> None:
        """Ask it to undo that, if it was done, and to make sure that it cannot come later."""
        client = self._clients[SERVICE_OF[account]]
        await client.post(f"/{account}/undo", json={"order": order, "amount": amount})


def _session() -> httpx2.AsyncClient:
    """A session that no proxy of the surroundings gets in the way of: the services are on this machine."""
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    return httpx2.AsyncClient(limits=limits, trust_env=False)
