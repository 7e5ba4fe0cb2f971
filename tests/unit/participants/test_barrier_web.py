"""The same small service in each framework: what a caller sees of every verdict."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest

from amends import Rejected
from amends.participants.barrier import Barrier, Found, InvalidKey, Key, State
from amends.participants.barrier.web import key_of, refusal, status

barrier = Barrier()


class Bank:
    """The service itself, without HTTP."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        with closing(sqlite3.connect(self.path)) as c:
            barrier.create_table(c)
            c.execute("CREATE TABLE payments (amount integer)")

    def charge(self, key: Key, amount: int) -> Any:
        with closing(sqlite3.connect(self.path)) as c:

            def work() -> None:
                c.execute("INSERT INTO payments VALUES (?)", (amount,))
                if amount > 100:
                    raise Rejected("too much", details={"limit": 100})
                if amount == 13:
                    raise RuntimeError("the disk is on fire")

            return barrier.run(c, key, work, reply={"charged": amount})

    def refund(self, key: Key) -> Any:
        with closing(sqlite3.connect(self.path)) as c:
            return barrier.run(
                c, key, lambda: c.execute("DELETE FROM payments") and None, reply={"refunded": 1}
            )

    def payments(self) -> int:
        with closing(sqlite3.connect(self.path)) as c:
            return int(c.execute("SELECT count(*) FROM payments").fetchone()[0])


Post = Callable[[str, dict[str, str]], tuple[int, str, Any]]


def fastapi(bank: Bank) -> Post:
    from fastapi import Depends, FastAPI

    from amends.participants.barrier.web.starlette import install, key

    app = FastAPI()
    install(app)

    Asked = Annotated[Key, Depends(key)]  # noqa: N806

    @app.post("/charge")
    async def charge(amount: int, key: Asked) -> Any:
        return bank.charge(key, amount)

    @app.post("/refund")
    async def refund(key: Asked) -> Any:
        return bank.refund(key)

    return over_asgi(app)


def starlette(bank: Bank) -> Post:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from amends.participants.barrier.web.starlette import install

    async def charge(request: Request) -> JSONResponse:
        return JSONResponse(bank.charge(key_of(request.headers), int(request.query_params["amount"])))

    async def refund(request: Request) -> JSONResponse:
        return JSONResponse(bank.refund(key_of(request.headers)))

    routes = [Route("/charge", charge, methods=["POST"]), Route("/refund", refund, methods=["POST"])]
    app = Starlette(routes=routes)
    install(app)
    return over_asgi(app)


def litestar(bank: Bank) -> Post:
    from litestar import Litestar, post
    from litestar.di import NamedDependency, Provide
    from litestar.params import FromQuery

    from amends.participants.barrier.web.litestar import exception_handlers, key

    @post("/charge", status_code=200)
    async def charge(key: NamedDependency[Key], amount: FromQuery[int]) -> Any:
        return bank.charge(key, amount)

    @post("/refund", status_code=200)
    async def refund(key: NamedDependency[Key]) -> Any:
        return bank.refund(key)

    app = Litestar(
        [charge, refund],
        exception_handlers=exception_handlers,
        dependencies={"key": Provide(key)},
        logging_config=None,  # or it sets up logging for the whole process, other tests included
    )
    return over_asgi(app)


def asgi(bank: Bank) -> Post:
    from urllib.parse import parse_qs

    from amends.participants.barrier.web.asgi import BarrierMiddleware, key

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/refund":
            said = bank.refund(key(scope))
        else:
            said = bank.charge(key(scope), int(parse_qs(scope["query_string"].decode())["amount"][0]))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    return over_asgi(BarrierMiddleware(app))


def over_asgi(app: Any) -> Post:
    def post(path: str, headers: dict[str, str]) -> tuple[int, str, Any]:
        async def main() -> httpx2.Response:
            transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://bank") as client:
                return await client.post(path, headers=headers)

        said = asyncio.run(main())
        body = said.json() if "json" in said.headers.get("content-type", "") else None
        return said.status_code, said.headers.get("content-type", ""), body

    return post


def flask(bank: Bank) -> Post:
    import flask
    from flask import Flask

    from amends.participants.barrier.web.flask import install, key

    app = Flask("bank")
    install(app)

    @app.post("/charge")
    def charge() -> Any:
        return flask.jsonify(bank.charge(key(), int(flask.request.args["amount"])))

    @app.post("/refund")
    def refund() -> Any:
        return flask.jsonify(bank.refund(key("undo")))

    client = app.test_client()

    def post(path: str, headers: dict[str, str]) -> tuple[int, str, Any]:
        said = client.post(path, headers=headers)
        return said.status_code, said.content_type, said.get_json(silent=True)

    return post


