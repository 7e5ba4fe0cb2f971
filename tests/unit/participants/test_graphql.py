"""GraphQL: what errors with and without data mean, for queries and mutations."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

import amends
from amends import Engine, Rejected, Resource, Retry, StepFailed, injected, saga, step
from amends.participants.graphql import GraphqlClient
from amends.participants.http import HttpClient, TryLater, UnknownOutcome, UnreadableReply

from .wire import Line, Request, Script, answers, keys, participant, reply

MUTATION = "mutation Pay($cents: Int!) { charge(cents: $cents) { id } }"


def error(code: str | None = None, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"message": message, **({"extensions": {"code": code}} if code else {}), **more}


async def ask(script: Script, kind: str = "mutate", **options: Any) -> Any:
    async with participant(script) as shop, GraphqlClient(HttpClient(shop.url), **options) as client:
        return await getattr(client, kind)(MUTATION, {"cents": 100})


CASES: list[tuple[dict[str, Any], type, type]] = [
    # the answer, what a mutation makes of it, what a query makes of it
    ({"errors": [error()]}, Rejected, Rejected),  # without data it never began
    ({"errors": [error("GRAPHQL_VALIDATION_FAILED")]}, Rejected, Rejected),
    ({"errors": [error("INTERNAL_SERVER_ERROR")]}, UnknownOutcome, TryLater),
    ({"data": None, "errors": [error()]}, UnknownOutcome, TryLater),
    ({"data": None, "errors": [error("BAD_USER_INPUT")]}, Rejected, Rejected),
    ({"data": {"charge": None}, "errors": [error("FORBIDDEN")]}, Rejected, Rejected),
    ({"data": {"charge": None}, "errors": [error("THROTTLED")]}, TryLater, TryLater),
    ({"data": {"charge": None}, "errors": [error("FORBIDDEN"), error()]}, UnknownOutcome, TryLater),
    ({"data": {"a": {"id": 1}, "b": None}, "errors": [error("FORBIDDEN")]}, UnknownOutcome, Rejected),
    ({"data": {"charge": None}, "errors": [error("OF_THEIR_OWN")]}, UnknownOutcome, TryLater),
    ({"data": None, "errors": ["not an object"]}, UnknownOutcome, TryLater),
]


@pytest.mark.parametrize(("answer", "mutation", "query"), CASES)
def test_what_errors_mean(answer: dict[str, Any], mutation: type, query: type) -> None:
    for kind, expected in (("mutate", mutation), ("query", query)):
        with pytest.raises(amends.AmendsError) as caught:
            asyncio.run(ask(answers(200, answer), kind))
        assert type(caught.value) is expected, kind


@pytest.mark.parametrize(("status", "expected"), [(400, Rejected), (500, UnknownOutcome), (429, TryLater)])
def test_the_status_counts_first(status: int, expected: type) -> None:
    with pytest.raises(amends.AmendsError) as caught:
        asyncio.run(ask(answers(status, {"errors": [error(message="why")]})))
    assert type(caught.value) is expected


def test_a_rejection_tells_its_codes() -> None:
    answer = {"data": {"charge": None}, "errors": [error("FORBIDDEN", "limit", path=["charge"])]}
    with pytest.raises(Rejected, match=r"limit \(FORBIDDEN\)") as caught:
        asyncio.run(ask(answers(200, answer)))
    assert caught.value.details == {"errors": [{"message": "limit", "code": "FORBIDDEN", "path": ["charge"]}]}


def test_codes_can_differ() -> None:
    answer = {"data": {"charge": None}, "errors": [error("CARD_DECLINED")]}
    with pytest.raises(Rejected):
        asyncio.run(ask(answers(200, answer), codes={"CARD_DECLINED": "rejected"}))
    with pytest.raises(amends.DefinitionError, match="there would be no reply"):
        GraphqlClient(HttpClient("http://x"), codes={"X": "succeeded"})  # type: ignore[dict-item]
    with pytest.raises(amends.DefinitionError, match="cannot be 'declined'"):
        GraphqlClient(HttpClient("http://x"), codes={"X": "declined"})  # type: ignore[dict-item]


class Charge(msgspec.Struct):
    id: str


class Data(msgspec.Struct):
    charge: Charge


def test_data_is_read_by_type() -> None:
    async def main() -> None:
        async with participant(answers(200, {"data": {"charge": {"id": "p-1"}}})) as shop:
            async with GraphqlClient(HttpClient(shop.url), "/api") as client:
                assert (await client.mutate(MUTATION, {"cents": 1}, type=Data)).charge.id == "p-1"
                assert await client.query("{ charge { id } }", operation="Q") == {"charge": {"id": "p-1"}}
                with pytest.raises(UnreadableReply, match="the data does not fit"):
                    await client.query("{ x }", type=dict[str, int])
            first, second, _ = shop.requests
            assert first.path == "/api"
            assert first.json == {"query": MUTATION, "variables": {"cents": 1}}
            assert second.json["operationName"] == "Q"

    asyncio.run(main())


@pytest.mark.parametrize("status", [200, 400, 404])
def test_a_document_is_sent_by_its_hash_first(status: int) -> None:
    known: set[str] = set()

    async def play(line: Line, request: Request) -> None:
        body = request.json
        digest = body["extensions"]["persistedQuery"]["sha256Hash"]
        if "query" in body:
            assert hashlib.sha256(body["query"].encode()).hexdigest() == digest
            known.add(digest)
        if digest in known:
            await line.write(reply(200, {"data": {"ok": True}}))
        else:
            await line.write(reply(status, {"errors": [error("PERSISTED_QUERY_NOT_FOUND")]}))

    async def main() -> None:
        async with participant(play) as shop:
            async with GraphqlClient(HttpClient(shop.url), persisted=True) as client:
                for _ in range(2):
                    assert await client.mutate(MUTATION, {"cents": 1}) == {"ok": True}
            assert ["query" in r.json for r in shop.requests] == [False, True, False]

    asyncio.run(main())


class Shop(GraphqlClient):
    pass


@step(name="graphql.pay", retry=Retry(attempts=1))
async def pay(shop: Resource[Shop] = injected) -> str:
    return str((await shop.mutate(MUTATION, {"cents": 1}, type=Data)).charge.id)


@pay.compensation
async def undo(result: str | None, shop: Resource[Shop] = injected) -> None:
    await shop.http.post("/undo")


@saga(name="graphql.saga")
async def one() -> str:
    try:
        return await pay()
    except StepFailed as failed:
        return f"{failed.outcome} {failed.type}"


@pytest.mark.parametrize(
    ("answer", "seen", "undone"),
    [
        ({"data": {"charge": {"id": "p-1"}}}, "p-1", 0),
        ({"data": {"charge": None}, "errors": [error("FORBIDDEN")]}, "rejected Rejected", 0),
        ({"data": {"charge": None}, "errors": [error()]}, "unknown UnknownOutcome", 1),
        ({"data": {"charge": {}}}, "unknown UnreadableReply", 1),
    ],
)
def test_in_a_step(answer: dict[str, Any], seen: str, undone: int) -> None:
    async def main() -> None:
        async with participant(answers(200, answer)) as bank:
            async with Engine(sagas=[one], resources=[Shop(HttpClient(bank.url))]) as engine:
                assert await engine.run(one()) == seen
            assert len(bank.requests) == 1 + undone
            assert keys(bank.requests)[0].endswith("/do")

    asyncio.run(main())
