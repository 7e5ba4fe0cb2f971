"""gRPC: what each status means, what a call says of its attempt, and what was certainly not sent; on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

import amends
from amends import Engine, NotSent, Rejected, Resource, Retry, StepFailed, injected, saga, step
from amends.participants.breaker import Breaker
from amends.participants.failures import TryLater, UnknownOutcome
from amends.participants.grpc import CODES, GrpcChannel

from .wire import hangs_up, participant, refused_port

CHARGE = "/bank.Bank/Charge"
Handler = Callable[[bytes, Any], Awaitable[bytes]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A gRPC server with one method; yields its address and the metadata of each call."""
    calls: list[dict[str, str]] = []

    async def handle(request: bytes, context: Any) -> bytes:
        calls.append({**dict(context.invocation_metadata()), "left": str(context.time_remaining())})
        return await handler(request, context)

    made = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(handle)
    methods = {"Charge": method, "Refund": method, "Get": method}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bank.Bank", methods),))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    try:
        yield f"127.0.0.1:{port}", calls
    finally:
        await made.stop(None)


def aborts(code: Any, details: str = "because", trailers: tuple[tuple[str, str], ...] = ()) -> Handler:
    async def handle(request: bytes, context: Any) -> bytes:
        await context.abort(code, details, trailers)
        return b""

    return handle


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def hang(request: bytes, context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


async def call(target: str, method: str = CHARGE, **options: Any) -> bytes:
    async with GrpcChannel(target, **options) as bank:
        return bytes(await bank.channel.unary_unary(method)(b"100"))


async def failure(target: str, method: str = CHARGE, **options: Any) -> amends.AmendsError:
    with pytest.raises(amends.AmendsError) as caught:
        await call(target, method, **options)
    return caught.value


KINDS = {"rejected": Rejected, "later": TryLater, "unknown": UnknownOutcome}


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str
)
def test_each_status_has_its_outcome(code: Any) -> None:
    async def main() -> None:
        async with server(aborts(code)) as (target, calls):
            error = await failure(target)
            assert type(error) is KINDS[CODES[code]]
            assert f"{CHARGE}: {code.name}: because" in str(error)
            assert len(calls) == 1

    asyncio.run(main())


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_declines_on_purpose_is_asked_later(code: Any) -> None:
    async def main() -> None:
        async with server(aborts(code, trailers=(("grpc-retry-pushback-ms", "1500"),))) as (target, _):
            error = await failure(target)
            assert isinstance(error, TryLater)
            assert error.retry_after == 1.5

    asyncio.run(main())


