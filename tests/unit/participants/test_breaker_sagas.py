"""A hundred sagas and a participant that is down: they hold, the engine restarts, one probe, all complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amends import Engine, Resource, Result, Retry, Settings, injected, saga, step
from amends.participants.breaker import Breaker, CircuitOpen
from amends.participants.http import HttpClient

from .wire import Line, Participant, Request, Script, answers, keys, participant, refused_port, reply, reset

SAGAS = 100
FEW = 20  # show what happens without a breaker as well
AT_ONCE = 10
FAILURES = 5
ATTEMPTS = FAILURES + 1  # no saga is at its end before the breaker opens, however slowly they begin


class Bank(HttpClient):
    pass


class Watch:
    """Who was told to hold."""

    def __init__(self) -> None:
        self.held: set[str] = set()


WATCH = Watch()


@step(name="breaker.charge", retry=Retry(attempts=ATTEMPTS, delay=0.01))
async def charge(order: int, bank: Resource[Bank] = injected) -> str:
    try:
        return (await bank.post("/charges", json=order)).read(str)
    except CircuitOpen:
        WATCH.held.add(str(order))
        raise


@charge.compensation
async def refund(payment: str | None, order: int, bank: Resource[Bank] = injected) -> None:
    await bank.delete(f"/charges/{order}")


@saga(name="breaker.buy")
async def buy(order: int) -> str:
    return await charge(order)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.002)


def engine(folder: Path, bank: Participant, breaker: Breaker | None) -> Engine:
    return Engine(
        f"sqlite:///{folder}/sagas.db",
        sagas=[buy],
        resources=[Bank(bank.url, breaker=breaker)],
        settings=Settings(steps=AT_ONCE, linger=0.05),
    )


def breaker(folder: Path, wait: float = 0.5) -> Breaker:
    return Breaker("bank", failures=FAILURES, wait=wait, longest=wait, file=folder / "bank.json")


class Gate:
    """A participant that is back, but slow with its first answer."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, line: Line, request: Request) -> None:
        await self.open.wait()
        await line.write(reply(200, "paid"))


async def outage(folder: Path, bank: Participant) -> None:
    """All sagas come to hold."""
    WATCH.held.clear()
    async with engine(folder, bank, breaker(folder)) as first:
        for order in range(SAGAS):
            await first.start(buy(order), id=f"order-{order}")
        await until(lambda: len(WATCH.held) == SAGAS)


async def recovery(folder: Path, bank: Participant, gate: Gate) -> list[Result[Any]]:
    """A new process finds the participant back."""
    WATCH.held.clear()
    again = breaker(folder)
    assert again.state == "opened", "it remembers"
    async with engine(folder, bank, again) as second:
        handles = [second.handle(buy, f"order-{order}") for order in range(SAGAS)]
        await until(lambda: len(WATCH.held) > SAGAS / 2 and len(bank.requests) > 0)
        assert len(bank.requests) == 1, "one probe, and nobody else"
        assert again.state == "half-opened"
        gate.open.set()
        return [await handle.outcome() for handle in handles]


@pytest.mark.parametrize("down", ["resets", "refuses"])
def test_a_hundred_sagas_hold_through_an_outage_and_a_restart(
    tmp_path: Path, down: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "amends.participants")

    async def main() -> None:
        gate = Gate()
        async with participant(reset) as bank:
            if down == "refuses":
                await bank.stop()
            await outage(tmp_path, bank)
            probes = caplog.text.count("one call goes through")
            if down == "resets":
                assert FAILURES <= len(bank.requests) <= FAILURES - 1 + AT_ONCE + probes
            bank.play(gate, answers(200, "paid"))
            if down == "refuses":
                await bank.start()
            results = await recovery(tmp_path, bank, gate)

            assert [r.status for r in results] == ["completed"] * SAGAS
            assert {r.method for r in bank.requests} == {"POST"}, "nothing was undone"
            assert len(bank.requests) == SAGAS
            assert len(set(keys(bank.requests))) == SAGAS

    asyncio.run(main())


@pytest.mark.parametrize(("script", "undone"), [(reset, FEW), (answers(429), 0)])
def test_without_a_breaker_they_are_all_undone(tmp_path: Path, script: Script, undone: int) -> None:
    """Ablation: the same outage, and nobody who holds."""

    async def main() -> None:
        async with participant() as bank:

            async def play(line: Line, request: Request) -> None:
                await (answers(200) if request.method == "DELETE" else script)(line, request)

            bank.play(play)
            async with engine(tmp_path, bank, None) as only:
                handles = [await only.start(buy(n), id=f"order-{n}") for n in range(FEW)]
                results = [await handle.outcome() for handle in handles]
            assert [r.status for r in results] == ["compensated"] * FEW
            assert len([r for r in bank.requests if r.method == "POST"]) == ATTEMPTS * FEW
            assert len([r for r in bank.requests if r.method == "DELETE"]) == undone

    asyncio.run(main())


def test_without_the_rule_of_one_probe_many_knock_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ablation: a breaker that forgets that somebody probes lets all of them through."""
    forgets = property(lambda self: False, lambda self, value: None)

    async def main() -> None:
        gate = Gate()
        async with participant(reset) as bank:
            await outage(tmp_path, bank)
            # Not before: during the outage, a saga that is always let through never comes to hold.
            monkeypatch.setattr(Breaker, "_probing", forgets, raising=False)
            bank.play(gate)
            again = breaker(tmp_path)
            async with engine(tmp_path, bank, again) as second:
                await until(lambda: len(bank.requests) >= AT_ONCE)
                gate.open.set()
                for order in range(SAGAS):
                    await second.handle(buy, f"order-{order}").outcome()

    asyncio.run(main())


def test_a_step_may_prefer_to_fail(tmp_path: Path) -> None:
    @step(name="breaker.impatient", rejects=CircuitOpen, retry=Retry(attempts=1))
    async def ask(bank: Resource[Bank] = injected) -> str:
        await bank.post("/charges")
        return "card"

    @saga(name="breaker.other_way")
    async def either() -> str:
        try:
            return await ask()
        except CircuitOpen:
            return "invoice"

    async def main() -> None:
        closed = breaker(tmp_path, wait=60)
        bank = Bank(f"http://127.0.0.1:{refused_port()}", breaker=closed)
        async with Engine(sagas=[either], resources=[bank]) as one:
            for _ in range(FAILURES):
                await (await one.start(either())).outcome()
            assert closed.state == "opened"
            assert await one.run(either()) == "invoice"

    asyncio.run(main())
