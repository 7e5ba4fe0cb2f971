"""What a client tells the participant of the attempt it works for; asynchronous participants, probes, cache, threads."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from typing import Any

import msgspec
import pytest

import amends
from amends import (
    SEALED,
    UNRESOLVED,
    Engine,
    NotSent,
    Rejected,
    Resource,
    Retry,
    StepFailed,
    current,
    injected,
    saga,
    step,
)
from amends.definition.context import CURRENT, Current
from amends.participants import attempt
from amends.participants.http import Accepted, HttpClient, TryLater, UnknownOutcome, as_uuid

from .wire import Participant, Script, answers, keys, participant, reset, silent

ONCE = Retry(attempts=1)


class Bank(HttpClient):
    pass


async def run(bank: Participant, step_: Any, **options: Any) -> Any:
    """A saga of this one step, which sees how it ended."""

    @saga(name="attempt.saga")
    async def one() -> Any:
        try:
            return await step_()
        except StepFailed as error:
            return f"{error.outcome} {error.type}"

    async with Engine(sagas=[one], resources=[Bank(bank.url, **options)]) as engine:
        return await engine.run(one(), id="order-1")


# ---------------------------------------------------------------- headers


def test_each_attempt_says_who_it_is() -> None:
    seen: list[Current] = []

    @step(name="attempt.pay", timeout=20, retry=Retry(attempts=2, delay=0, jitter=0))
    async def pay(bank: Resource[Bank] = injected) -> None:
        seen.append(current())
        await bank.post("/charges", json={"b": 1, "a": 2})

    @pay.compensation
    async def undo(result: None, bank: Resource[Bank] = injected) -> None:
        seen.append(current())
        await bank.delete("/charges")

    async def main() -> None:
        async with participant(reset, reset, answers(200)) as bank:
            assert await run(bank, pay) == "unknown UnknownOutcome"
            first, second, undone = bank.requests
            here = seen[0]
            assert keys(bank.requests) == [f"{here.uid}/0/1/do"] * 2 + [f"{here.uid}/0/1/undo"]
            told = [r.headers for r in bank.requests]
            assert [h["amends-direction"] for h in told] == ["do", "do", "undo"]
            assert [h["amends-attempt"] for h in told] == ["1", "2", "1"]
            assert {h["amends-execution"] for h in told} == {here.uid}
            traces = [h["traceparent"].split("-") for h in told]
            assert {t[1] for t in traces} == {here.uid}, "one trace for the execution"
            assert len({t[2] for t in traces}) == 3, "one span per attempt"
            assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", h["traceparent"]) for h in told)
            assert first.body == second.body == b'{"a":2,"b":1}', "the same bytes each time"
            assert first.headers["content-type"] == "application/json"
            until = first.headers["amends-deadline"]
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", until)
            assert "amends-deadline" not in undone.headers, "it has no timeout"

    asyncio.run(main())


def test_outside_of_a_step_there_is_nothing_to_say() -> None:
    async def main() -> None:
        async with participant() as bank, HttpClient(bank.url) as client:
            await client.post("/charges")
            assert not {"idempotency-key", "traceparent", "amends-execution"} & set(bank.requests[0].headers)

    asyncio.run(main())


def test_the_key_takes_the_form_that_the_participant_wants() -> None:
    @step(name="attempt.form")
    async def pay(bank: Resource[Bank] = injected) -> str:
        await bank.post("/a")
        await bank.post("/b", part="capture")
        return current().idempotency_key

    async def main() -> None:
        async with participant() as bank:
            key = await run(bank, pay, key_header="X-Request-Id", key_form=as_uuid)
            sent = [r.headers["x-request-id"] for r in bank.requests]
            assert sent == [as_uuid(key), as_uuid(f"{key}/capture")]
            assert "idempotency-key" not in bank.requests[0].headers

    asyncio.run(main())


def here(**options: Any) -> Current:
    return Current(
        "id", options.pop("uid", "0" * 31 + "7"), 0, "saga", "step", "1", options.pop("attempt", 1), **options
    )


def test_a_uid_that_is_no_trace_id_is_made_one() -> None:
    assert attempt.traceparent(here()).split("-")[1] == "0" * 31 + "7"
    for uid in ("order-7", "0" * 32, "A" * 32):
        assert re.fullmatch("[0-9a-f]{32}", attempt.traceparent(here(uid=uid)).split("-")[1])
    assert attempt.traceparent(here()) == attempt.traceparent(here())


def test_an_open_span_of_opentelemetry_is_carried_on() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    own = attempt.headers(here())["traceparent"]
    with tracer.start_as_current_span("outer") as span:
        context = span.get_span_context()
        carried = attempt.headers(here())["traceparent"]
        assert carried.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
    assert attempt.headers(here())["traceparent"] == own


class Clock:
    def now(self) -> float:
        return 1_000.0

    monotonic = now


@pytest.mark.parametrize(
    ("deadline", "most", "left"),
    [
        (None, 30, 30),
        (1_010.0, 30, 9.5),
        (1_100.0, 30, 30),
        (1_100.0, 500, 99),
        (1_000.0, 30, 0),
        (990.0, 30, -9.5),
    ],
)
def test_time_is_cut_to_what_the_attempt_has_left(deadline: float | None, most: float, left: float) -> None:
    assert attempt.time_left(here(deadline_at=deadline), Clock(), most) == pytest.approx(left)


def test_an_attempt_without_time_sends_nothing() -> None:
    async def main() -> None:
        async with participant() as bank, HttpClient(bank.url) as client:
            token = CURRENT.set(here(deadline_at=1.0))
            try:
                with pytest.raises(NotSent, match="the attempt's time is up"):
                    await client.post("/charges")
            finally:
                CURRENT.reset(token)
            assert not bank.requests

    asyncio.run(main())


def test_a_hung_participant_is_given_up_before_the_step_is() -> None:
    said: list[str] = []

    @step(name="attempt.hung", timeout=1, retry=ONCE)
    async def pay(bank: Resource[Bank] = injected) -> None:
        try:
            await bank.post("/charges")
        except UnknownOutcome as error:
            said.append(error.message)
            raise

    async def main() -> None:
        async with participant(silent) as bank:
            await run(bank, pay)

    asyncio.run(main())
    assert said
    assert re.search(r"no reply within 0\.9\d* s", said[0])


def test_cookies_of_one_execution_do_not_go_out_with_the_next() -> None:
    async def main() -> None:
        async with participant(answers(200, {}, {"set-cookie": "sid=1; Path=/"})) as bank:
            async with HttpClient(bank.url) as client:
                await client.post("/a")
                await client.post("/b")
            assert "cookie" not in bank.requests[1].headers

    asyncio.run(main())


# ---------------------------------------------------------------- asynchronous participants


def polled(where: dict[str, str], *then: Script) -> Participant:
    return Participant([answers(202, None, where), *then])


@pytest.mark.parametrize(
    ("header", "then"),
    [
        ("location", [answers(202), answers(202, None, {"retry-after": "0"}), answers(200, "done")]),
        ("location", [answers(202), answers(303, None, {"location": "/results/1"}), answers(200, "done")]),
        ("location", [reset, answers(503), answers(200, "done")]),
        ("operation-location", [answers(200, {"status": "Running"}), answers(200, {"status": "Succeeded"})]),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_an_accepted_request_is_asked_for_until_it_is_done(
    header: str, then: list[Script], inside: bool
) -> None:
    @step(name="attempt.polls", retry=ONCE, timeout=10)
    async def pay(bank: Resource[Bank] = injected) -> Any:
        reply = await bank.poll(await bank.post("/charges"), every=0.01)
        return reply.read()

    async def main() -> None:
        bank = polled({header: "/operations/1"}, *then)
        await bank.start()
        if inside:
            found = await run(bank, pay)
        else:
            async with Bank(bank.url) as client:
                found = await pay(bank=client)
        await bank.stop()
        assert found in ("done", {"status": "Succeeded"})
        assert {r.path for r in bank.requests[1:]} <= {"/operations/1", "/results/1"}

    asyncio.run(main())


def test_the_wait_that_the_participant_asks_for_is_kept() -> None:
    async def main() -> None:
        bank = polled({"location": "/operations/1", "retry-after": "1"}, answers(200, 1))
        await bank.start()
        async with Bank(bank.url) as client:
            began = asyncio.get_running_loop().time()
            await client.poll(await client.post("/charges"), every=0.001)
            assert asyncio.get_running_loop().time() - began >= 1
        await bank.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failed", "seen"),
    [("unknown", "unknown UnknownOutcome"), ("rejected", "rejected Rejected"), ("succeeded", "failed")],
)
def test_what_a_failed_operation_means_is_for_the_caller_to_say(failed: Any, seen: str) -> None:
    @step(name="attempt.fails", retry=ONCE)
    async def pay(bank: Resource[Bank] = injected) -> str:
        reply = await bank.poll(await bank.post("/charges"), every=0.01, failed=failed)
        return str(reply.read()["status"])

    async def main() -> None:
        bank = polled({"operation-location": "/o"}, answers(200, {"status": "failed"}))
        await bank.start()
        assert await run(bank, pay) == seen
        await bank.stop()

    asyncio.run(main())


def test_time_that_is_up_while_polling_leaves_it_unknown() -> None:
    async def main() -> None:
        bank = polled({"location": "/o"}, answers(202))
        await bank.start()
        async with Bank(bank.url, timeout=0.2) as client:
            with pytest.raises(UnknownOutcome, match="still under way"):
                await client.poll(await client.post("/charges"), every=0.01)
        await bank.stop()

    asyncio.run(main())


def test_waiting_durably_for_an_accepted_request() -> None:
    """Two steps: one hands in, the other's retries do the waiting."""

    @step(name="attempt.submit")
    async def submit(bank: Resource[Bank] = injected) -> Accepted:
        return (await bank.post("/charges")).accepted()

    @step(name="attempt.collect", retry=Retry(attempts=None, delay=0, total=60))
    async def collect(accepted: Accepted, bank: Resource[Bank] = injected) -> str:
        return (await bank.check(accepted, every=0.01)).read(str)

    @saga(name="attempt.durable")
    async def both() -> str:
        return await collect(await submit())

    async def main() -> None:
        bank = polled({"location": "operations/1?key=x"}, answers(202), answers(202), answers(200, "paid"))
        await bank.start()
        async with Engine(sagas=[both], resources=[Bank(f"{bank.url}/v1")]) as engine:
            assert await engine.run(both()) == "paid"
        await bank.stop()
        assert [r.path for r in bank.requests] == ["/v1/charges", *["/v1/operations/1?key=x"] * 3]

    asyncio.run(main())


