"""Sagas: an ordinary ``async def`` whose steps are durable."""

from __future__ import annotations

import functools
import inspect
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from ..errors import DefinitionError, NotInSaga
from .call import Call
from .naming import check_function, durable_name
from .policy import Duration, RecoveryPolicy, recovery_policy, seconds
from .port import current_port
from .queued import is_name
from .registry import REGISTRY
from .signature import Signature, caller_locals

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class SagaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Policies of a saga (times in seconds). See `saga` for what each means."""

    deadline: float | None = None
    recovery: RecoveryPolicy = {}
    subject: Callable[..., str] | None = None
    room: str = ""


class Saga(Generic[P, R]):
    """The definition of a saga. Calling it gives a `SagaCall`; `fn` is the plain function."""

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        version: str = "",
        options: SagaOptions | None = None,
    ) -> None:
        check_function(fn, "saga")
        if not inspect.iscoroutinefunction(fn):
            raise DefinitionError(
                f"a saga is an async def; {getattr(fn, '__qualname__', fn)!r} is not",
                hint="write `async def`, and put blocking work into steps",
            )
        self.fn = fn
        self.name = durable_name(fn, name)
        self.result_name = f"result of {self.name}"
        self.explicit_name = name is not None
        self.version = version
        self.options = options or SagaOptions()
        self.instance: Any = None
        self._locals = caller_locals(fn.__qualname__, 2)
        self.signature = Signature(fn, 0, self._locals)
        functools.update_wrapper(self, fn, updated=())
        REGISTRY.add_saga(self)

    def __set_name__(self, owner: type, name: str) -> None:
        self.signature = Signature(self.fn, 1, self._locals)

    @overload
    def __get__(self, instance: None, owner: type) -> Saga[P, R]: ...
    @overload
    def __get__(self: Saga[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Saga[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__ = {**self.__dict__, "instance": instance}
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> SagaCall[R]:
        """Make a call: give it to an engine, or await it inside another saga (a nested saga)."""
        return SagaCall(self, self.signature.bind(args, kwargs))

    def begin(self, args: msgspec.Struct) -> Coroutine[Any, Any, Any]:
        """The coroutine of the body for these arguments."""
        positional, named, _ = self.signature.plan
        leading = () if self.instance is None else (self.instance,)
        if not named:
            return self.fn(*leading, *msgspec.structs.astuple(args))  # type: ignore[no-any-return]
        values = [getattr(args, name) for name in positional]
        return self.fn(  # type: ignore[no-any-return]
            *leading, *values, **{name: getattr(args, name) for name in named}
        )

    def __repr__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        return f"<saga {self.name}{version}>"


class SagaCall(Call[R]):
    """A call of a saga, not yet started."""

    __slots__ = ("args", "deadline", "saga")

    def __init__(self, saga: Saga[..., R], args: msgspec.Struct, deadline: float | None = None) -> None:
        self.saga = saga
        self.args = args
        self.deadline = saga.options.deadline if deadline is None else deadline
        self._driver = None
        self._loop = _get_running_loop()
        self._used = False

    def options(self, *, deadline: Duration | None = None) -> SagaCall[R]:
        """The same call with another deadline (None: as the saga says)."""
        self._used = True
        return SagaCall(self.saga, self.args, seconds(deadline, "deadline"))

    def __await__(self) -> Generator[Any, Any, R]:
        port = current_port()
        if port is None:
            raise NotInSaga(
                f"the saga {self.saga.name} was awaited outside of a saga; it needs an engine to be durable",
                hint=f"await engine.run({self.saga.fn.__name__}(…), id=…)",
            )
        if self._used:
            raise self._again()
        self._used = True
        return port.run_child(self).__await__()

    def __repr__(self) -> str:
        return f"<call of saga {self.saga.name}>"


class _SagaDecorator(Protocol):
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Saga[P, R]: ...


@overload
def saga(fn: Callable[P, Awaitable[R]], /) -> Saga[P, R]: ...
@overload
def saga(
    *,
    name: str | None = None,
    version: str = "",
    deadline: Duration | None = None,
    recovery: RecoveryPolicy | None = None,
    subject: Callable[..., str] | None = None,
    room: str | None = None,
) -> _SagaDecorator: ...
def saga(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "",
    deadline: Duration | None = None,
    recovery: RecoveryPolicy | None = None,
    subject: Callable[..., str] | None = None,
    room: str | None = None,
) -> Any:
    """Make a saga of an ``async def``: its steps are journaled, and undone if it does not complete.

    name: the durable name (default: module and qualified name; a rename strands running
    executions).  version: tells definitions of the same name apart; an execution stays with its
    version.  deadline: seconds until an execution that has neither returned nor passed its pivot is
    undone.  recovery: what to do per exception class once a step has finally failed.  subject: says of
    the saga's arguments whose data they are; with a codec that has keys, that subject's key encrypts the
    execution and all that is nested in it.  room: a queue that it fills; while as many tasks wait there as
    its limit `depth` allows, `start` waits, too.  Raises `DefinitionError`.
    """
    if subject is not None and not callable(subject):
        raise DefinitionError(
            f"subject= is a function of the saga's arguments, got {subject!r}",
            hint="subject=lambda order: order.customer_id",
        )
    if room is not None and not is_name(room):
        raise DefinitionError(f"room= is the name of a queue, got {room!r}", hint='@saga(room="emails")')
    options = SagaOptions(
        deadline=seconds(deadline, "deadline"),
        recovery=recovery_policy(recovery),
        subject=subject,
        room=room or "",
    )

    def declare(given: Callable[..., Any]) -> Saga[..., Any]:
        return Saga(given, name, version, options)

    return declare if fn is None else declare(fn)
