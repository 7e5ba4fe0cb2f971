"""The whole chain: a saga, the HTTP client, a service with the barrier, its books."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from amends import Engine, Rejected, Resource, Retry, injected, saga, step
from amends.participants.barrier import Barrier
from amends.participants.barrier.web import key_of, status
from amends.participants.barrier.web.starlette import install
from amends.participants.http import HttpClient

barrier = Barrier()


class Bank(HttpClient):
    pass


class Service:
    """Charges and refunds, and can be told to lose answers or requests."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.asked: list[str] = []
        self.lose: list[str] = []
        with closing(self.open()) as c:
            barrier.create_table(c)
            c.execute("CREATE TABLE payments (amount integer)")
        routes = [
            Route("/charge", self.charge, methods=["POST"]),
            Route("/refund", self.refund, methods=["POST"]),
            Route("/status", self.status),
        ]
        self.app = Starlette(routes=routes)
        install(self.app)

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)

    def _run(self, request: Request, amount: int) -> Response:
        key = key_of(request.headers)
        self.asked.append(key.direction)
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "request":
            raise RuntimeError("it never got this far")
        with closing(self.open()) as c:

            def work() -> None:
                c.execute("INSERT INTO payments VALUES (?)", (amount,))
                if amount == 13:
                    raise Rejected("no such card")

            said = barrier.run(c, key, work, reply=amount)
        if lost == "answer":
            raise RuntimeError("the answer is lost")
        return JSONResponse(said)

    async def charge(self, request: Request) -> Response:
        return self._run(request, int(request.query_params["amount"]))

    async def refund(self, request: Request) -> Response:
        return self._run(request, -int(request.query_params["amount"]))

    async def status(self, request: Request) -> Response:
        with closing(self.open()) as c, c:
            said = status(barrier.seal(c, key_of(request.headers, "do")))
        return Response(said.body, said.status, said.headers)

    def payments(self) -> list[int]:
        with closing(self.open()) as c:
            return [amount for (amount,) in c.execute("SELECT amount FROM payments")]


def run(service: Service, amount: int, *, probed: bool = False, then: str = "fail") -> Any:
    """One saga that charges, and then fails unless told otherwise; its outcome."""

    @step(retry=Retry(attempts=2, delay=0.001), remembers_rejections=True)
    async def charge(amount: int, bank: Resource[Bank] = injected) -> int:
        return (await bank.post("/charge", params={"amount": amount})).read(int)

    @charge.compensation
    async def refund(charged: int | None, amount: int, bank: Resource[Bank] = injected) -> None:
        await bank.post("/refund", params={"amount": amount})

    if probed:

        @charge.probe
        async def look(amount: int, bank: Resource[Bank] = injected) -> object:
            return await bank.probe("/status", int, sealed=[410])

    @saga
    async def buy(amount: int) -> int:
        paid = await charge(amount)
        if then == "fail":
            raise LookupError("no courier goes there")
        return paid

    bank = Bank(
        "http://bank",
        session=lambda: httpx2.AsyncClient(
            transport=httpx2.ASGITransport(service.app, raise_app_exceptions=False)
        ),
    )

    async def main() -> Any:
        async with Engine(sagas=[buy], resources=[bank]) as engine:
            return await (await engine.start(buy(amount))).outcome()

    return asyncio.run(main())


def test_a_lost_answer_is_heard_the_second_time(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["answer"]
    assert run(service, 7, then="complete").value == 7
    assert service.asked == ["do", "do"]
    assert service.payments() == [7]


def test_what_is_undone_is_net_zero(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["answer", "", "answer"]  # and the compensation's, too
    assert run(service, 7).status == "compensated"
    assert service.asked == ["do", "do", "undo", "undo"]
    assert service.payments() == [7, -7]


def test_the_compensation_of_what_never_came_does_nothing(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["request", "request"]
    assert run(service, 7).status == "compensated"
    assert service.asked == ["do", "do", "undo"]
    assert service.payments() == []


def test_a_remembered_rejection_needs_no_compensation(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["request"]  # so that the first attempt is unknown
    assert run(service, 13).status == "compensated"
    assert service.asked == ["do", "do"]
    assert service.payments() == []


def test_a_sealing_probe_makes_an_unknown_outcome_certain(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["request", "request"]
    assert run(service, 7, probed=True).status == "compensated"
    assert service.asked == ["do", "do"]
    assert service.payments() == []


def test_a_probe_finds_what_was_done(tmp_path: Path) -> None:
    service = Service(tmp_path / "bank.db")
    service.lose = ["answer", "answer"]
    assert run(service, 7, probed=True, then="complete").value == 7
    assert service.payments() == [7]
