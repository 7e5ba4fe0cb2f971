"""Batches: one function that takes many calls of a step, where the step's queue is served.

Who declares what: the step stays as it is, and its sagas await it and get its result.  Beside it,
``@send.batch(size=100, within=0.05)`` declares a function of a list of calls that returns a list, one result
or one exception a call, in their order.  Who serves the queue gives it many calls (`worker.queues.batches`);
whoever else runs the step, in a test or as an ad hoc compensation, gives it one.  So the function is all that
has to be written; the step's own body then never runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import msgspec

from ..errors import DefinitionError, PayloadError
from .context import CURRENT, Current
from .policy import Duration, seconds
from .signature import Signature, caller_locals

if TYPE_CHECKING:
    from .step import Step

A = TypeVar("A")
S = TypeVar("S")
P = ParamSpec("P")
Q = ParamSpec("Q")
F = TypeVar("F")
R = TypeVar("R")


class BatchCall(Generic[A]):
    """One of the calls that a batch function is given.

    args: its arguments, by name.  attempt: 1 for the first.  cancelled: true once nobody waits for it any
    more.  In a test, make one of a step's call: ``BatchCall(send("ann").args, idempotency_key="k-1")``.
    """

    __slots__ = ("_beat", "_key", "_of", "args", "attempt", "cancelled")

    def __init__(
        self,
        args: msgspec.Struct,
        of: Current | None = None,
        *,
        idempotency_key: str = "",
        beat: Callable[[Any], None] | None = None,
    ) -> None:
        self.args: Any = args
        self.attempt = 1 if of is None else of.attempt
        self.cancelled = False
        self._of = of
        self._key = idempotency_key
        self._beat = beat if beat is not None or of is None else of.heartbeat

    @property
    def id(self) -> str:
        """Of the execution that waits for it."""
        return "" if self._of is None else self._of.id

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this call; give it to the participant."""
        return self._key or ("" if self._of is None else self._of.idempotency_key)

    @property
    def argument(self) -> A:
        """Its first argument: of most steps that have a batch, the only one."""
        found: A = getattr(self.args, self.args.__struct_fields__[0])
        return found

    def heartbeat(self, progress: Any = None) -> None:
        """Say that the batch is alive, and how far this call is. Thread-safe."""
        if self._beat is not None:
            self._beat(progress)

    def __repr__(self) -> str:
        return f"<call {self.idempotency_key}, attempt {self.attempt}>"