def test_an_acceptance_without_an_address_says_so() -> None:
    async def main() -> None:
        async with participant(answers(202)) as bank, HttpClient(bank.url) as client:
            reply = await client.post("/charges")
            with pytest.raises(UnknownOutcome, match="202 without an address to ask") as caught:
                reply.accepted()
            assert "Signal" in caught.value.hint

    asyncio.run(main())


def test_an_address_on_another_host_is_not_asked() -> None:
    async def main() -> None:
        where = {"location": "http://elsewhere.example/o"}
        async with participant(answers(202, None, where)) as bank, HttpClient(bank.url) as client:
            with pytest.raises(NotSent, match="another host"):
                await client.check(await client.post("/charges"))

    asyncio.run(main())


# ---------------------------------------------------------------- probes


class Payment(msgspec.Struct):
    id: str


@pytest.mark.parametrize(
    ("script", "found", "outcome"),
    [
        (answers(200, {"id": "p-7"}), Payment("p-7"), "p-7"),
        (answers(410), SEALED, "rejected UnknownOutcome"),
        (answers(404), UNRESOLVED, "unknown UnknownOutcome"),
        (answers(202), UNRESOLVED, "unknown UnknownOutcome"),
        (answers(500), TryLater, "unknown UnknownOutcome"),
        (reset, TryLater, "unknown UnknownOutcome"),
        (answers(403), Rejected, "unknown UnknownOutcome"),
    ],
)
def test_a_probe_asks_by_the_key(script: Script, found: Any, outcome: str) -> None:
    answered: list[Any] = []

    @step(name="attempt.probed", retry=ONCE)
    async def pay(bank: Resource[Bank] = injected) -> Payment:
        return (await bank.post("/charges")).read(Payment)

    @pay.probe
    async def ask(bank: Resource[Bank] = injected) -> Any:
        try:
            answered.append(await bank.probe("/charges/by-key", Payment, sealed=[410]))
        except Exception as error:
            answered.append(type(error))
            raise
        return answered[-1]

    @saga(name="attempt.probing")
    async def one() -> str:
        try:
            return (await pay()).id
        except StepFailed as error:
            return f"{error.outcome} {error.type}"

    async def main() -> None:
        async with participant(reset, script) as bank:
            async with Engine(sagas=[one], resources=[Bank(bank.url)]) as engine:
                assert await engine.run(one()) == outcome
            assert len(set(keys(bank.requests))) == 1

    asyncio.run(main())
    if found is TryLater or found is Rejected:
        assert answered == [UnknownOutcome], "the attempt it asks about has acted"
    else:
        assert answered == [found]