def django(bank: Bank) -> Post:
    import sys
    import types

    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.test import Client
    from django.test.utils import override_settings
    from django.urls import path as route

    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
        django.setup()

    def charge(request: HttpRequest) -> JsonResponse:
        return JsonResponse(bank.charge(key_of(request.headers), int(request.GET["amount"])), safe=False)

    def refund(request: HttpRequest) -> JsonResponse:
        return JsonResponse(bank.refund(key_of(request.headers)), safe=False)

    urls = types.ModuleType("bank_urls")
    urls.urlpatterns = [route("charge", charge), route("refund", refund)]  # type: ignore[attr-defined]
    sys.modules["bank_urls"] = urls
    middleware = ["amends.participants.barrier.web.django.BarrierMiddleware"]

    def post(where: str, headers: dict[str, str]) -> tuple[int, str, Any]:
        with override_settings(ROOT_URLCONF="bank_urls", MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"]):
            said = Client(raise_request_exception=False).post(where, headers=headers)
        content = said.headers["Content-Type"]
        return (
            said.status_code,
            content,
            json.loads(said.content) if "json" in content else None,
        )

    return post


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    return Bank(tmp_path / "bank.db")


@pytest.mark.parametrize(
    "framework", [fastapi, starlette, litestar, asgi, flask, django], ids=lambda f: f.__name__
)
def test_what_a_caller_sees(framework: Callable[[Bank], Post], bank: Bank) -> None:
    post = framework(bank)

    def ask(path: str, key: str | None) -> tuple[int, Any]:
        status, content, body = post(path, {} if key is None else {"idempotency-key": key})
        if 400 <= status < 500:
            assert content.startswith("application/problem+json")
            assert body["status"] == status
            return status, body["code"]
        return status, body if status < 500 else None

    assert ask("/charge?amount=7", "u/0/a/do") == (200, {"charged": 7})
    assert ask("/charge?amount=8", "u/0/a/do") == (200, {"charged": 7})
    assert bank.payments() == 1
    assert ask("/charge?amount=700", "u/0/b/do") == (422, "rejected")
    assert ask("/charge?amount=7", "u/0/b/do") == (422, "rejected")
    assert ask("/charge?amount=13", "u/0/c/do") == (500, None)
    assert bank.payments() == 1
    assert ask("/refund", "u/0/a/undo") == (200, {"refunded": 1})
    assert ask("/charge?amount=7", "u/0/a/do") == (409, "hanging")
    assert ask("/refund", "u/0/d/undo") == (200, None)
    assert ask("/charge?amount=7", "u/0/d/do") == (409, "hanging")
    assert bank.payments() == 0
    assert ask("/charge?amount=7", None) == (400, "invalid_key")
    assert ask("/charge?amount=7", "who/knows") == (400, "invalid_key")
    assert bank.payments() == 0


def test_the_body_says_what_and_why() -> None:
    said = refusal(Rejected("no stock", details={"left": 0}))
    assert said.status == 422
    assert b'"detail": "no stock"' in said.body
    assert b'"details": {"left": 0}' in said.body
    with pytest.raises(InvalidKey) as error:
        key_of({})
    assert b'"hint": "send the orchestrator' in refusal(error.value).body


@pytest.mark.parametrize(
    ("state", "code", "outcome"),
    [
        (State.DONE, 200, None),
        (State.REJECTED, 410, "rejected"),
        (State.SEALED, 410, "rejected"),
        (State.NULL, 410, "rejected"),
        (State.UNDONE, 410, "rejected"),
        (None, 404, "unknown"),
    ],
)
def test_the_answer_to_a_probe(state: State | None, code: int, outcome: str | None) -> None:
    said = status(Found(Key("a"), state, {"message": "no", "details": None}))
    body = json.loads(said.body)
    assert said.status == code
    assert body.get("code") == outcome
    assert body.get("status", 200) == code


@pytest.mark.parametrize(
    ("headers", "direction", "key"),
    [
        ({"Idempotency-Key": "u/0/a/undo"}, None, Key("u/0/a", "undo")),
        ({"Idempotency-Key": '"u/0/a/do"'}, "do", Key("u/0/a", "do")),
        ({"Idempotency-Key": r'"a\"b\\c"'}, "undo", Key(r'a"b\c', "undo")),
        ({"Idempotency-Key": "pay-7", "Amends-Direction": "undo"}, None, Key("pay-7", "undo")),
        ({"Idempotency-Key": "pay-7", "Amends-Direction": "undo"}, "undo", Key("pay-7", "undo")),
    ],
)
def test_keys_from_headers(headers: dict[str, str], direction: Any, key: Key) -> None:
    assert key_of(headers, direction) == key


@pytest.mark.parametrize(
    ("headers", "direction", "said"),
    [
        ({}, None, "no Idempotency-Key header"),
        ({"Idempotency-Key": " "}, None, "no Idempotency-Key header"),
        ({"Idempotency-Key": '""'}, None, "no Idempotency-Key header"),
        ({"Idempotency-Key": "a", "Amends-Direction": "up"}, None, "the direction is 'up'"),
        ({"Idempotency-Key": "a", "Amends-Direction": "undo"}, "do", "came to a place that takes 'do'"),
    ],
)
def test_bad_headers(headers: dict[str, str], direction: Any, said: str) -> None:
    with pytest.raises(InvalidKey, match=said):
        key_of(headers, direction)


def test_asgi_lets_through_what_it_cannot_answer() -> None:
    from amends.participants.barrier.web.asgi import BarrierMiddleware

    async def started(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Rejected("too late to say so")

    async def send(message: Any) -> None: ...

    with pytest.raises(Rejected):
        asyncio.run(BarrierMiddleware(started)({"type": "http"}, None, send))  # type: ignore[arg-type]
