"""One text for blocking and asynchronous drivers.

A flow is a generator that yields what a driver call returned and gets its result. A blocking driver returns
results: they are sent straight back. An asynchronous one returns awaitables: they are awaited first. So
each operation of the barrier is written once, and the connection decides whether calling it gives a value
or something to await.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from .drivers import Driver, driver_of

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Flow = Generator[Any, Any, T]


class AsyncConnection(Protocol):
    """A connection or session whose `execute` is awaited: psycopg, asyncpg, SQLAlchemy, aiosqlite."""

    def execute(self, *args: Any, **kwargs: Any) -> Awaitable[Any]: ...


class Both(Protocol[P, T_co]):
    """An operation of the barrier: with an asynchronous connection it must be awaited."""

    @overload
    def __call__(
        self, connection: AsyncConnection, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T_co]: ...
    @overload
    def __call__(self, connection: object, /, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


class Operation(Protocol[P, T_co]):
    """The same as a method."""

    def __get__(self, instance: object, owner: type | None = None) -> Both[P, T_co]: ...


def operation(flow: Callable[Concatenate[Any, Driver, Any, P], Flow[T]]) -> Operation[P, T]:
    """Make a method that takes a connection out of a flow that also takes its driver."""

    @functools.wraps(flow)
    def method(self: Any, connection: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        driver = driver_of(connection, self.paramstyle)
        started = flow(self, driver, connection, *args, **kwargs)
        return _await(started) if driver.asynchronous else _call(started)

    method.__signature__ = _without_driver(inspect.signature(flow))  # type: ignore[attr-defined]
    return cast("Operation[P, T]", method)


def _without_driver(signature: inspect.Signature) -> inspect.Signature:
    """What `help` should show: no driver, and the result instead of the flow that leads to it."""
    kept = [parameter for name, parameter in signature.parameters.items() if name != "driver"]
    result = str(signature.return_annotation).removeprefix("Flow[").removesuffix("]")
    return signature.replace(parameters=kept, return_annotation=result)


def _call(flow: Flow[T]) -> T:
    result = None
    while True:
        try:
            result = flow.send(result)
        except StopIteration as done:
            return cast("T", done.value)


async def _await(flow: Flow[T]) -> T:
    try:
        pending = next(flow)
        while True:
            try:
                result = await pending if inspect.isawaitable(pending) else pending
            except BaseException as error:  # noqa: BLE001 - the flow decides: it may have to roll back
                pending = flow.throw(error)
            else:
                pending = flow.send(result)
    except StopIteration as done:
        return cast("T", done.value)