def test_verdicts_can_differ() -> None:
    async def main() -> None:
        async with server(aborts(grpc.StatusCode.NOT_FOUND)) as (target, _):
            assert type(await failure(target, codes={"NOT_FOUND": "unknown"})) is UnknownOutcome
            assert type(await failure(target, codes={grpc.StatusCode.NOT_FOUND: "later"})) is TryLater

    asyncio.run(main())
    with pytest.raises(amends.DefinitionError, match="takes gRPC status codes"):
        GrpcChannel("x", codes={"NOT_FUOND": "unknown"})
    with pytest.raises(amends.DefinitionError, match="there would be no reply"):
        GrpcChannel("x", codes={"NOT_FOUND": "succeeded"})  # type: ignore[dict-item]
    with pytest.raises(amends.DefinitionError, match="cannot be 'no'"):
        GrpcChannel("x", codes={"NOT_FOUND": "no"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "target", [f"127.0.0.1:{refused_port()}", "nobody.invalid:1"], ids=["refused port", "no such host"]
)
def test_without_a_connection_nothing_was_sent(target: str) -> None:
    error = asyncio.run(failure(target, connect=2))
    assert type(error) is NotSent
    assert "not sent, no connection" in str(error)


def test_a_server_that_never_finishes_the_handshake_got_nothing() -> None:
    async def main() -> None:
        async with participant(hangs_up) as bank:
            error = await failure(f"127.0.0.1:{bank.port}", connect=0.3)
            assert type(error) is NotSent

    asyncio.run(main())


def test_a_connection_that_breaks_during_the_call_is_unknown() -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def handle(request: bytes, context: Any) -> bytes:
            arrived.set()
            return await hang(request, context)

        async with GrpcChannelTo(handle) as (bank, stop):
            calling = asyncio.ensure_future(bank.channel.unary_unary(CHARGE)(b"1"))
            await arrived.wait()
            await stop()
            with pytest.raises(UnknownOutcome, match=r"UNAVAILABLE|CANCELLED"):
                await calling

    asyncio.run(main())


@asynccontextmanager
async def GrpcChannelTo(handler: Handler) -> AsyncIterator[tuple[GrpcChannel, Callable[[], Awaitable[None]]]]:  # noqa: N802
    made = grpc.aio.server()
    method = {"Charge": grpc.unary_unary_rpc_method_handler(handler)}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bank.Bank", method),))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    async with GrpcChannel(f"127.0.0.1:{port}", timeout=20) as bank:
        yield bank, lambda: made.stop(None)


def test_a_server_that_hangs_is_given_up_and_unknown() -> None:
    async def main() -> None:
        async with server(hang) as (target, _):
            error = await failure(target, timeout=0.3)
            assert type(error) is UnknownOutcome
            assert "DEADLINE_EXCEEDED" in str(error)
            assert type(await failure(target, "/bank.Bank/Get", timeout=0.3, reads=["Get"])) is TryLater
            assert (
                type(await failure(target, "/bank.Bank/Get", timeout=0.3, reads=["/bank.Bank/Get"]))
                is TryLater
            )

    asyncio.run(main())


def test_a_reply_that_is_too_large_is_unknown() -> None:
    """The library calls it RESOURCE_EXHAUSTED, as if the server had declined; but the server has acted."""

    async def big(request: bytes, context: Any) -> bytes:
        return b"x" * 10_000

    async def main() -> None:
        async with server(big) as (target, _):
            error = await failure(target, options=[("grpc.max_receive_message_length", 1000)])
            assert type(error) is UnknownOutcome
            assert "RESOURCE_EXHAUSTED" in str(error)

    asyncio.run(main())


# ---------------------------------------------------------------- in a step


class Bank(GrpcChannel):
    pass


@step(name="grpc.pay", timeout=5, retry=Retry(attempts=1))
async def pay(bank: Resource[Bank] = injected) -> int:
    return len(await bank.channel.unary_unary(CHARGE)(b"100", metadata=(("extra", "1"),)))


@pay.compensation
async def refund(result: int | None, bank: Resource[Bank] = injected) -> None:
    await bank.channel.unary_unary("/bank.Bank/Refund")(b"100")


@saga(name="grpc.saga")
async def one() -> str:
    try:
        return str(await pay())
    except StepFailed as error:
        return f"{error.outcome} {error.type}"


async def run(target: str, **options: Any) -> str:
    async with Engine(sagas=[one], resources=[Bank(target, **options)]) as engine:
        return await engine.run(one())


def test_a_call_says_whose_attempt_it_is() -> None:
    async def main() -> None:
        async with server(echo) as (target, calls):
            assert await run(target, metadata={"Authorization": "Bearer abcdef"}) == "3"
            (told,) = calls
            assert told["idempotency-key"].endswith("/0/1/do")
            assert told["amends-direction"] == "do"
            assert told["traceparent"].split("-")[1] == told["amends-execution"]
            assert (told["extra"], told["authorization"]) == ("1", "Bearer abcdef")
            assert 4 < float(told["left"]) < 5, "what the attempt has left, less a little"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "seen", "directions"),
    [
        (grpc.StatusCode.INTERNAL, "unknown UnknownOutcome", ["do", "undo"]),
        (grpc.StatusCode.FAILED_PRECONDITION, "rejected Rejected", ["do"]),
    ],
)
def test_an_unknown_outcome_is_undone_and_a_refusal_is_not(
    code: Any, seen: str, directions: list[str]
) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        if dict(context.invocation_metadata())["amends-direction"] == "do":
            await context.abort(code, "no")
        return b""

    async def main() -> None:
        async with server(handle) as (target, calls):
            assert await run(target) == seen
            assert [c["amends-direction"] for c in calls] == directions

    asyncio.run(main())


def test_a_breaker_stands_before_it() -> None:
    async def main() -> None:
        breaker = Breaker("bank", failures=2, wait=60)
        target = f"127.0.0.1:{refused_port()}"
        async with GrpcChannel(target, breaker=breaker) as bank:
            charge = bank.channel.unary_unary(CHARGE)
            kinds = []
            for _ in range(3):
                with pytest.raises(NotSent) as caught:
                    await charge(b"")
                kinds.append(type(caught.value).__name__)
        assert kinds == ["NotSent", "NotSent", "CircuitOpen"]

    asyncio.run(main())


def test_secrets_of_the_channel_are_hidden() -> None:
    async def tell(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(context.invocation_metadata()))
        return b""

    async def main() -> None:
        async with server(tell) as (target, _):
            error = await failure(target, metadata={"authorization": "Bearer c4n4ry"})
            assert "[secret]" in str(error)
            assert "c4n4ry" not in str(error)

    asyncio.run(main())


def test_a_channel_that_is_not_open_says_so() -> None:
    with pytest.raises(amends.DefinitionError, match="is not open"):
        GrpcChannel("x").channel  # noqa: B018
