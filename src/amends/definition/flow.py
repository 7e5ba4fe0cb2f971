"""What saga code can say besides awaiting: savepoints, the pivot, patches, time and chance."""

from __future__ import annotations

import logging
import random as random_module
import uuid as uuid_module
from collections.abc import MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, ParamSpec

from ..errors import NotInSaga
from .port import Port, current_port
from .step import Step

P = ParamSpec("P")


def _port(what: str, hint: str = "call it inside a @saga") -> Port:
    port = current_port()
    if port is None:
        raise NotInSaga(f"amends.{what} was called outside of a saga", hint=hint)
    return port


class _Savepoint:
    """See `savepoint`."""

    __slots__ = ("_id", "_port")

    async def __aenter__(self) -> None:
        self._port = _port("savepoint()")
        self._id = self._port.enter_savepoint()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if current_port() is not self._port:
            return  # thrown out (perhaps by the garbage collector, at any time): it can do nothing any more
        try:
            if kind is not None and kind is not GeneratorExit:
                await self._port.roll_back(self._id)
        finally:
            self._port.leave_savepoint(self._id)


def savepoint() -> _Savepoint:
    """``async with amends.savepoint():`` left by an exception, it undoes what was done inside, then the
    exception goes on: catch it and try another way. (Savepoints: Garcia-Molina & Salem 1987.)"""
    return _Savepoint()


async def pivot() -> None:
    """Pass the point of no return: from here on nothing is undone, and steps are tried until they succeed.

    Raises `PivotRefused` while other actions are in flight (await them first).
    """
    await _port("pivot()").pivot()


def patched(change: str) -> bool:
    """True for executions that run the new code at this place, False for those that went past it before.

    ``if amends.patched("check-fraud-first"): … else: <the old code>``
    """
    return _port("patched()").patched(change)


async def continue_as_new(*args: Any, **kwargs: Any) -> NoReturn:
    """End this run and begin the next with a short journal and these arguments; obligations go along."""
    await _port("continue_as_new()").continue_as_new(args, kwargs)
    raise AssertionError("unreachable")


def undo_with(step: Step[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Register `step(*args)` as an ad hoc compensation, as if an action with that undo had succeeded here."""
    _port("undo_with()").undo_with(step, args, kwargs)


def now() -> datetime:
    """The time (UTC): in a saga that of the current activation, elsewhere the clock's."""
    port = current_port()
    if port is None:
        return datetime.now(UTC)  # noqa: TID251 - outside of a saga this is the clock
    return datetime.fromtimestamp(port.now(), UTC)


def random() -> random_module.Random:
    """A source of chance that replays: each task of the saga has its own stream."""
    return _port("random()", "outside of a saga use the random module").random()


def uuid() -> uuid_module.UUID:
    """A version 4 UUID that replays."""
    chance = _port("uuid()", "outside of a saga use uuid.uuid4()").random()
    return uuid_module.UUID(int=chance.getrandbits(128), version=4)


class _SagaLogger(logging.LoggerAdapter[logging.Logger]):
    """Silent while a saga replays, so that each line appears once; adds the execution's id."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        port = current_port()
        return (port is None or not port.replaying) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        port = current_port()
        if port is None:
            return msg, kwargs
        return f"[{port.current().id}] {msg}", kwargs


logger = _SagaLogger(logging.getLogger("amends.saga"), {})
"""A logger for saga code that stays silent during replay."""