# ---------------------------------------------------------------- cache


class Ticking:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    monotonic = now


def test_replies_are_kept_for_as_long_as_the_caller_says() -> None:
    async def main() -> None:
        clock = Ticking()
        async with participant(answers(200, 1), answers(200, 2), answers(200, 3)) as bank:
            async with HttpClient(bank.url, clock=clock) as client:
                assert (await client.get("/price", cached=30)).read() == 1
                kept = await client.get("/price", cached=30)
                assert (kept.read(), kept.cached) == (1, True)
                assert (await client.get("/price", cached=30, params={"of": "x"})).read() == 2
                assert (await client.get("/price", cached=30, headers={"accept-language": "de"})).read() == 3
                clock.at += 31
                assert (await client.get("/price", cached=30)).read() == 3
            assert len(bank.requests) == 4

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "asked"), [(answers(200, 1, {"cache-control": "private, no-store"}), 2), (answers(404), 2)]
)
def test_what_should_not_be_kept_is_not(script: Script, asked: int) -> None:
    async def main() -> None:
        async with participant(script) as bank, HttpClient(bank.url) as client:
            for _ in range(2):
                with contextlib.suppress(Rejected):
                    await client.get("/price", cached=30)
            assert len(bank.requests) == asked

    asyncio.run(main())


