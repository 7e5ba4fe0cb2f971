"""How steps run: threads, heartbeats, limits, resources, transactions, probes, verification, fallbacks."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

import amends
from amends import (
    SEALED,
    UNRESOLVED,
    Compensated,
    Engine,
    NeedsAttention,
    Rejected,
    Resource,
    Retry,
    StepFailed,
    Transaction,
    injected,
    saga,
    step,
)
from amends.worker import transactions

LOG: list[object] = []
QUICK = Retry(attempts=2, delay=0.001)


@pytest.fixture(autouse=True)
def _clean() -> None:
    LOG.clear()


def run(call, url="memory://", **options):
    async def main():
        async with Engine(url, **options) as engine:
            return await engine.run(call, id="x")

    return asyncio.run(main())


# ---------------------------------------------------------------- threads, heartbeats, limits


@step(name="run.blocking", timeout=0.02, retry=Retry(attempts=1))
def blocking() -> str:
    LOG.append(threading.current_thread().name)
    while not amends.current().cancelled:
        time.sleep(0.002)
    return "late, but here"


@saga(name="run.blocks")
async def blocks() -> str:
    return await blocking()


def test_a_thread_that_times_out_is_waited_for_and_its_value_counts():
    assert run(blocks()) == "late, but here"
    assert str(LOG[0]).startswith("amends-step")


@step(name="run.silent", heartbeat=0.03, retry=Retry(attempts=1))
async def silent(beats: int) -> str:
    for _ in range(beats):
        await asyncio.sleep(0.01)
        amends.current().heartbeat()
    await asyncio.sleep(60)
    return "never"


@saga(name="run.heart")
async def heart() -> str:
    try:
        return await silent(6)
    except StepFailed as failed:
        return failed.reason


def test_a_silent_step_is_stopped():
    assert "no heartbeat" in run(heart())


@step(name="run.narrow", limit=2)
async def narrow() -> int:
    LOG.append(1)
    now = sum(LOG)
    await asyncio.sleep(0.005)
    LOG.append(-1)
    return now


@saga(name="run.wide")
async def wide() -> int:
    return max(await asyncio.gather(*(narrow() for _ in range(12))))


def test_a_steps_own_limit_holds():
    assert run(wide()) == 2


@step(name="run.exits", retry=Retry(attempts=1))
async def exits() -> None:
    raise SystemExit("a step must not end the worker")


@saga(name="run.exit")
async def survives() -> str:
    try:
        await exits()
    except StepFailed as failed:
        return failed.type
    return ""


def test_a_step_that_exits_fails_and_the_worker_goes_on():
    assert run(survives()) == "SystemExit"


# ---------------------------------------------------------------- resources and methods


@dataclass
class Pool:
    name: str
    open: bool = True


@asynccontextmanager
async def pool():
    opened = Pool("main")
    yield opened
    opened.open = False


@step(name="run.uses")
async def uses(order: int, db: Resource[Pool] = injected) -> str:
    return f"{order} {db.name} {db.open}"


@uses.compensation
async def unuses(done: str | None, order: int, db: Resource[Pool] = injected) -> None:
    LOG.append((done, order, db.name))


@saga(name="run.resources")
async def resourceful(fail: bool) -> str:
    said = await uses(7)
    if fail:
        raise ValueError(said)
    return said


def test_resources_are_given_by_type_and_never_journaled():
    async def main():
        async with Engine("memory://", resources=[pool()]) as engine:
            value = await engine.run(resourceful(False), id="x")
            rows = await engine.handle(resourceful, "x").history()
            return value, rows[0]["commands"][0]["args"]

    assert asyncio.run(main()) == ("7 main True", {"order": 7})


def test_compensations_get_resources_too():
    with pytest.raises(Compensated):
        run(resourceful(True), resources=[pool()])
    assert LOG == [("7 main True", 7, "main")]


def test_a_missing_resource_parks_with_what_to_do():
    with pytest.raises(NeedsAttention, match="Pool"):
        run(resourceful(False))


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @step(name="shop.charge")
    async def charge(self, amount: int) -> str:
        return f"{self.name} {amount}"

    @charge.compensation
    async def refund(self, done: str | None, amount: int) -> None:
        LOG.append((self.name, done, amount))

    @saga(name="shop.order")
    async def order(self, amount: int) -> str:
        done = await self.charge(amount)
        if amount > 9:
            raise ValueError("too much")
        return done


def test_methods_are_steps_and_sagas():
    shop = Shop("corner")
    assert run(shop.order(3), sagas=[shop.order]) == "corner 3"
    with pytest.raises(Compensated):
        run(shop.order(10), sagas=[shop.order])
    assert LOG == [("corner", "corner 10", 10)]


# ---------------------------------------------------------------- compensations and checks


@pytest.mark.parametrize("verb", ["compensates", "checks"])
def test_a_plain_function_that_returns_a_coroutine_is_no_compensation(verb):
    async def later(*_: object) -> None:
        LOG.append("awaited")

    @step(name="run.act")
    async def act() -> int:
        return 1

    if verb == "compensates":
        act.compensation(retry=Retry(attempts=1))(lambda done: later(done))
    else:
        act.compensation(retry=Retry(attempts=1))(lambda done: None)
        act.verify(lambda done: later(done))

    @step(name="run.refuse")
    async def refuse() -> None:
        raise Rejected("no")

    @saga(name="run.coroutine")
    async def acts() -> None:
        await act()
        await refuse()

    with pytest.raises(NeedsAttention, match="async def"):
        run(acts())
    assert LOG == []


# ---------------------------------------------------------------- outcomes


def outcome_saga(action):
    @saga(name=f"run.outcome.{action.name}")
    async def asks() -> str:
        try:
            return f"value {await action()}"
        except StepFailed as failed:
            return f"{failed.outcome} {failed.type}"

    return asks()


def unclear(answer):
    @step(name=f"run.unclear.{answer}", retry=Retry(attempts=1))
    async def action() -> str:
        raise ConnectionResetError("lost")

    @action.compensation
    async def back(done: str | None) -> None:
        LOG.append("undone")

    @action.probe
    async def ask() -> object:
        return answer

    return action


@pytest.mark.parametrize(
    ("answer", "seen", "undone"),
    [
        ("found", "value found", 0),
        (SEALED, "rejected ConnectionResetError", 0),
        (UNRESOLVED, "unknown ConnectionResetError", 1),
    ],
)
def test_a_probe_decides_an_unknown_outcome(answer, seen, undone):
    assert run(outcome_saga(unclear(answer))) == seen
    assert LOG.count("undone") == undone


@step(name="run.first", retry=Retry(attempts=1))
async def first(n: int) -> str:
    LOG.append("first")
    raise TimeoutError("who knows")


@first.compensation
async def unfirst(done: str | None, n: int) -> None:
    LOG.append("undo first")


@step(name="run.second")
async def second(n: int) -> str:
    LOG.append("second")
    raise Rejected("closed")


@step(name="run.third")
async def third(n: int) -> str:
    LOG.append("third")
    return f"third {n}"


@step(name="run.preferred", fallback=[second, third], retry=Retry(attempts=1))
async def preferred(n: int) -> str:
    LOG.append("preferred")
    raise TimeoutError("who knows")


@preferred.compensation
async def unpreferred(done: str | None, n: int) -> None:
    LOG.append("undo preferred")


@saga(name="run.prefers")
async def prefers() -> str:
    return await preferred(4)


def test_a_fallback_begins_after_the_failure_is_settled():
    assert run(prefers()) == "third 4"
    assert LOG == ["preferred", "undo preferred", "second", "third"]


# ---------------------------------------------------------------- compensations


@step(name="run.verified")
async def verified() -> str:
    return "done"


@verified.compensation(retry=QUICK)
async def unverified(done: str | None) -> None:
    LOG.append("undo")


@verified.verify
async def really(done: str | None) -> bool:
    LOG.append("check")
    return LOG.count("check") > 1


@saga(name="run.verifies")
async def verifies() -> None:
    await verified()
    raise ValueError("back")


def test_a_compensation_that_did_not_take_is_tried_again():
    with pytest.raises(Compensated):
        run(verifies())
    assert LOG == ["undo", "check", "undo", "check"]


async def by_hand(done: str | None) -> None:
    LOG.append("alternate")


@step(name="run.alternated")
async def alternated() -> str:
    return "done"


@alternated.compensation(retry=QUICK, alternates=[by_hand])
async def unalternated(done: str | None) -> None:
    LOG.append("undo")
    raise RuntimeError("out of order")


@saga(name="run.alternates")
async def alternates() -> None:
    await alternated()
    raise ValueError("back")


def test_an_alternate_follows_when_the_first_compensation_gives_up():
    with pytest.raises(Compensated):
        run(alternates())
    assert LOG == ["undo", "undo", "alternate"]


# ---------------------------------------------------------------- recovery by error class


class DataDamaged(Exception):
    pass


@step(
    name="run.policies",
    retry=Retry(attempts=1, delay=0.01),
    recovery={ConnectionError: "forward", KeyError: "ask", DataDamaged: "halt"},
)
async def policies(kind: str) -> int:
    attempt = amends.current().attempt
    if kind == "forward" and attempt < 4:
        raise ConnectionResetError
    if kind == "ask" and LOG.count("asked") == 0:
        LOG.append("asked")
        raise KeyError(kind)
    if kind == "halt":
        raise DataDamaged("rows do not add up")
    return attempt


@policies.compensation
async def unpolicies(done: int | None, kind: str) -> None:
    LOG.append("undo")


@saga(name="run.recovers")
async def recovers(kind: str) -> int:
    return await policies(kind)


def test_forward_recovery_keeps_trying():
    policies.options  # noqa: B018 - documents which step
    assert run(recovers("forward")) == 4


def test_ask_waits_for_a_person_and_retry_goes_on():
    async def main():
        async with Engine("memory://") as engine:
            handle = await engine.start(recovers("ask"), id="x")
            before = await handle.outcome()
            await handle.retry(by="ann")
            return before, await handle.result()

    before, value = asyncio.run(main())
    assert (before.status, before.items[0]["why"]) == ("attention", "ask")
    assert value == 1
    assert "undo" not in LOG


def test_halt_touches_nothing_until_somebody_cancels():
    async def main():
        async with Engine("memory://") as engine:
            handle = await engine.start(recovers("halt"), id="x")
            before = await handle.outcome()
            touched = list(LOG)
            await handle.cancel("checked: undo it")
            return before, touched, await handle.outcome()

    before, touched, after = asyncio.run(main())
    assert (before.status, before.items[0]["why"], touched) == ("attention", "halt", [])
    assert after.status == "compensated"
    assert LOG == ["undo"]


def test_a_transaction_that_does_not_come_back_is_reported(tmp_path, monkeypatch, caplog):
    come_back = threading.Event()
    monkeypatch.setattr(transactions, "HELD", 0.01)

    @step(name="run.holds", transaction=True)
    def holds(tx: Resource[Transaction] = injected) -> None:
        come_back.wait(30)

    @saga(name="run.held")
    async def held() -> str:
        await holds()
        return "done"

    async def main() -> str:
        async with Engine(f"sqlite:///{tmp_path}/x.db") as engine:
            handle = await engine.start(held(), id="x")
            while "has held the store" not in caplog.text:
                await asyncio.sleep(0.005)
            come_back.set()
            return await handle.result()

    assert asyncio.run(main()) == "done"
    assert "run.holds" in caplog.text
    assert "kill this process" in caplog.text