class Batching(msgspec.Struct, frozen=True):
    """What a step says of its batches. within: seconds."""

    fn: Callable[..., Any]
    signature: Signature
    size: int
    within: float

    @property
    def is_async(self) -> bool:
        """Is the function an `async def`?"""
        return inspect.iscoroutinefunction(self.fn)

    def alone(self, step: Step[..., Any]) -> Callable[..., Any]:
        """A function like the step's own: the batch function is given one call."""
        leading = () if step.instance is None else (step.instance,)
        resources = step.signature.plan[2]

        def begun(values: tuple[Any, ...], named: dict[str, Any]) -> Any:
            given = {name: named.pop(name) for name in list(named) if name in resources}
            args = step.signature.bind(values[len(leading) :], named)
            return self.fn(*leading, [BatchCall(args, CURRENT.get(None))], **given)

        def ended(value: Any) -> Any:
            (end,) = self.ends(step.name, 1, value)
            if isinstance(end, BaseException):
                raise end
            return end

        async def asynchronously(*values: Any, **named: Any) -> Any:
            return ended(await begun(values, named))

        def plainly(*values: Any, **named: Any) -> Any:
            return ended(begun(values, named))

        return asynchronously if self.is_async else plainly

    def ends(self, name: str, count: int, value: Any) -> Sequence[Any]:
        """What was returned, if it can be one end for each of `count` calls. Raises `PayloadError`."""
        if isinstance(value, (list, tuple)) and len(value) == count:
            return value
        what = f"{len(value)} results" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"
        raise PayloadError(
            f"{self.fn.__qualname__} was given {count} calls of {name} and returned {what}",
            hint="return a list: for each call, in their order, its result or an exception",
        )

    def most(self, attempt: int) -> int:
        """How many calls go together that are at this attempt.

        A tenth with each one that failed, in the end each alone: so a call that takes others down with it
        does not do so for ever.
        """
        smaller: int = 10 ** min(attempt - 1, 9)
        return max(1, self.size // smaller)


Ends = Sequence[F | Exception]
"""What a batch function gives back: in the order of the calls, a result or an exception for each."""


class BatchDecorator(Generic[P, R]):
    """`Step.batch`, once it has its options. The function is given back as it is."""

    def __init__(self, step: Step[P, R], size: int, within: Duration) -> None:
        self._step = step
        self._size = size
        self._within = within

    @overload
    def __call__(
        self: BatchDecorator[Concatenate[A, Q], F], fn: Callable[[list[BatchCall[A]]], Awaitable[Ends[F]]], /
    ) -> Callable[[list[BatchCall[A]]], Awaitable[Ends[F]]]: ...
    @overload
    def __call__(
        self: BatchDecorator[Concatenate[A, Q], F], fn: Callable[[list[BatchCall[A]]], Ends[F]], /
    ) -> Callable[[list[BatchCall[A]]], Ends[F]]: ...
    @overload  # of a method
    def __call__(
        self: BatchDecorator[Concatenate[S, A, Q], F],
        fn: Callable[[S, list[BatchCall[A]]], Awaitable[Ends[F]]],
        /,
    ) -> Callable[[S, list[BatchCall[A]]], Awaitable[Ends[F]]]: ...
    @overload
    def __call__(
        self: BatchDecorator[Concatenate[S, A, Q], F], fn: Callable[[S, list[BatchCall[A]]], Ends[F]], /
    ) -> Callable[[S, list[BatchCall[A]]], Ends[F]]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """Make `fn` the batch function of the step. Raises `DefinitionError`."""
        return declare(self._step, fn, self._size, self._within)


def declare(step: Step[..., Any], fn: Callable[..., Any], size: int, within: Duration) -> Callable[..., Any]:
    """Make `fn` the batch function of `step`. Raises `DefinitionError`."""
    wait = seconds(within, "within") or 0.0
    _check(step, size, wait)
    in_class = _first(step.fn) == _first(fn) == "self"
    signature = Signature(fn, 2 if in_class else 1, caller_locals(fn.__qualname__, 2))
    positional, named, _ = signature.plan
    if positional or named or not inspect.signature(fn).parameters:
        raise DefinitionError(
            f"{fn.__qualname__} cannot take calls of {step.name}: its parameters are "
            f"({', '.join(inspect.signature(fn).parameters)}), expected one, for all calls, and resources",
            hint="async def send_all(calls: list[BatchCall[str]]) -> list[str | Exception]",
        )
    step.batching = Batching(fn, signature, size, wait)
    step.is_async = step.batching.is_async
    step.signature.wants_as(signature)
    return fn


def _check(step: Step[..., Any], size: int, wait: float) -> None:
    if step.batching is not None:
        raise DefinitionError(f"{step.name} has a batch function already ({step.batching.fn.__qualname__})")
    if not step.options.queue:
        raise DefinitionError(
            f"{step.name} has no queue: calls gather where a queue is served",
            hint='@step(queue="emails"), and Engine(queues=["emails"]) to serve it in the same process',
        )
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise DefinitionError(f"size is a whole number from 1, got {size!r}", hint="@send.batch(size=100)")
    timeout = step.options.timeout
    if timeout is not None and wait >= timeout:
        raise DefinitionError(
            f"the calls of {step.name} would wait {wait:g} s for each other, and have {timeout:g} s in all",
            hint="within= is a part of the timeout",
        )


def _first(fn: Callable[..., Any]) -> str:
    return next(iter(inspect.signature(fn).parameters), "")
