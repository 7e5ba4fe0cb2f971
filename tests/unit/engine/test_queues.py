"""Steps with a queue run where it is served, and all that is promised of steps holds of them, too."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import Any

import pytest

from amends import (
    Compensated,
    DefinitionError,
    Engine,
    QueueLimits,
    QueueWorker,
    Rejected,
    Retry,
    Settings,
    StepFailed,
    UnknownName,
    current,
    saga,
    step,
)
from amends.kernel.actions import Action
from amends.kernel.entries import Raw
from amends.store.port import Header
from amends.store.queueing import Ask, End, Lease, Task, TaskReport
from amends.worker.queues import assignment

from .waiting import PATIENCE, until

QUICK = Settings(lease=2.0, poll=0.01, grace=0.2)
SEEN: list[tuple[Any, ...]] = []
HOOKS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()
    HOOKS.clear()


@step(name="q.send", queue="emails", retry=Retry(attempts=3, delay=0.01), rejects=KeyError)
async def send(to: str) -> str:
    now = current()
    SEEN.append(("send", to, now.attempt, now.idempotency_key))
    hook = HOOKS.get(to)
    if hook is not None:
        await hook()
    return f"mail-{to}"


@send.compensation
async def recall(mail: str | None, to: str) -> None:
    SEEN.append(("recall", to, mail, current().direction))
    hook = HOOKS.get(f"undo {to}")
    if hook is not None:
        await hook()


@step(name="q.fail")
async def fail() -> None:
    raise Rejected("no")


@saga(name="q.one")
async def one(to: str) -> str:
    return await send(to)


@saga(name="q.doomed")
async def doomed(to: str) -> None:
    await send(to)
    await fail()


@saga(name="q.caught")
async def caught(to: str) -> str:
    try:
        return await send(to)
    except StepFailed as error:
        return f"{error.type} {error.outcome}"


@saga(name="q.fan")
async def fan(count: int) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(str(number))) for number in range(count)]
    return [task.result() for task in tasks]


SAGAS = [one, doomed, caught, fan]


def engine_on(store: Any, *queues: str, settings: Settings = QUICK) -> Engine:
    return Engine(store, sagas=SAGAS, queues=queues, settings=settings)


@asynccontextmanager
async def alone(store: Any, settings: Settings = QUICK):
    """A worker of the queue alone, beside an engine that does not serve it."""
    async with engine_on(store) as engine, QueueWorker(store, queues=["emails"], settings=settings):
        yield engine


def did(what: str) -> list[tuple[Any, ...]]:
    return [each for each in SEEN if each[0] == what]


def asked(holder: str = "zombie", lease: float = 0.0) -> Ask:
    return Ask(queue="emails", holder=holder, limit=1, lease=lease)


# ---------------------------------------------------------------- where it runs


def test_it_runs_where_its_queue_is_served(store):
    async def main() -> None:
        async with alone(store) as engine:
            assert await engine.run(one("ann"), id="a") == "mail-ann"
            assert await engine.run(fan(20), id="f") == [f"mail-{n}" for n in range(20)]
            assert await engine.queues.list() == []
            status = await engine.queues.status("emails")
            assert (status.waiting, status.delayed, status.running) == (0, 0, 0)

    asyncio.run(main())
    assert len(did("send")) == 21
    assert len({key for *_, key in did("send")}) == 21


def test_it_runs_nowhere_else(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            assert not SEEN
        async with engine_on(store, "emails") as engine:
            assert await engine.handle(one, "a").result() == "mail-ann"
        assert handle.id == "a"

    asyncio.run(main())
    assert len(did("send")) == 1


async def _waits(engine: Engine, count: int) -> bool:
    return (await engine.queues.status("emails")).waiting == count


def test_its_end_finds_an_owner_that_was_away(store):
    """The owner goes before the task has begun, and comes when it has ended."""

    async def main() -> None:
        async with engine_on(store) as engine:
            await engine.start(one("ann"), id="a")
        async with QueueWorker(store, queues=["emails"], settings=QUICK):
            await until(lambda: did("send"), "the step")
        async with engine_on(store) as engine:
            assert await engine.handle(one, "a").result() == "mail-ann"

    asyncio.run(main())
    assert len(did("send")) == 1


# ---------------------------------------------------------------- outcomes, as of any step


def test_a_failure_is_retried_with_the_same_key(store):
    async def stumble() -> None:
        if len(did("send")) < 3:
            raise ConnectionError("lost")

    async def main() -> None:
        HOOKS["ann"] = stumble
        async with alone(store) as engine:
            assert await engine.run(one("ann"), id="a") == "mail-ann"

    asyncio.run(main())
    assert [attempt for _, _, attempt, _ in did("send")] == [1, 2, 3]
    assert len({key for *_, key in did("send")}) == 1


def test_a_rejection_is_certain(store):
    async def refuse() -> None:
        raise KeyError("unknown address")

    async def main() -> None:
        HOOKS["ann"] = refuse
        async with alone(store) as engine:
            assert await engine.run(caught_key("ann"), id="a") == "KeyError"

    asyncio.run(main())
    assert len(did("send")) == 1
    assert not did("recall")


@saga(name="q.caught_key")
async def caught_key(to: str) -> str:
    try:
        return await send(to)
    except KeyError as error:
        return type(error).__name__


SAGAS.append(caught_key)


def test_what_is_unknown_is_settled_before_the_saga_hears(store):
    async def lose() -> None:
        raise ConnectionError("lost")

    async def main() -> None:
        HOOKS["ann"] = lose
        async with alone(store) as engine:
            assert await engine.run(caught("ann"), id="a") == "ConnectionError unknown"

    asyncio.run(main())
    assert len(did("send")) == 3
    assert did("recall") == [("recall", "ann", None, "undo")]


def test_it_is_compensated_in_its_queue(store):
    async def stumble() -> None:
        if len(did("recall")) < 2:
            raise ConnectionError("lost")

    async def main() -> None:
        HOOKS["undo ann"] = stumble
        async with alone(store) as engine:
            with pytest.raises(Compensated):
                await engine.run(doomed("ann"), id="a")

    asyncio.run(main())
    assert did("recall") == [("recall", "ann", "mail-ann", "undo")] * 2


def test_a_lapse_taints(store):
    """Who took the task first may have sent the mail; so that a later attempt is rejected proves nothing."""

    async def refuse() -> None:
        raise Rejected("no such mailbox")

    async def main() -> None:
        HOOKS["ann"] = refuse
        async with engine_on(store) as engine:
            handle = await engine.start(caught("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            (zombie,) = (await engine.store.take_tasks(asked(), engine._clock.now())).leases
            async with QueueWorker(store, queues=["emails"], settings=QUICK):
                assert await handle.result() == "Rejected unknown"
            late = End("", "do", 1, "completed")
            late.action = zombie.task.action
            assert await engine.store.report_tasks([TaskReport(zombie.token, late)]) == [False]

    asyncio.run(main())
    assert [attempt for _, _, attempt, _ in did("send")] == [2]
    assert did("recall") == [("recall", "ann", None, "undo")]


def test_a_dead_task_waits_for_a_person(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            deaths = engine.settings.limits.deaths
            for _ in range(deaths):
                await engine.store.take_tasks(asked(), engine._clock.now())
            await engine.store.take_tasks(asked(), engine._clock.now())
            await until(lambda: _is(handle, "attention"), "attention")
            (item,) = (await handle.status()).items
            assert (item["why"], item["outcome"]) == ("dead task", "unknown")
            assert f"{deaths} leases" in item["error"]["message"]
            async with QueueWorker(store, queues=["emails"], settings=QUICK):
                await handle.retry()
                assert await handle.result() == "mail-ann"

    asyncio.run(main())
    assert len(did("send")) == 1


async def _is(handle: Any, status: str) -> bool:
    return (await handle.status()).status == status


def test_a_step_that_is_not_known_there_waits_for_a_person(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            worker = QueueWorker(store, queues=["emails"], settings=QUICK)
            async with worker:
                known = worker._registry.parent
                worker._registry.parent = None
                await until(lambda: _is(handle, "attention"), "attention")
                (item,) = (await handle.status()).items
                assert (item["why"], item["outcome"]) == ("missing_definition", "rejected")
                worker._registry.parent = known
                await handle.retry()
                assert await handle.result() == "mail-ann"

    asyncio.run(main())


def test_an_operator_need_not_wait_for_a_retry(store):
    async def stumble() -> None:
        if len(did("slow")) < 2:
            raise ConnectionError("lost")

    async def main() -> None:
        HOOKS["slow"] = stumble
        async with Engine(store, sagas=[unhurried], queues=["slow"], settings=QUICK) as engine:
            handle = await engine.start(unhurried(), id="u")

            async def delayed() -> bool:
                return (await engine.queues.status("slow")).delayed == 1

            await until(delayed, "the retry to wait")
            await handle.retry()
            await handle.result()

    asyncio.run(main())
    assert len(did("slow")) == 2


@step(name="q.slow", queue="slow", retry=Retry(delay=3600.0, cap=3600.0))
async def slow() -> None:
    SEEN.append(("slow",))
    await HOOKS["slow"]()


@saga(name="q.unhurried")
async def unhurried() -> None:
    await slow()


# ---------------------------------------------------------------- no longer wanted


def test_cancelled_before_anybody_took_it(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            await handle.cancel("changed my mind")
            with pytest.raises(Compensated):
                await handle.result()
            status = await engine.queues.status("emails")
            assert (status.waiting, status.running) == (0, 0)

    asyncio.run(main())
    assert not SEEN


def test_cancelled_while_it_runs(store):
    """The attempt is stopped, and only then undone, since it may have had its effect."""

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            SEEN.append(("stopped",))

    async def main() -> None:
        HOOKS["ann"] = hang
        settings = Settings(lease=0.6, poll=0.01, grace=0.2)
        async with alone(store, settings) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: did("send"), "the step")
            await handle.cancel("changed my mind")
            with pytest.raises(Compensated):
                await handle.result()

    asyncio.run(main())
    assert [each[0] for each in SEEN] == ["send", "stopped", "recall"]


def test_decided_by_hand_while_it_runs(store):
    """An operator says what came of it; its compensation still waits until the attempt has ended."""

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            SEEN.append(("stopped",))

    async def stumble() -> None:
        if len(did("send")) < 2:
            raise ConnectionError("lost")
        await hang()

    async def main() -> None:
        HOOKS["ann"] = stumble
        settings = Settings(lease=0.6, poll=0.01, grace=0.2)
        async with alone(store, settings) as engine:
            handle = await engine.start(doomed("ann"), id="a")
            await until(lambda: len(did("send")) == 2, "the second attempt")
            await handle.resolve("mail-by-hand", reason="saw it go")
            with pytest.raises(Compensated):
                await handle.result()

    asyncio.run(main())
    assert [each[0] for each in SEEN] == ["send", "send", "stopped", "recall"]
    assert did("recall") == [("recall", "ann", "mail-by-hand", "undo")]


def test_terminated_with_its_task(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            await handle.terminate("wrong system")
            await until(lambda: _is(handle, "terminated"), "the end")
            assert await _waits(engine, 0)

    asyncio.run(main())


# ---------------------------------------------------------------- steering


def test_a_paused_queue_rests(store):
    async def main() -> None:
        async with engine_on(store, "emails") as engine:
            await engine.queues.pause("emails")
            handle = await engine.start(one("ann"), id="a")
            await until(lambda: _waits(engine, 1), "the task to wait")
            await asyncio.sleep(0.05)
            assert not SEEN
            await engine.queues.resume("emails")
            assert await handle.result() == "mail-ann"

    asyncio.run(main())


def test_concurrency_is_limited_over_all_who_serve(store):
    running = Counter[str]()
    most = 0

    async def count() -> None:
        nonlocal most
        running["x"] += 1
        most = max(most, running["x"])
        await asyncio.sleep(0.01)
        running["x"] -= 1

    async def main() -> None:
        HOOKS.update({str(number): count for number in range(12)})
        async with engine_on(store, "emails") as engine:
            await engine.queues.limit("emails", QueueLimits(concurrency=2))
            async with QueueWorker(store, queues=["emails"], settings=QUICK):
                await engine.run(fan(12), id="f")

    asyncio.run(main())
    assert (most, len(did("send"))) == (2, 12)


def test_starters_wait_for_room(store):
    async def main() -> None:
        async with engine_on(store) as engine:
            await engine.queues.limit("emails", QueueLimits(depth=2))
            await engine.queues.room("emails", timeout=5)
            handle = await engine.start(fan(3), id="f")
            await until(lambda: _waits(engine, 3), "the tasks to wait")
            with pytest.raises(TimeoutError):
                await engine.queues.room("emails", timeout=0.05)
            async with QueueWorker(store, queues=["emails"], settings=QUICK):
                await engine.queues.room("emails", timeout=PATIENCE)
                await handle.result()

    asyncio.run(main())


def test_progress_is_seen_and_beats_count(store):
    async def work() -> None:
        current().heartbeat({"sent": 7})
        await asyncio.wait_for(HOOKS["go on"].wait(), PATIENCE)

    async def main() -> None:
        HOOKS["ann"], HOOKS["go on"] = work, asyncio.Event()
        async with alone(store, Settings(lease=0.6, poll=0.01, grace=0.2)) as engine:
            handle = await engine.start(one("ann"), id="a")

            async def shown() -> bool:
                return [each.progress for each in await handle.tasks()] == ['{"sent":7}']

            await until(shown, "progress")
            HOOKS["go on"].set()
            await handle.result()
            assert await handle.tasks() == []

    asyncio.run(main())


def test_priority_and_delay_of_a_call():
    @saga(name="q.ordered")
    async def ordered() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(later("late").options(delay=0.2))
            group.create_task(later("low"))
            group.create_task(later("high").options(priority=3))

    @step(name="q.later", queue="ordered")
    async def later(what: str) -> None:
        SEEN.append((what,))

    async def main() -> None:
        async with Engine(sagas=[ordered], settings=QUICK, queues=["ordered"]) as engine:
            await engine.queues.limit("ordered", QueueLimits(concurrency=1))
            await engine.run(ordered(), id="o")

    asyncio.run(main())
    assert SEEN == [("high",), ("low",), ("late",)]


def test_a_key_limits_its_like():
    running = Counter[str]()
    clashes: list[str] = []

    @step(name="q.keyed", queue="keyed", key=lambda customer, number: customer)
    async def keyed(customer: str, number: int) -> None:
        running[customer] += 1
        if running[customer] > 1:
            clashes.append(customer)
        await asyncio.sleep(0.005)
        running[customer] -= 1
        SEEN.append((customer, number))

    @saga(name="q.by_key")
    async def by_key() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(keyed("ab"[number % 2], number))

    async def main() -> None:
        async with Engine(sagas=[by_key], settings=QUICK, queues=["keyed"]) as engine:
            await engine.queues.limit("keyed", QueueLimits(per_key=1))
            await engine.run(by_key(), id="k")

    asyncio.run(main())
    assert (clashes, len(SEEN)) == ([], 8)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priority": 1}, "steps with a queue"),
        ({"queue": ""}, "visible text"),
        ({"queue": "q", "pool": "a:b"}, "visible text"),
        ({"queue": "q", "transaction": True}, "runs elsewhere"),
        ({"queue": "q", "limit": 1}, "runs elsewhere"),
        ({"queue": "q", "priority": 0.5}, "whole number"),
        ({"queue": "q", "key": "customer"}, "function"),
    ],
)
def test_mistakes_of_definition(options, said):
    with pytest.raises(DefinitionError, match=said):
        step(**options)


def test_a_queue_without_steps_is_not_served():
    async def main() -> None:
        with pytest.raises(UnknownName, match="did you mean 'emails'"):
            async with Engine(queues=["email"]):
                pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("queues", "said"),
    [([], "at least one queue"), ("emails", "takes a list"), ([""], "has a name"), ([7], "has a name")],
)
def test_a_queue_worker_names_what_it_serves(queues: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        QueueWorker("memory://", queues=queues)
    assert caught.value.hint.startswith("queues=[")


def test_a_fork_undoes_under_the_keys_of_before(store: Any) -> None:
    @step(name="q.last", retry=Retry(attempts=1), recovery={LookupError: "ask"})
    async def last() -> None:
        raise LookupError("no")

    @saga(name="q.forked")
    async def forked(to: str) -> None:
        await send(to)
        await last()

    keys: list[str] = []

    async def recalled() -> None:
        keys.append(current().idempotency_key)

    async def main() -> None:
        async with Engine(store, sagas=[forked], queues=["emails"], settings=QUICK) as engine:
            HOOKS["undo ann"] = recalled
            first = await engine.start(forked("ann"), id="one")
            assert (await first.outcome()).status == "attention"
            await first.terminate("no more")
            await first.outcome()
            fork = await first.fork("last")
            assert (await fork.outcome()).status == "attention"
            await fork.cancel("no more")
            assert (await fork.outcome()).status == "compensated"
            ((_, _, _, key),) = (each for each in SEEN if each[0] == "send")
            assert keys == [key.removesuffix("do") + "undo"]

    asyncio.run(main())


def test_a_task_says_the_key_that_its_action_began_with() -> None:
    """Servers in other languages are told the key; those in Python make it of its parts."""
    header = Header(uid="fork", id="one-fork", saga="q.one", input="{}", created_at=0.0)
    action = Action("1", "step", "q.send", Raw(b"{}"), 1, "", 0, 0.5, origin="original")
    call = assignment.write(header, action, "undo", assignment.Policy())
    task = Task(
        uid="fork",
        action="1",
        direction="undo",
        namespace="default",
        queue="emails",
        step="q.send",
        call=call,
    )
    given = assignment.read(task)
    assert given.idempotency_key == "original/0/1/undo"
    assert assignment.current_of(Lease(1, 0, task), given).idempotency_key == given.idempotency_key
