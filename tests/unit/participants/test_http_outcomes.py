"""What each way to fail on the wire means, on real sockets; and that the engine hears it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import httpx2
import pytest
import trustme

import amends
from amends import Engine, NotSent, Rejected, Resource, Retry, StepFailed, injected, saga, step
from amends.errors import AmendsError
from amends.participants.http import HttpClient, TryLater, UnknownOutcome, UnreadableReply

from .wire import (
    Participant,
    Script,
    answers,
    garbage,
    half,
    hangs_up,
    keys,
    participant,
    refused_port,
    reset,
    silent,
)

ONCE = Retry(attempts=1)


async def post(url: str, **options: Any) -> Any:
    async with HttpClient(url, timeout=options.pop("timeout", 5), **options) as client:
        return await client.post("/charges", json={"cents": 100})


async def failure(url: str, **options: Any) -> AmendsError:
    with pytest.raises(AmendsError) as caught:
        await post(url, **options)
    assert caught.value.__context__ is None, "the library's own text does not come along"
    return caught.value


# ---------------------------------------------------------------- sent or not


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (reset, "the connection broke after the request was sent"),
        (hangs_up, "the connection broke after the request was sent"),
        (half, "the connection broke after the request was sent"),
        (garbage, "the connection broke after the request was sent"),
        (silent, "no reply within 1 s"),
    ],
)
def test_after_the_request_was_sent_nobody_knows(script: Script, words: str) -> None:
    async def main() -> None:
        async with participant(script) as bank:
            error = await failure(bank.url, timeout=1)
            assert type(error) is UnknownOutcome
            assert words in str(error)
            assert len(bank.requests) == 1

    asyncio.run(main())


def test_a_reply_in_two_halves_is_waited_for_only_so_long() -> None:
    async def trickle(line: Any, request: Any) -> None:
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while line.open:
            await line.write(b" ")
            await asyncio.sleep(0.02)

    async def main() -> None:
        async with participant(trickle) as bank:
            assert type(await failure(bank.url, timeout=1)) is UnknownOutcome

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://127.0.0.1:{refused_port()}", "not sent, no connection"),
        ("http://nobody.invalid", "not sent, no connection"),
    ],
    ids=["refused", "no such name"],
)
def test_without_a_connection_nothing_was_sent(url: str, words: str) -> None:
    error = asyncio.run(failure(url))
    assert type(error) is NotSent
    assert words in str(error)


def test_a_certificate_that_is_not_trusted_stops_the_request() -> None:
    async def main() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with participant(ssl=context) as bank:
            error = await failure(bank.url.replace("http:", "https:"))
            assert type(error) is NotSent
            assert "certificate" in str(error).lower()
            assert not bank.requests

    asyncio.run(main())


def test_no_free_connection_means_not_sent() -> None:
    async def main() -> None:
        async with participant(silent) as bank, HttpClient(bank.url, timeout=2, connections=1) as client:
            holder = asyncio.ensure_future(client.get("/slow", timeout=5))
            while not bank.requests:
                await asyncio.sleep(0)
            with pytest.raises(NotSent, match="no free connection in the pool") as caught:
                await client.post("/charges", timeout=0.2)
            assert type(caught.value) is NotSent
            holder.cancel()
            await asyncio.gather(holder, return_exceptions=True)
            assert len(bank.requests) == 1

    asyncio.run(main())


def test_a_connection_that_never_comes_about_means_not_sent() -> None:
    """A listener that accepts and then says nothing of TLS: time is up during the handshake."""

    async def main() -> None:
        async with participant() as bank:
            error = await failure(bank.url.replace("http:", "https:"), timeout=0.3)
            assert type(error) is NotSent
            assert not bank.requests

    asyncio.run(main())


def test_a_transport_that_does_not_trace_is_believed_only_where_there_is_no_doubt() -> None:
    class Transport(httpx2.AsyncBaseTransport):
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise self.error

    async def main(error: Exception) -> AmendsError:
        return await failure("http://bank", session=lambda: httpx2.AsyncClient(transport=Transport(error)))

    assert type(asyncio.run(main(httpx2.ConnectError("x")))) is NotSent
    assert type(asyncio.run(main(httpx2.ReadError("x")))) is UnknownOutcome
    assert type(asyncio.run(main(OSError("x")))) is UnknownOutcome


@pytest.mark.parametrize("script", [reset, hangs_up, half, garbage, silent, answers(500), answers(302)])
def test_what_changes_nothing_is_never_unknown(script: Script) -> None:
    async def main() -> None:
        async with participant(script) as bank, HttpClient(bank.url, timeout=1) as client:
            with pytest.raises(TryLater):
                await client.get("/charges/1")
            with pytest.raises(TryLater):
                await client.post("/search", json={}, reads=True)

    asyncio.run(main())


def test_a_reply_that_is_too_long_is_cut_off() -> None:
    async def main() -> None:
        async with participant(answers(200, "x" * 2000)) as bank:
            error = await failure(bank.url, longest_reply=1000)
            assert type(error) is UnknownOutcome
            assert "longer than 1,000 bytes" in str(error)
            assert (await post(bank.url)).read(str) == "x" * 2000

    asyncio.run(main())


# ---------------------------------------------------------------- status codes


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (200, {}, None), (201, {}, None), (202, {}, None), (204, {}, None),
        (302, {"location": "/x"}, UnknownOutcome), (303, {"location": "/x"}, UnknownOutcome),
        (304, {}, UnknownOutcome), (307, {"location": "/x"}, Rejected), (308, {"location": "/x"}, Rejected),
        (400, {}, Rejected), (401, {}, Rejected), (403, {}, Rejected), (404, {}, Rejected), (405, {}, Rejected),
        (409, {}, Rejected), (410, {}, Rejected), (422, {}, Rejected),
        (409, {"retry-after": "1"}, UnknownOutcome),
        (408, {}, UnknownOutcome), (499, {}, UnknownOutcome),
        (425, {}, TryLater), (429, {}, TryLater), (429, {"retry-after": "1"}, TryLater),
        (413, {}, Rejected), (413, {"retry-after": "1"}, TryLater),
        (500, {}, UnknownOutcome), (502, {}, UnknownOutcome), (504, {}, UnknownOutcome), (599, {}, UnknownOutcome),
        (501, {}, Rejected), (505, {}, Rejected),
        (503, {}, UnknownOutcome), (503, {"retry-after": "1"}, TryLater),
    ],
)  # fmt: skip
def test_the_table_of_statuses(status: int, headers: dict[str, str], kind: Any) -> None:
    async def main() -> None:
        body = None if status in {204, 304} else {"title": "because"}
        async with participant(answers(status, body, headers)) as bank:
            if kind is None:
                assert (await post(bank.url)).status == status
                return
            error = await failure(bank.url)
            assert type(error) is kind
            assert f": {status}" in str(error)
            assert body is None or "because" in str(error)
            assert len(bank.requests) == 1, "redirects are not followed"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999", 3600.0),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 3600.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_heard(said: str, heard: float | None) -> None:
    async def main() -> None:
        async with participant(answers(429, None, {"retry-after": said})) as bank:
            error = await failure(bank.url)
            assert isinstance(error, TryLater)
            assert error.retry_after == heard

    asyncio.run(main())


def test_verdicts_can_differ_per_client_and_per_call() -> None:
    async def main() -> None:
        async with participant(answers(404)) as bank:
            assert (await post(bank.url, statuses={404: "succeeded"})).status == 404
            async with HttpClient(bank.url, statuses={404: "unknown"}) as client:
                with pytest.raises(UnknownOutcome):
                    await client.post("/x")
                with pytest.raises(TryLater):
                    await client.post("/x", statuses={404: "later"})
                assert (await client.delete("/x", statuses={404: "succeeded"})).status == 404

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong", [{404: "sucess"}, {"404": "succeeded"}, {99: "succeeded"}, {True: "unknown"}]
)
def test_a_policy_that_means_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(amends.DefinitionError) as caught:
        HttpClient("http://bank", statuses=wrong)
    assert caught.value.hint


def test_a_rejection_carries_the_reason() -> None:
    async def main() -> None:
        body = {"type": "about:blank", "title": "card declined", "code": "do_not_honor"}
        async with participant(answers(422, body)) as bank:
            error = await failure(bank.url)
            assert isinstance(error, Rejected)
            phrase = HTTPStatus(422).phrase  # (Python 3.13 has another)
            assert str(error) == f"POST 127.0.0.1:{bank.port}/charges: 422 {phrase}: card declined"
            assert error.details == {"status": 422, "body": body}

    asyncio.run(main())


def test_participants_that_answer_200_and_say_no() -> None:
    def judge(reply: Any) -> Exception | None:
        return Rejected("declined") if reply.read()["status"] == "declined" else None

    async def main() -> None:
        async with participant(answers(200, {"status": "declined"})) as bank, HttpClient(bank.url) as client:
            with pytest.raises(Rejected, match="declined"):
                await client.post("/charges", judge=judge)

    asyncio.run(main())


# ---------------------------------------------------------------- the engine hears it


class Bank(HttpClient):
    pass


def pay(urls: list[str], **options: Any) -> Any:
    """A saga of one step that sends a request to each of these addresses."""

    @step(name="http.pay", retry=ONCE, **options)
    async def act(bank: Resource[Bank] = injected) -> int:
        for path in urls:
            await bank.post(path)
        return len(urls)

    @act.compensation
    async def undo(result: int | None, bank: Resource[Bank] = injected) -> None:
        await bank.delete("/charges")

    @saga(name="http.saga")
    async def one() -> str:
        try:
            return str(await act())
        except StepFailed as error:
            return f"{error.outcome} {error.type}"

    return one


async def outcome(bank: Participant, *paths: str, **options: Any) -> str:
    one = pay(list(paths) or ["/charges"], **options)
    async with Engine(sagas=[one], resources=[Bank(bank.url, timeout=5)]) as engine:
        return str(await engine.run(one(), id="one"))


@pytest.mark.parametrize(
    ("script", "seen", "undone"),
    [
        (answers(201), "1", 0),
        (answers(422), "rejected Rejected", 0),
        (answers(429), "rejected TryLater", 0),
        (answers(500), "unknown UnknownOutcome", 1),
        (reset, "unknown UnknownOutcome", 1),
        (half, "unknown UnknownOutcome", 1),
    ],
)
def test_the_outcome_of_a_step_is_that_of_its_request(script: Script, seen: str, undone: int) -> None:
    async def main() -> None:
        async with participant(script, answers(200)) as bank:
            assert await outcome(bank) == seen
            assert [r.method for r in bank.requests] == ["POST", *["DELETE"] * undone]

    asyncio.run(main())


def test_a_refused_port_is_rejected_and_undoes_nothing() -> None:
    assert asyncio.run(outcome(Participant(port=refused_port()))) == "rejected NotSent"


def test_the_clients_clock_runs_out_before_the_engines(caplog: pytest.LogCaptureFixture) -> None:
    """So that a pool that was full is known as not sent, and a hung participant has its own message."""

    async def main() -> None:
        async with participant(silent, answers(200)) as bank:
            assert await outcome(bank, timeout=1) == "unknown UnknownOutcome"

    asyncio.run(main())


def test_retry_after_reaches_the_retry() -> None:
    waited: list[float] = []

    @step(name="http.waits", retry=Retry(attempts=2, delay=0, jitter=0))
    async def act(bank: Resource[Bank] = injected) -> None:
        waited.append(asyncio.get_running_loop().time())
        await bank.post("/charges")

    @saga(name="http.waiting")
    async def one() -> None:
        await act()

    async def main() -> None:
        async with participant(answers(503, None, {"retry-after": "1"}), answers(200)) as bank:
            async with Engine(sagas=[one], resources=[Bank(bank.url)]) as engine:
                await engine.run(one())
            assert len(set(keys(bank.requests))) == 1

    asyncio.run(main())
    assert waited[1] - waited[0] >= 1


# ---------------------------------------------------------------- one effect per attempt


@pytest.mark.parametrize("second", [answers(422), answers(429), reset])
def test_a_refusal_after_an_effect_of_the_same_attempt_is_not_certain(second: Script) -> None:
    async def main() -> None:
        async with participant(answers(201), second, answers(200)) as bank:
            assert await outcome(bank, "/charges", "/ledger") == "unknown UnknownOutcome"
            assert [r.method for r in bank.requests] == ["POST", "POST", "DELETE"]

    asyncio.run(main())


def test_a_refusal_after_a_lost_request_that_the_step_caught_is_not_certain() -> None:
    @step(name="http.catches", retry=ONCE)
    async def act(bank: Resource[Bank] = injected) -> None:
        try:
            await bank.post("/first")
        except UnknownOutcome:
            await bank.post("/second")

    @saga(name="http.catching")
    async def one() -> str:
        try:
            await act()
        except StepFailed as error:
            return error.outcome
        return ""

    async def main() -> None:
        async with (
            participant(reset, answers(422)) as bank,
            Engine(sagas=[one], resources=[Bank(bank.url)]) as engine,
        ):
            assert await engine.run(one()) == "unknown"

    asyncio.run(main())


def test_refusals_before_the_effect_and_questions_leave_no_doubt() -> None:
    @step(name="http.asks", retry=ONCE)
    async def act(bank: Resource[Bank] = injected) -> None:
        await bank.get("/price")
        try:
            await bank.post("/cheap")
        except Rejected:
            await bank.post("/dear")

    @saga(name="http.asking")
    async def one() -> str:
        try:
            await act()
        except StepFailed as error:
            return error.outcome
        return ""

    async def main() -> None:
        async with (
            participant(answers(200, 1), answers(422), answers(422)) as bank,
            Engine(sagas=[one], resources=[Bank(bank.url)]) as engine,
        ):
            assert await engine.run(one()) == "rejected"

    asyncio.run(main())


def test_the_rule_is_what_keeps_it_from_being_called_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ablation: without it, a charge that was made is called rejected, and nobody takes it back."""
    from amends.participants import attempt

    monkeypatch.setattr(attempt, "acted", lambda of: False)

    async def main() -> None:
        async with participant(answers(201), answers(422), answers(200)) as bank:
            assert await outcome(bank, "/charges", "/ledger") == "rejected Rejected"
            assert [r.method for r in bank.requests] == ["POST", "POST"], "the charge stands"

    asyncio.run(main())


