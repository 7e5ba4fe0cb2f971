"""Steps: an action, perhaps its compensation, and the policies that surround both."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from ..errors import DefinitionError
from .batch import BatchDecorator, Batching
from .call import Call
from .compensation import Compensation, CompensationOptions, attach
from .naming import check_function, durable_name
from .policy import (
    DEFAULT_RETRY,
    UNDO_RETRY,
    Duration,
    ErrorTypes,
    Kind,
    RecoveryPolicy,
    Retry,
    error_types,
    must_be_retry,
    recovery_policy,
    seconds,
    word,
)
from .port import current_port
from .queued import check_queue
from .registry import REGISTRY
from .signature import Signature, caller_locals

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


class StepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Policies of a step (times in seconds). See `step` for what each means."""

    timeout: float | None = None
    schedule_to_close: float | None = None
    heartbeat: float | None = None
    retry: Retry = DEFAULT_RETRY
    rejects: tuple[type[BaseException], ...] = ()
    raises: tuple[type[BaseException], ...] = ()
    remembers_rejections: bool = False
    irreversible: bool = False
    transaction: bool = False
    limit: int | None = None
    recovery: RecoveryPolicy = {}
    queue: str = ""
    priority: int = 0
    delay: float = 0.0
    key: Callable[..., object] | None = None
    pool: str = ""


class _CompensationDecorator(Protocol[P, R_co]):
    @overload
    def __call__(self, fn: Callable[Concatenate[R_co | None, P], object], /) -> Compensation: ...
    @overload
    def __call__(
        self: _CompensationDecorator[Concatenate[S, Q], R_co],
        fn: Callable[Concatenate[S, R_co | None, Q], object],
        /,
    ) -> Compensation: ...