@pytest.mark.parametrize(("size", "asked"), [(0, 6), (2, 6), (3, 3)])
def test_the_cache_is_bounded(size: int, asked: int) -> None:
    async def main() -> None:
        async with participant() as bank, HttpClient(bank.url, cache=size) as client:
            for n in (0, 1, 2, 0, 1, 2):
                await client.get(f"/{n}", cached=30)
            assert len(bank.requests) == asked

    asyncio.run(main())


def test_only_a_get_is_cached() -> None:
    async def main() -> None:
        async with participant() as bank, HttpClient(bank.url) as client:
            with pytest.raises(amends.DefinitionError, match="a POST cannot be cached"):
                await client.post("/x", cached=3)

    asyncio.run(main())


# ---------------------------------------------------------------- threads


def test_a_plain_step_waits_for_the_client() -> None:
    @step(name="attempt.plain", timeout=10, retry=ONCE)
    def pay(bank: Resource[Bank] = injected) -> int:
        return bank.wait(bank.post("/charges", json=1)).status

    async def main() -> None:
        async with participant(answers(201), answers(422)) as bank:
            assert await run(bank, pay) == 201
            assert keys(bank.requests)[0].endswith("/do"), "it knows its attempt, in its thread too"
            assert await run(bank, pay) == "rejected Rejected"

    asyncio.run(main())


def test_waiting_on_the_loop_itself_is_refused() -> None:
    async def main() -> None:
        async with participant() as bank, HttpClient(bank.url) as client:
            with pytest.raises(amends.DefinitionError, match="await the call here"):
                client.wait(client.get("/"))
        with pytest.raises(amends.DefinitionError, match="is not open"):
            client.wait(client.get("/"))

    asyncio.run(main())


# ---------------------------------------------------------------- installing


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("http", "httpx2", "http"),
        ("http", "cachetools", "http"),
        ("graphql", "httpx2", "http"),
        ("grpc", "grpc", "grpc"),
        ("breaker", "purgatory", "breaker"),
    ],
)
def test_a_missing_library_says_what_to_install(module: str, library: str, extra: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import amends.participants.{module}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"pip install 'amends[{extra}]'" in done.stderr.splitlines()[-1]


def test_the_engine_does_without_them() -> None:
    code = (
        "import amends, sys; print(sorted({'httpx2', 'grpc', 'purgatory', 'cachetools'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
