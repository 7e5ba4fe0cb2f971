"""gRPC for steps: `pip install 'amends[grpc]'`.

**What is certain.**  gRPC reports a server that could not be reached and a connection that broke after the
request with one code, UNAVAILABLE.  So a call first waits until the channel is connected: what fails
before that was certainly not sent, and UNAVAILABLE afterwards is unknown.  Codes that the library makes up by
itself (UNKNOWN, INTERNAL, CANCELLED, RESOURCE_EXHAUSTED for a reply that is too large) are unknown
for the same reason; with a pushback in the trailers RESOURCE_EXHAUSTED and UNAVAILABLE come from a
server that declines on purpose.

Unary calls are covered; streams pass as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Self

from ..clock import Clock, SystemClock
from ..definition.context import Current
from ..definition.policy import Duration, seconds
from ..errors import AmendsError, DefinitionError, NotSent, Rejected
from . import attempt
from .failures import TryLater, UnknownOutcome, missing
from .secrets import Secrets
from .verdict import FailureWord, Verdict, of_failure

try:
    import grpc
    import grpc.aio
except ImportError as error:
    raise missing("grpc", "grpcio") from error

__all__ = ["CODES", "GrpcChannel"]

Code = grpc.StatusCode
R, L, U = Verdict.REJECTED, Verdict.LATER, Verdict.UNKNOWN

CODES: Mapping[Any, Verdict] = {
    Code.INVALID_ARGUMENT: R, Code.NOT_FOUND: R, Code.ALREADY_EXISTS: R, Code.PERMISSION_DENIED: R,
    Code.UNAUTHENTICATED: R, Code.FAILED_PRECONDITION: R, Code.OUT_OF_RANGE: R, Code.UNIMPLEMENTED: R,
    Code.ABORTED: L,
    Code.CANCELLED: U, Code.UNKNOWN: U, Code.DEADLINE_EXCEEDED: U, Code.RESOURCE_EXHAUSTED: U,
    Code.INTERNAL: U, Code.UNAVAILABLE: U, Code.DATA_LOSS: U,
}  # fmt: skip
"""What a status code means. ABORTED is a transaction that was rolled back."""

PUSHBACK = "grpc-retry-pushback-ms"
_DECLINED = (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)
_TROUBLE = (
    Code.UNAVAILABLE,
    Code.UNKNOWN,
    Code.INTERNAL,
    Code.DEADLINE_EXCEEDED,
    Code.CANCELLED,
    Code.DATA_LOSS,
)
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000))


class GrpcChannel:
    """One participant's channel: `BankStub(bank.channel)` makes calls that know their attempt.

    Give it to the engine and to steps as a resource; make a subclass for each participant.

    target: host and port.  credentials: of `grpc.ssl_channel_credentials`; None: no TLS.  metadata: sent with
    each call.  timeout, connect: seconds for a call (cut to what the attempt has left) and for a connection.
    codes: verdicts that differ from `CODES`, by `grpc.StatusCode` or its name.  reads: methods that change
    nothing (``Get`` or ``/bank.Bank/Get``): no failure of theirs is unknown.  options: of the channel.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: Any = None,
        metadata: Mapping[str, str] | None = None,
        timeout: Duration = 30.0,
        connect: Duration = 5.0,
        codes: Mapping[Any, FailureWord] | None = None,
        reads: Collection[str] = (),
        breaker: attempt.Guard | None = None,
        options: Sequence[tuple[str, Any]] = (),
        secrets: Iterable[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self.target = target
        self.breaker = breaker
        self._credentials = credentials
        self._metadata = {name.lower(): value for name, value in (metadata or {}).items()}
        self._timeout = seconds(timeout, "timeout") or 30.0
        self._connect = seconds(connect, "connect") or 5.0
        self._codes = {
            **CODES,
            **{_code(code): of_failure(v, f"codes[{code!r}]") for code, v in (codes or {}).items()},
        }
        self._reads = frozenset(reads)
        self._options = (*_RECONNECT, *options)
        self._secrets = Secrets(self._metadata, also=secrets)
        self._clock = clock or SystemClock()
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        made = {"options": self._options, "interceptors": [_Interceptor(self)]}
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self.target, **made)
        else:
            self._channel = grpc.aio.secure_channel(self.target, self._credentials, **made)
        return self

    async def __aexit__(self, *exc: object) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._secrets.hide(self.target)}>"

    @property
    def channel(self) -> Any:
        """The `grpc.aio.Channel` for a generated stub."""
        if self._channel is None:
            raise DefinitionError(
                f"{self!r} is not open",
                hint="give it to the engine: Engine(resources=[…]), or use `async with`",
            )
        return self._channel

    # ------------------------------------------------------------ one call

    async def _call(self, continuation: Any, details: Any, request: Any) -> Any:
        of = attempt.here()
        method = details.method.decode() if isinstance(details.method, bytes) else details.method
        reads = method in self._reads or method.rpartition("/")[2] in self._reads
        try:
            with self.breaker.guard() if self.breaker else nullcontext():
                return await self._exchange(continuation, details, request, method, of, reads)
        except AmendsError as error:
            failure = attempt.settle(of, error)
        if not reads and isinstance(failure, UnknownOutcome):
            attempt.has_acted(of)
        raise failure

    async def _exchange(
        self, continuation: Any, details: Any, request: Any, method: str, of: Current | None, reads: bool
    ) -> Any:
        left = attempt.time_left(of, self._clock, min(self._timeout, details.timeout or self._timeout))
        if left <= 0:
            raise NotSent(f"{method}: not sent, the attempt's time is up")
        began = self._clock.monotonic()
        await self._connected(method, min(left, self._connect))
        left = max(left - (self._clock.monotonic() - began), 0.001)
        told = {name.lower(): value for name, value in attempt.headers(of).items()}
        sent = [*(details.metadata or ()), *{**self._metadata, **told}.items()]
        details = details._replace(timeout=left, metadata=grpc.aio.Metadata(*sent))
        try:
            reply = await (await continuation(details, request))
        except grpc.aio.AioRpcError as error:
            failure = self._judged(method, error, reads)
        else:
            if not reads:
                attempt.has_acted(of)
            return reply
        raise failure

    async def _connected(self, method: str, patience: float) -> None:
        """Wait for the connection; what fails here was certainly not sent."""
        state = self.channel.get_state(try_to_connect=True)
        try:
            async with asyncio.timeout(patience):
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        break
                    await self.channel.wait_for_state_change(state)
                    state = self.channel.get_state(try_to_connect=True)
                else:
                    return
        except TimeoutError:
            why = f"no connection within {patience:.3g} s"
        else:
            why = "no connection"
        raise NotSent(f"{method}: not sent, {why} to {self._secrets.hide(self.target)}")

    def _judged(self, method: str, error: Any, reads: bool) -> AmendsError:
        """The error that a status stands for."""
        code = error.code()
        verdict = self._codes.get(code, Verdict.UNKNOWN)
        asked = _pushback(error)
        if asked is not None and code in _DECLINED:
            verdict = Verdict.LATER
        details = self._secrets.hide(error.details() or "")[:200]
        said = f"{method}: {code.name}" + (f": {details}" if details else "")
        if verdict is Verdict.REJECTED:
            return Rejected(said, details={"code": code.name})
        if verdict is Verdict.LATER or reads:
            return TryLater(said, retry_after=asked, outage=code in _TROUBLE)
        return UnknownOutcome(said, retry_after=asked)


class _Interceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc] # grpc ships no types
    """Puts the channel's rules around each unary call."""

    def __init__(self, owner: GrpcChannel) -> None:
        self._owner = owner

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._owner._call(continuation, client_call_details, request)


def _code(given: Any) -> Any:
    """A status code, by itself or by name. Raises `DefinitionError`."""
    found = getattr(Code, given, None) if isinstance(given, str) else given
    if not isinstance(found, Code):
        raise DefinitionError(f"codes takes gRPC status codes, got {given!r}", hint="codes={'NOT_FOUND': …}")
    return found


def _pushback(error: Any) -> float | None:
    """Seconds that the server asks to wait; None: it says nothing, or not to come again."""
    for name, value in error.trailing_metadata() or ():
        if name == PUSHBACK and str(value).isdigit():
            return int(value) / 1000
    return None
