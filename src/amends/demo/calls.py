"""The seam to the HTTP client: how steps ask the services."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import httpx2

from amends import NotSent, Rejected, current

from .processes import Setup
from .services import SERVICE_OF


class Services:
    """A client for the three services; a resource of the worker, handed to the steps."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._client = httpx2.AsyncClient(timeout=setup.timeout * 2, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def do(self, account: str, order: str, amount: int) -> str:
        """Ask the service that keeps this account to do its part; returns the id that it gave."""
        return await self._ask(account, "do", order, amount)

    async def undo(self, account: str, order: str, amount: int) -> None:
        """Ask it to undo that, if it was done, and to make sure that it cannot come later."""
        await self._ask(account, "undo", order, amount)

    async def _ask(self, account: str, direction: str, order: str, amount: int) -> str:
        url = f"{self._setup.url(SERVICE_OF[account])}/{account}/{direction}"
        try:
            reply = await self._client.post(
                url,
                json={"order": order, "amount": amount},
                headers={"Idempotency-Key": current().idempotency_key},
            )
        except httpx2.ConnectError as error:
            raise NotSent(str(error)) from error
        if reply.status_code == 422:
            raise Rejected(reply.json()["id"])
        reply.raise_for_status()
        return str(reply.json()["id"])
