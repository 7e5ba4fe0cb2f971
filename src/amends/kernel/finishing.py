"""`asyncio.as_completed` for sagas: the same in all versions, and tasks made in the order given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any


class Finishing:
    """Iterates over awaitables as they finish.

    A plain iterator gives coroutines that wait for the next result; an async one gives the finished futures.
    After `timeout` seconds both raise TimeoutError.
    """

    def __init__(self, awaitables: Iterable[Awaitable[Any]], timeout: float | None = None) -> None:
        if asyncio.isfuture(awaitables) or asyncio.iscoroutine(awaitables):
            raise TypeError(
                f"as_completed takes an iterable of awaitables, not one {type(awaitables).__name__}"
            )
        self._finished: asyncio.Queue[asyncio.Future[Any] | None] = asyncio.Queue()
        once = dict.fromkeys(awaitables)
        self._open = dict.fromkeys([asyncio.ensure_future(awaitable) for awaitable in once])
        self._left = len(self._open)
        self._timer: asyncio.TimerHandle | None = None
        for future in self._open:
            future.add_done_callback(self._one_is_done)
        if self._open and timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._time_is_up)

    def _one_is_done(self, future: asyncio.Future[Any]) -> None:
        if future not in self._open:
            return
        del self._open[future]
        self._finished.put_nowait(future)
        if not self._open and self._timer is not None:
            self._timer.cancel()

    def _time_is_up(self) -> None:
        late, self._open = self._open, {}
        for future in late:
            future.remove_done_callback(self._one_is_done)
            self._finished.put_nowait(None)

    async def _next(self) -> asyncio.Future[Any]:
        future = await self._finished.get()
        if future is None:
            raise TimeoutError
        return future

    async def _next_result(self) -> Any:
        return (await self._next()).result()

    def __iter__(self) -> Finishing:
        return self

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next_result()

    def __aiter__(self) -> Finishing:
        return self

    async def __anext__(self) -> asyncio.Future[Any]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next()