# ---------------------------------------------------------------- reading


def test_a_reply_that_does_not_fit_is_final() -> None:
    async def main() -> None:
        async with participant(answers(200, {"id": 7})) as bank:
            reply = await post(bank.url)
            assert reply.read(dict[str, int]) == {"id": 7}
            assert reply.read() == {"id": 7}
            with pytest.raises(UnreadableReply, match=r"/charges: the reply does not fit .*str") as caught:
                reply.read(dict[str, str])
            assert isinstance(caught.value, amends.PayloadError)

    asyncio.run(main())


def test_a_client_that_is_not_open_says_so() -> None:
    async def main() -> None:
        client = HttpClient("http://127.0.0.1:1")
        with pytest.raises(amends.DefinitionError, match="is not open"):
            await client.get("/")
        async with client:
            with pytest.raises(amends.DefinitionError, match="is open already"):
                await client.__aenter__()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["bank.example", "ftp://bank", "http://", "", "//bank"])
def test_a_base_url_is_checked_at_once(url: str) -> None:
    with pytest.raises(amends.DefinitionError, match="base_url must begin with http"):
        HttpClient(url)


@pytest.mark.parametrize("path", ["http://elsewhere.example/x", "https://127.0.0.1/x"])
def test_credentials_go_to_one_host_only(path: str) -> None:
    async def main() -> None:
        async with participant() as bank, AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                HttpClient(bank.url, headers={"Authorization": "Bearer abcdef"})
            )
            with pytest.raises(NotSent, match="another host"):
                await client.get(path)

    asyncio.run(main())
