"""The blocking façade, for Flask, Django and scripts.

One thread runs an event loop with the engine; calls from other threads wait for it.  There is one
class and no twin of the async API: whatever is awaitable is waited for with `wait`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..definition.saga import SagaCall
from ..errors import EngineClosed
from .handle import Handle
from .joining import joined_here

if TYPE_CHECKING:
    from .engine import Engine

R = TypeVar("R")
T = TypeVar("T")


class Sync:
    """``with Engine(…).sync as engine: receipt = engine.run(place_order(order), id="order-1001")``

    Handles are the ordinary ones: ``engine.wait(handle.cancel("changed my mind"))``.  Thread-safe.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the thread and enter the engine in it."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()

        def work() -> None:
            asyncio.set_event_loop(loop)
            loop.call_soon(ready.set)
            loop.run_forever()
            if left := asyncio.all_tasks(loop):  # other threads wait for them
                for task in left:
                    task.cancel()
                ended = asyncio.wait(left, timeout=self.engine.settings.grace)  # noqa: TID251 - sets unused
                loop.run_until_complete(ended)
            loop.close()

        self._thread = threading.Thread(target=work, name="amends-engine", daemon=True)
        self._thread.start()
        ready.wait()
        self._loop = loop
        try:
            self.wait(self.engine.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain the engine and end the thread."""
        try:
            self.wait(self.engine.close())
        finally:
            self._stop()

    def _stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join()

    def wait(self, awaitable: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine of the engine's API and return its result; TimeoutError after `timeout` seconds.

        Raises `EngineClosed` when the engine is, or is closed meanwhile.
        """
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            awaitable.close()
            raise EngineClosed(
                "the engine's thread is not running, or this is that very thread",
                hint="use `with Engine(…).sync as engine:`, and `await` inside async code",
            )
        try:
            return asyncio.run_coroutine_threadsafe(awaitable, loop).result(timeout)
        except concurrent.futures.CancelledError as error:
            if self._loop is loop:
                raise
            raise EngineClosed(
                "the engine was closed meanwhile", hint="end the threads that use it before its `with` ends"
            ) from error

    def run(self, call: SagaCall[R], *, id: str | None = None, timeout: float | None = None) -> R:
        """Start a saga and wait for its result; raises as `Handle.result` does."""
        return self.wait(self.engine.run(call, id=id), timeout)

    def start(
        self,
        call: SagaCall[R],
        *,
        id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        connection: object | None = None,
        subject: str | None = None,
    ) -> Handle[R]:
        """Start a saga; durable when this returns.

        connection: as in `Engine.start`, but a blocking one; it is used in this thread.
        """
        if connection is None:
            return self.wait(self.engine.start(call, id=id, attributes=attributes, subject=subject))
        said, header = self.wait(self.engine.enlist(call, id, attributes, subject))
        return self.engine.handle(call.saga, joined_here(said, header, call, connection).id)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a plain function in the engine's thread (for what is not thread-safe)."""

        async def run() -> T:
            return function(*args)

        return self.wait(run())