class Step(Generic[P, R]):
    """A durable action. Calling it gives a `StepCall`; `fn` is the plain function."""

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        options: StepOptions | None = None,
        fallback: Sequence[Step[..., Any]] = (),
    ) -> None:
        if isinstance(fn, (staticmethod, classmethod)):
            static = isinstance(fn, staticmethod)
            raise DefinitionError(
                f"@step stands above @{type(fn).__name__}",
                hint="write @staticmethod above @step" if static else "write an ordinary method",
            )
        check_function(fn, "step")
        self.fn = fn
        self.name = durable_name(fn, name)
        self.result_name = f"result of {self.name}"
        self.explicit_name = name is not None
        self.options = options or StepOptions()
        self.fallback = _alternatives(fallback)
        self.is_async = inspect.iscoroutinefunction(fn)
        self.elsewhere = self.options.transaction or bool(self.options.queue)
        self.instance: Any = None
        self.undo: Compensation | None = None
        self.verifier: Callable[..., Any] | None = None
        self.prober: Callable[..., Any] | None = None
        self.prober_signature: Signature | None = None
        self.batching: Batching | None = None
        self._locals = caller_locals(fn.__qualname__, 2)
        self.signature = Signature(fn, 0, self._locals)
        functools.update_wrapper(self, fn, updated=())
        REGISTRY.add_step(self)

    def __set_name__(self, owner: type, name: str) -> None:
        self.signature = Signature(self.fn, 1, self._locals)
        if self.batching is not None:
            self.signature.wants_as(self.batching.signature)
        if self.prober is not None:
            self.prober_signature = Signature(self.prober, 1, self._locals)

    @overload
    def __get__(self, instance: None, owner: type) -> Step[P, R]: ...
    @overload
    def __get__(self: Step[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> Step[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__ = {**self.__dict__, "instance": instance}
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> StepCall[R]:
        """Make a call of this step; await it inside a saga (durable) or elsewhere (it just runs)."""
        signature = self.signature
        if kwargs and (resources := signature.plan[2]):
            given = {k: v for k, v in kwargs.items() if k in resources}
            rest = {k: v for k, v in kwargs.items() if k not in resources}
            return StepCall(self, signature.bind(args, rest), given)
        return StepCall(self, signature.bind(args, kwargs))

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    # ------------------------------------------------------------ declaring what belongs to the step

    @overload
    def compensation(self, fn: Callable[Concatenate[R | None, P], object], /) -> Compensation: ...
    @overload  # of a method: `self` comes before the result
    def compensation(
        self: Step[Concatenate[S, Q], R], fn: Callable[Concatenate[S, R | None, Q], object], /
    ) -> Compensation: ...
    @overload
    def compensation(
        self,
        *,
        critical: bool = True,
        kind: Kind | str = Kind.SEMANTIC,
        retry: Retry = UNDO_RETRY,
        timeout: Duration | None = None,
        alternates: Sequence[Callable[..., object]] = (),
    ) -> _CompensationDecorator[P, R]: ...
    def compensation(
        self,
        fn: Callable[..., object] | None = None,
        *,
        critical: bool = True,
        kind: Kind | str = Kind.SEMANTIC,
        retry: Retry = UNDO_RETRY,
        timeout: Duration | None = None,
        alternates: Sequence[Callable[..., object]] = (),
    ) -> Any:
        """Declare how to undo the action: ``async def refund(result, *the action's arguments)``.

        `result` is None when the outcome is unknown.  `critical=False`: giving up leaves a recorded
        residue instead of parking.  `kind` documents how much is given back.  `alternates` are
        tried in order when the first has used up `retry`. Raises `DefinitionError` when the
        parameters do not fit.
        """
        options = CompensationOptions(
            critical=critical,
            kind=word(Kind, kind, "kind"),
            retry=must_be_retry(retry),
            timeout=seconds(timeout, "timeout"),
        )
        if fn is not None:
            return attach(self, fn, options, ())
        return lambda given: attach(self, given, options, tuple(alternates))

    def verify(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Declare a check that runs after each compensation, with the same arguments: False or an
        exception means that it did not take, and it is tried again.
        """
        if self.undo is None:
            raise DefinitionError(
                f"{self.name} has a .verify but no .compensation yet",
                hint="declare the compensation first",
            )
        self.verifier = fn
        return fn

    def probe(self, fn: Callable[P, Any]) -> Callable[P, Any]:
        """Declare a status probe, asked once when the outcome is unknown.

        It returns the result if the action took effect, `UNRESOLVED` if it cannot tell, or `SEALED`
        if the action had no effect *and* the participant will refuse its key from now on.  It gets
        the action's arguments, and its own resources.
        """
        self.prober = fn
        self.prober_signature = Signature(fn, 0, caller_locals(fn.__qualname__, 2))
        return fn

    def batch(self, *, size: int = 100, within: Duration = 0.05) -> BatchDecorator[P, R]:
        """Declare a function that takes many calls at once, where the step's queue is served.

        It gets a list of `BatchCall`, and resources; it returns a list, one result or one exception a call,
        in their order.  The step's own body then never runs.  size: at most so many.  within: seconds that a
        call waits for others at most.  Raises `DefinitionError`.
        """
        return BatchDecorator(self, size, within)

    # ------------------------------------------------------------ running the plain function

    @property
    def function(self) -> Callable[..., Any]:
        """What one call runs: the plain function, or the batch function with that call alone."""
        return self.fn if self.batching is None else self.batching.alone(self)

    def invoke(self, args: msgspec.Struct, resources: dict[str, Any] | None = None) -> Any:
        """Call the plain function with bound arguments (a coroutine, or the value of a `def` step)."""
        return invoke(self.function, self.signature, self.instance, (), args, resources)

    def call_with(self, fn: Callable[..., Any], args: msgspec.Struct) -> Any:
        """Call `fn` with the step's arguments, as the step itself would be called (without its object)."""
        return invoke(fn, self.signature, None, (), args, None)

    def bound(self, args: msgspec.Struct, resources: dict[str, Any] | None = None) -> Callable[[], Any]:
        """`invoke`, to be called later."""
        if resources or self.instance is not None or self.signature.plan[1]:
            return functools.partial(self.invoke, args, resources)
        fn = self.fn if self.batching is None else self.function  # on every attempt's way
        return functools.partial(fn, *msgspec.structs.astuple(args))


def invoke(
    fn: Callable[..., Any],
    signature: Signature,
    instance: Any,
    leading: tuple[Any, ...],
    args: msgspec.Struct,
    resources: dict[str, Any] | None,
) -> Any:
    """Call `fn` with (self,) leading values, journaled arguments and resources."""
    positional, named, _ = signature.plan
    if instance is not None:
        leading = (instance, *leading)
    if not named and not resources:
        return fn(*leading, *msgspec.structs.astuple(args))
    values = [getattr(args, name) for name in positional]
    keywords = {name: getattr(args, name) for name in named}
    return fn(*leading, *values, **keywords, **(resources or {}))


def in_thread(function: Callable[..., R], *args: Any) -> R:
    """Call a plain function in a thread. The future that brings its end cannot carry a StopIteration, and
    would never end (before Python 3.12); a coroutine makes of it what this does.
    """
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("a plain function raised StopIteration (next() where nothing is left?)") from error


class StepCall(Call[R]):
    """A call of a step, not yet run. Await it once; `options` changes this call only."""

    __slots__ = ("args", "overrides", "resources", "step")

    def __init__(
        self,
        step: Step[..., R],
        args: msgspec.Struct,
        resources: dict[str, Any] | None = None,
        overrides: StepOptions | None = None,
    ) -> None:
        self.step = step
        self.args = args
        self.resources = resources
        self.overrides = overrides
        self._driver = None
        self._loop = _get_running_loop()
        self._used = False

    def options(
        self,
        *,
        timeout: Duration | None = None,
        schedule_to_close: Duration | None = None,
        retry: Retry | None = None,
        heartbeat: Duration | None = None,
        priority: int | None = None,
        delay: Duration | None = None,
    ) -> StepCall[R]:
        """The same call with other policies (None: as the step says).

        priority and delay are for steps with a queue. Raises `DefinitionError`.
        """
        changed: dict[str, Any] = {
            "timeout": seconds(timeout, "timeout"),
            "schedule_to_close": seconds(schedule_to_close, "schedule_to_close"),
            "heartbeat": seconds(heartbeat, "heartbeat"),
            "retry": None if retry is None else must_be_retry(retry),
            "priority": priority,
            "delay": seconds(delay, "delay"),
        }
        if (priority is not None or delay is not None) and not self.step.options.queue:
            raise DefinitionError(
                f"{self.step.name} has no queue, so it takes no priority and no delay",
                hint='@step(queue="…"), or amends.sleep before the step',
            )
        changed = {key: value for key, value in changed.items() if value is not None}
        policy = msgspec.structs.replace(self.overrides or self.step.options, **changed)
        self._used = True
        return StepCall(self.step, self.args, self.resources, policy)

    @property
    def policy(self) -> StepOptions:
        """The policies that hold for this call."""
        return self.overrides or self.step.options

    def __await__(self) -> Generator[Any, Any, R]:
        if self._used:
            raise self._again()
        self._used = True
        port = getattr(_get_running_loop(), "amends_port", None)  # `current_port`, on every step's way
        if port is None:
            return self._plain().__await__()
        if self.step.fallback:
            return self._preferring().__await__()
        return port.run_step(self).__await__()  # type: ignore[no-any-return]

    async def _plain(self) -> R:
        if self.step.is_async:
            return await self.step.invoke(self.args, self.resources)  # type: ignore[no-any-return]
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        called = (self.step.invoke, self.args, self.resources)
        return await loop.run_in_executor(None, context.run, in_thread, *called)

    async def _preferring(self) -> R:
        """The step, then its alternatives in order; each failure is settled before the next begins."""
        port = current_port()
        assert port is not None
        try:
            return await port.run_step(self)  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - the next alternative decides
            failure = error
        for other in self.step.fallback:
            try:
                values = msgspec.structs.asdict(self.args)
                return await other(**values)  # type: ignore[no-any-return]
            except Exception as error:  # noqa: BLE001 - raised below when none is left
                error.__context__ = failure
                failure = error
        raise failure

    def __repr__(self) -> str:
        return f"<call of step {self.step.name}>"


def _alternatives(fallback: Sequence[Step[..., Any]]) -> tuple[Step[..., Any], ...]:
    items: Sequence[object] = fallback if isinstance(fallback, (list, tuple)) else (fallback,)
    steps = [item for item in items if isinstance(item, Step)]
    if len(steps) < len(items):
        raise DefinitionError(f"fallback takes steps, got {fallback!r}", hint="fallback=[pay_by_invoice, …]")
    return tuple(steps)


class _StepDecorator(Protocol):
    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(fn: Callable[P, Awaitable[R]], /) -> Step[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat: Duration | None = None,
    retry: Retry = DEFAULT_RETRY,
    rejects: ErrorTypes | None = None,
    raises: ErrorTypes | None = None,
    remembers_rejections: bool = False,
    irreversible: bool = False,
    transaction: bool = False,
    fallback: Sequence[Step[..., Any]] = (),
    limit: int | None = None,
    recovery: RecoveryPolicy | None = None,
    queue: str | None = None,
    priority: int = 0,
    delay: Duration | None = None,
    key: Callable[..., object] | None = None,
    pool: str | None = None,
) -> _StepDecorator: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat: Duration | None = None,
    retry: Retry = DEFAULT_RETRY,
    rejects: ErrorTypes | None = None,
    raises: ErrorTypes | None = None,
    remembers_rejections: bool = False,
    irreversible: bool = False,
    transaction: bool = False,
    fallback: Sequence[Step[..., Any]] = (),
    limit: int | None = None,
    recovery: RecoveryPolicy | None = None,
    queue: str | None = None,
    priority: int = 0,
    delay: Duration | None = None,
    key: Callable[..., object] | None = None,
    pool: str | None = None,
) -> Any:
    """Make a durable step of an ``async def`` (or a ``def``, which runs in a thread).

    timeout: seconds for one attempt.  schedule_to_close: seconds for all attempts together.
    heartbeat: longest silence.  retry: when to try again.  rejects: exceptions that mean "certainly
    no effect", like `Rejected`.  raises: exceptions rebuilt for the saga under their own type.
    remembers_rejections: the participant has a barrier, so a rejection counts even after an unclear
    attempt.  irreversible: there is no undo; what it did is residue. transaction: a `def` step
    whose effect commits together with the journal.  fallback: steps with the same parameters, tried
    in order once this one has failed and is settled.  limit: at most so many at a time in this
    worker.  recovery: what to do per exception class once it has finally failed.

    queue: run it where that queue is served (see `docs/queues.md`); then also priority: higher comes first.
    delay: seconds before its first attempt may begin.  key: of the step's arguments, a text; how many of one
    key run at once is a limit of the queue.  pool: a named pool, perhaps shared with other queues, of which
    it takes a place while it runs.  Raises `DefinitionError`.
    """
    if limit is not None and limit < 1:
        raise DefinitionError(f"limit must be at least 1, got {limit}")
    check_queue(queue, priority, delay, key, pool, here=transaction or limit is not None)
    options = StepOptions(
        timeout=seconds(timeout, "timeout"),
        schedule_to_close=seconds(schedule_to_close, "schedule_to_close"),
        heartbeat=seconds(heartbeat, "heartbeat"),
        retry=must_be_retry(retry),
        rejects=error_types(rejects, "rejects"),
        raises=error_types(raises, "raises"),
        remembers_rejections=remembers_rejections,
        irreversible=irreversible,
        transaction=transaction,
        limit=limit,
        recovery=recovery_policy(recovery),
        queue=queue or "",
        priority=priority,
        delay=seconds(delay, "delay") or 0.0,
        key=key,
        pool=pool or "",
    )

    def declare(given: Callable[..., Any]) -> Step[..., Any]:
        if transaction and inspect.iscoroutinefunction(given):
            raise DefinitionError(
                f"the transactional step {given.__qualname__} is async",
                hint="write it as a plain def: it runs on the store's own connection",
            )
        return Step(given, name, options, fallback)

    return declare if fn is None else declare(fn)
