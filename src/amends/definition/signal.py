"""Signals: typed messages from outside to a running execution."""

from __future__ import annotations

import asyncio
import typing
from typing import Any, Generic, TypeVar

from ..errors import DefinitionError, NotInSaga
from .policy import Duration, seconds
from .port import current_port

T = TypeVar("T")


class Signal(Generic[T]):
    """``approved = Signal[Approval]("approved")``; sagas `receive` it, handles `send` it."""

    def __init__(self, name: str, *, type: type[T] | None = None) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"a signal's name is a text, got {name!r}", hint='Signal[int]("approved")')
        self.name = name
        self._type: Any = type

    @property
    def type(self) -> Any:
        """The annotation of the signal's value."""
        if self._type is None:
            alias = getattr(self, "__orig_class__", None)
            self._type = typing.get_args(alias)[0] if alias is not None else Any
        return self._type

    async def receive(self, timeout: Duration | None = None) -> T:
        """The next signal of this name, in the order of arrival; waits durably.

        Signals that came before are kept.  Raises TimeoutError after `timeout` (seconds or timedelta).
        """
        port = current_port()
        if port is None:
            raise NotInSaga(
                f"Signal({self.name!r}).receive() was called outside of a saga",
                hint="send with handle.send(signal, value); receive inside a @saga",
            )
        if timeout is None:
            return await port.receive(self.name, self.type)  # type: ignore[no-any-return]
        async with asyncio.timeout(seconds(timeout, "timeout")):
            return await port.receive(self.name, self.type)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Signal({self.name!r})"
