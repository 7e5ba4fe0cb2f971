"""Secrets stay out of messages, journals and logs: a canary goes everywhere, and is looked for everywhere."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from amends import Engine, Resource, Retry, injected, saga, step
from amends.participants.http import HttpClient
from amends.participants.secrets import MASK, Secrets

from .wire import Line, Request, Script, answers, garbage, half, participant, reply, reset, silent

CANARY = "c4n4ry-5ecret"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "hidden"),
    [
        ({"Authorization": f"Bearer {CANARY}"}, [CANARY]),
        ({"authorization": basic("kim", CANARY)}, [CANARY, f"kim:{CANARY}", basic("kim", CANARY)[6:]]),
        ({"Authorization": "Basic no base64 !"}, ["no base64 !"]),
        ({"Cookie": f"theme=dark; sid={CANARY}"}, [CANARY]),
        ({"X-Api-Key": CANARY}, [CANARY]),
        ({"X-Amz-Security-Token": CANARY}, [CANARY]),
    ],
)
def test_secrets_are_found_in_headers(headers: dict[str, str], hidden: list[str]) -> None:
    secrets = Secrets(headers)
    for value in hidden:
        assert secrets.hide(f"<{value}>") == f"<{MASK}>"


def test_what_is_no_secret_stays() -> None:
    secrets = Secrets({"Accept": "application/json", "X-Token": "on", "Idempotency-Key": "01/0/1/do"})
    text = "application/json on 01/0/1/do"
    assert secrets.hide(text) == text


def test_secrets_are_found_in_the_address() -> None:
    secrets = Secrets(url=f"https://kim:{CANARY}%21@bank.example/v1")
    assert secrets.hide(f"at {CANARY}!") == f"at {MASK}"


def test_a_body_is_cleaned_by_value_and_by_name() -> None:
    body = {
        "echo": [f"you sent {CANARY}"],
        "access_token": "unknown to this client",
        "card": {"cvv": "123", "password": 7, "number": "kept"},
        "author": "kim",
        "authenticated": True,
        CANARY: 1,
    }
    assert Secrets(also=[CANARY]).clean(body) == {
        "echo": [f"you sent {MASK}"],
        "access_token": MASK,
        "card": {"cvv": MASK, "password": MASK, "number": "kept"},
        "author": "kim",
        "authenticated": True,
        MASK: 1,
    }


class Bank(HttpClient):
    pass


def echo(status: int) -> Script:
    """A participant that sends back whatever it was sent."""

    async def play(line: Line, request: Request) -> None:
        said = {"detail": f"bad {request.headers}", "headers": request.headers, "path": request.path}
        await line.write(reply(status, said, {"x-echo": str(request.headers)}))

    return play


async def mistyped(line: Line, request: Request) -> None:
    await line.write(reply(200, {"id": request.headers["authorization"]}))


@step(name="secrets.pay", retry=Retry(attempts=2, delay=0.001))
async def pay(bank: Resource[Bank] = injected) -> dict[str, int]:
    reply = await bank.post(
        f"/charges/{CANARY}", params={"token": CANARY}, headers={"Cookie": f"sid={CANARY}2"}
    )
    return reply.read(dict[str, int])


@pay.compensation(critical=False, retry=Retry(attempts=1))
async def undo(result: Any, bank: Resource[Bank] = injected) -> None:
    await bank.delete("/charges", json={"x": 1})


@saga(name="secrets.saga")
async def one() -> dict[str, int]:
    return await pay()


SCRIPTS = [echo(422), echo(429), echo(500), echo(302), mistyped, reset, half, garbage, silent]


async def everything(folder: Path, script: Script, secret: str = CANARY) -> str:
    """All that the engine wrote and said about a saga that fails so."""
    async with participant(script) as bank:
        url = bank.url.replace("http://", f"http://kim:{secret}@")
        headers = {"Authorization": f"Bearer {secret}", "X-Bad": "fine"}
        client = Bank(url, headers=headers, timeout=0.1, secrets=[secret])
        async with Engine(f"sqlite:///{folder}/sagas.db", sagas=[one], resources=[client]) as engine:
            handle = await engine.start(one(), id="one")
            said = [repr(client), repr(await handle.outcome()), repr(await handle.status())]
            said.append(repr(await handle.history()))
            try:
                await handle.result()
            except Exception as error:
                said.append(f"{error} {error!r} {error.__dict__}")
        assert any(secret in str(r.headers) for r in bank.requests), "it was sent"
    return "".join(said) + on_disk(folder)


def on_disk(folder: Path) -> str:
    return "".join(p.read_bytes().decode("utf-8", "replace") for p in folder.glob("sagas.db*"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__qualname__)
def test_a_canary_is_found_nowhere(script: Script, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # of all: the HTTP library logs addresses
    caplog.set_level(logging.DEBUG, "amends")
    written = asyncio.run(everything(tmp_path, script))
    assert "secrets.pay" in written
    assert CANARY not in written
    assert base64.b64encode(f"kim:{CANARY}".encode()).decode() not in written
    assert CANARY not in caplog.text


@pytest.mark.parametrize("script", [echo(422), mistyped], ids=["echo", "mistyped"])
def test_without_hiding_it_is_found(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ablation: so the test above does look in the right places."""
    monkeypatch.setattr(Secrets, "hide", lambda self, text: text)
    monkeypatch.setattr(Secrets, "clean", lambda self, value: value)
    assert CANARY in asyncio.run(everything(tmp_path, script))


@pytest.mark.parametrize("header", ["bad\nvalue", "bad\r\nX: y", "\x00"])
def test_a_header_that_cannot_be_sent_is_not_shown(header: str) -> None:
    async def main() -> None:
        async with participant(answers(200)) as bank:
            async with HttpClient(bank.url, headers={"Authorization": f"Bearer {CANARY}{header}"}) as client:
                with pytest.raises(Exception, match="/charges") as caught:
                    await client.post("/charges")
            seen: BaseException | None = caught.value
            while seen is not None:
                assert CANARY not in f"{seen} {seen!r}"
                seen = seen.__cause__ or seen.__context__
            assert not bank.requests

    asyncio.run(main())
