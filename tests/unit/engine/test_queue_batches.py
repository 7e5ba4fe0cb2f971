"""Calls of a step that are run together: each keeps what is promised of a step that runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from amends import (
    BatchCall,
    Compensated,
    DefinitionError,
    Engine,
    QueueLimits,
    QueueWorker,
    Rejected,
    Resource,
    Retry,
    Settings,
    StepFailed,
    current,
    injected,
    saga,
    step,
    undo_with,
)
from amends.encryption import Codec, KeyRing, MasterKey
from amends.store import MemoryStore
from amends.store.queueing import Ask

from .waiting import until

QUICK = Settings(lease=2.0, poll=0.01, grace=0.2)
LONG = 3600.0
BATCHES: list[list[tuple[str, int, str]]] = []
"""What the batch functions were given: argument, attempt and key of each call."""
UNDONE: list[str] = []
HOOKS: dict[str, Callable[[Sequence[BatchCall[str]]], Any]] = {}

StoreGiven = MemoryStore | str


@pytest.fixture(autouse=True)
def _forget() -> None:
    BATCHES.clear()
    UNDONE.clear()
    HOOKS.clear()


@step(name="qba.send", queue="batched", retry=Retry(attempts=4, delay=0.01))
async def send(to: str) -> str:
    raise AssertionError("what has a batch function is run by it")


@send.batch(size=10, within=0.1)
async def send_all(calls: Sequence[BatchCall[str]]) -> list[str | Exception]:
    BATCHES.append([(call.argument, call.attempt, call.idempotency_key) for call in calls])
    if "send" in HOOKS:
        found = HOOKS["send"](calls)
        return await found if asyncio.iscoroutine(found) else found  # type: ignore[no-any-return]
    return [f"mail-{call.argument}" for call in calls]


@send.compensation
async def recall(mail: str | None, to: str) -> None:
    UNDONE.append(to)


@step(name="qba.fail")
async def fail() -> None:
    raise Rejected("no")


@saga(name="qba.one")
async def one(to: str) -> str:
    try:
        return await send(to)
    except StepFailed as error:
        return f"{error.type} {error.outcome}"


@saga(name="qba.doomed")
async def doomed(to: str) -> None:
    await send(to)
    await fail()


@saga(name="qba.fan")
async def fan(count: int) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(str(number))) for number in range(count)]
    return [task.result() for task in tasks]


SAGAS = [one, doomed, fan]


def engine_on(store: StoreGiven, *queues: str, settings: Settings = QUICK, **more: Any) -> Engine:
    return Engine(store, sagas=SAGAS, queues=queues, settings=settings, **more)


async def gathered(store: StoreGiven, *names: str) -> dict[str, str]:
    """Run a saga for each name; their calls wait in the queue until all of them are there."""
    async with engine_on(store, "batched") as engine:
        await engine.queues.pause("batched")
        handles = {name: await engine.start(one(name), id=name) for name in names}

        async def all_wait() -> bool:
            return (await engine.queues.status("batched")).waiting == len(names)

        await until(all_wait, "all calls to wait")
        await engine.queues.resume("batched")
        return {name: await handle.result() for name, handle in handles.items()}


def sizes() -> list[int]:
    return [len(batch) for batch in BATCHES]


# ---------------------------------------------------------------- together


def test_calls_of_many_sagas_go_together(store: StoreGiven) -> None:
    ends = asyncio.run(gathered(store, *"abcdefg"))
    assert ends == {name: f"mail-{name}" for name in "abcdefg"}
    assert len(BATCHES) < 7
    keys = {key for batch in BATCHES for *_, key in batch}
    assert len(keys) == 7


def test_no_more_than_its_size(store: StoreGiven) -> None:
    async def main() -> None:
        async with (
            engine_on(store) as engine,
            QueueWorker(store, queues=["batched"], settings=QUICK),
        ):
            assert await engine.run(fan(25), id="f") == [f"mail-{number}" for number in range(25)]

    asyncio.run(main())
    assert sum(sizes()) == 25
    assert max(sizes()) <= 10
    assert len(BATCHES) < 25


def test_alone_after_a_while(store: StoreGiven) -> None:
    async def main() -> None:
        async with engine_on(store, "batched") as engine:
            assert await engine.run(one("ann"), id="a") == "mail-ann"

    asyncio.run(main())
    assert sizes() == [1]


# ---------------------------------------------------------------- each its own end


def test_each_has_its_own_end(store: StoreGiven) -> None:
    def answer(calls: Sequence[BatchCall[str]]) -> list[Any]:
        ends: dict[str, Any] = {
            "ann": "fine",
            "bob": Rejected("no such mailbox"),
            "cy": ConnectionError("lost"),
            "di": 7,  # not what the step says it returns
        }
        return [
            "late" if call.argument == "cy" and call.attempt > 1 else ends[call.argument] for call in calls
        ]

    HOOKS["send"] = answer
    ends = asyncio.run(gathered(store, "ann", "bob", "cy", "di"))
    assert ends == {"ann": "fine", "bob": "Rejected rejected", "cy": "late", "di": "Unreadable unknown"}
    assert UNDONE == ["di"]
    tries = [key for batch in BATCHES for name, _, key in batch if name == "cy"]
    assert len(tries) == 2
    assert len(set(tries)) == 1


def test_a_failure_of_the_function_is_one_of_each(store: StoreGiven) -> None:
    def stumble(calls: Sequence[BatchCall[str]]) -> list[Any]:
        if any(call.attempt == 1 for call in calls):
            raise ConnectionError("lost")
        return [call.argument for call in calls]

    HOOKS["send"] = stumble
    names = [str(number) for number in range(5)]
    assert asyncio.run(gathered(store, *names)) == {name: name for name in names}
    tried = sorted((name, attempt) for batch in BATCHES for name, attempt, _ in batch)
    assert tried == sorted((name, attempt) for name in names for attempt in (1, 2))


def test_a_rejection_of_all_is_certain(store: StoreGiven) -> None:
    def refuse(calls: Sequence[BatchCall[str]]) -> list[Any]:
        raise Rejected("closed")

    HOOKS["send"] = refuse
    assert set(asyncio.run(gathered(store, "ann", "bob")).values()) == {"Rejected rejected"}
    assert UNDONE == []


def test_one_that_takes_the_others_down_is_left_alone(store: StoreGiven) -> None:
    def poisoned(calls: Sequence[BatchCall[str]]) -> list[Any]:
        if any(call.argument == "poison" for call in calls):
            raise ValueError("cannot write that")
        return [call.argument for call in calls]

    HOOKS["send"] = poisoned
    names = [str(number) for number in range(6)]
    ends = asyncio.run(gathered(store, *names, "poison"))
    assert ends == {"poison": "ValueError unknown"} | {name: name for name in names}
    assert UNDONE == ["poison"]


@pytest.mark.parametrize("wrong", [["one"], None, "ab", {"ann": 1, "bob": 2}])
def test_another_number_of_results_is_nobodys(wrong: Any) -> None:
    HOOKS["send"] = lambda calls: wrong if len(calls) == 2 else ["x"] * (len(calls) + 1)
    ends = asyncio.run(gathered(MemoryStore(), "ann", "bob"))
    assert set(ends.values()) == {"PayloadError unknown"}
    assert sorted(UNDONE) == ["ann", "bob"]
    assert all(attempt == 1 for batch in BATCHES for _, attempt, _ in batch)


def test_the_error_says_what_came(store: StoreGiven) -> None:
    async def main() -> str:
        async with engine_on(store, "batched") as engine:
            handle = await engine.start(doomed("ann"), id="a")
            with pytest.raises(Compensated) as raised:
                await handle.result()
            return str(raised.value)

    HOOKS["send"] = lambda calls: []
    said = asyncio.run(main())
    assert "send_all was given 1 calls of qba.send and returned 0 results" in said


def test_it_is_undone_alone(store: StoreGiven) -> None:
    async def main() -> None:
        async with engine_on(store, "batched") as engine:
            handles = [await engine.start(doomed(name), id=name) for name in ("ann", "bob")]
            for handle in handles:
                with pytest.raises(Compensated):
                    await handle.result()

    asyncio.run(main())
    assert sorted(UNDONE) == ["ann", "bob"]


# ---------------------------------------------------------------- no longer wanted, out of time, lost


def test_cancelling_one_leaves_the_others(store: StoreGiven) -> None:
    """It is undone only when the function has ended; and it hears that nobody waits."""
    go = asyncio.Event()
    marked: list[str] = []

    async def hold(calls: Sequence[BatchCall[str]]) -> list[Any]:
        await go.wait()
        assert not UNDONE
        marked.extend(call.argument for call in calls if call.cancelled)
        return [f"mail-{call.argument}" for call in calls]

    async def main() -> None:
        HOOKS["send"] = hold
        settings = Settings(lease=0.6, poll=0.01, grace=0.2)
        async with engine_on(store, "batched", settings=settings) as engine:
            await engine.queues.pause("batched")
            handles = {name: await engine.start(one(name), id=name) for name in ("ann", "bob")}

            async def both_wait() -> bool:
                return (await engine.queues.status("batched")).waiting == 2

            await until(both_wait, "both to wait")
            await engine.queues.resume("batched")
            await until(lambda: sum(sizes()) == 2, "the function")
            await handles["ann"].cancel("changed my mind")
            server = engine._posts[0].server
            assert server is not None

            def heard() -> bool:
                running = server._attempts.running.values()
                return any(attempt.stop is not None for attempt in running)

            await until(heard, "the cancel to be heard")
            go.set()
            with pytest.raises(Compensated):
                await handles["ann"].result()
            assert await handles["bob"].result() == "mail-bob"

    asyncio.run(main())
    assert marked == ["ann"]
    assert UNDONE == ["ann"]


def test_when_nobody_waits_the_function_is_stopped(store: StoreGiven) -> None:
    ended: list[str] = []

    async def hang(calls: Sequence[BatchCall[str]]) -> list[Any]:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.append("stopped" if not UNDONE else "stopped too late")
        return []

    async def main() -> None:
        HOOKS["send"] = hang
        settings = Settings(lease=0.6, poll=0.01, grace=0.2)
        async with engine_on(store, "batched", settings=settings) as engine:
            handles = [await engine.start(one(name), id=name) for name in ("ann", "bob")]
            await until(lambda: sum(sizes()) == 2, "the function")
            for handle in handles:
                await handle.cancel("changed my mind")
            for handle in handles:
                with pytest.raises(Compensated):
                    await handle.result()

    asyncio.run(main())
    assert set(ended) == {"stopped"}
    assert sorted(UNDONE) == ["ann", "bob"]


def test_cancelled_while_it_waits_for_others(store: StoreGiven) -> None:
    """Nothing was begun, so there is nothing to undo."""

    async def main() -> None:
        settings = Settings(lease=0.6, poll=0.01, grace=0.2)
        async with Engine(store, sagas=[patient], queues=["patient"], settings=settings) as engine:
            handle = await engine.start(patient(), id="p")

            async def taken() -> bool:
                return (await engine.queues.status("patient")).running == 1

            await until(taken, "the task to be taken")
            await handle.cancel("changed my mind")
            with pytest.raises(Compensated):
                await handle.result()

    asyncio.run(main())
    assert UNDONE == []
    assert BATCHES == []


@step(name="qba.wait", queue="patient")
async def wait(to: str) -> None:
    raise AssertionError


@wait.batch(within=LONG)
async def wait_all(calls: Sequence[BatchCall[str]]) -> list[None]:
    BATCHES.append([])
    return [None for _ in calls]


@wait.compensation
async def unwait(_: None, to: str) -> None:
    UNDONE.append(to)


@saga(name="qba.patient")
async def patient() -> None:
    await wait("ann")


def test_a_drain_does_not_wait_for_others(store: StoreGiven) -> None:
    async def main() -> None:
        async with Engine(store, sagas=[patient], settings=QUICK) as engine:
            async with QueueWorker(store, queues=["patient"], settings=QUICK) as worker:
                handle = await engine.start(patient(), id="p")
                await until(lambda: worker.running == 1, "the task to be taken")
            await handle.result()

    asyncio.run(main())
    assert len(BATCHES) == 1


def test_a_server_that_dies_taints_each(store: StoreGiven) -> None:
    def refuse(calls: Sequence[BatchCall[str]]) -> list[Any]:
        return [Rejected("no such mailbox") for _ in calls]

    async def main() -> None:
        HOOKS["send"] = refuse
        async with engine_on(store) as engine:
            handles = [await engine.start(one(name), id=name) for name in ("ann", "bob")]

            async def both_wait() -> bool:
                return (await engine.queues.status("batched")).waiting == 2

            await until(both_wait, "both to wait")
            await engine.store.take_tasks(
                Ask(queue="batched", holder="dies", limit=2, lease=0.0), engine._clock.now()
            )
            async with QueueWorker(store, queues=["batched"], settings=QUICK):
                for handle in handles:
                    assert await handle.result() == "Rejected unknown"

    asyncio.run(main())
    assert sorted(UNDONE) == ["ann", "bob"]
    assert {attempt for batch in BATCHES for _, attempt, _ in batch} == {2}


# ---------------------------------------------------------------- beside what else there is


def test_limits_count_its_calls(store: StoreGiven) -> None:
    async def main() -> None:
        async with engine_on(store, "batched") as engine:
            await engine.queues.limit("batched", QueueLimits(concurrency=2))
            await engine.run(fan(6), id="f")

    asyncio.run(main())
    assert sum(sizes()) == 6
    assert max(sizes()) <= 2


def test_behind_envelopes(store: StoreGiven) -> None:
    codec = Codec(keys=KeyRing(MasterKey(MasterKey.generate())))

    async def main() -> None:
        async with (
            engine_on(store, codec=codec) as engine,
            QueueWorker(store, queues=["batched"], settings=QUICK, codec=codec),
        ):
            assert await engine.run(fan(3), id="f") == ["mail-0", "mail-1", "mail-2"]

    asyncio.run(main())
    assert sum(sizes()) == 3


def test_its_journal_is_that_of_a_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def journal() -> list[tuple[str, str]]:
        async with engine_on(MemoryStore(), "batched") as engine:
            handle = await engine.start(one("ann"), id="a")
            assert await handle.result() == "mail-ann"
            found = await engine.store.read((await handle.status()).uid)
            assert found is not None
            return [(row.events, row.commands) for row in found[1]]

    together = asyncio.run(journal())
    assert sizes() == [1]
    monkeypatch.setattr(send, "batching", None)
    monkeypatch.setattr(send, "fn", _alone)
    assert asyncio.run(journal()) == together
    assert sizes() == [1]


async def _alone(to: str) -> str:
    return f"mail-{to}"


class Relay:
    name = "relay"


class Office:
    @step(name="qba.post", queue="office")
    async def post(self, to: str, *, copies: int = 1) -> str:
        raise AssertionError

    @post.batch(size=5, within=0.02)
    def post_all(self, calls: list[BatchCall[str]], relay: Resource[Relay] = injected) -> list[str]:
        BATCHES.append([(call.argument, call.args.copies, current().idempotency_key) for call in calls])
        current().heartbeat()
        return [f"{call.argument} x{call.args.copies} by {relay.name}" for call in calls]

    @saga(name="qba.office")
    async def office(self, to: str) -> list[str]:
        return list(await asyncio.gather(self.post(to), self.post(to, copies=2)))


def test_a_method_in_threads_with_resources(store: StoreGiven) -> None:
    office = Office()

    async def main() -> None:
        async with Engine(
            store,
            sagas=[office.office],
            steps=[office],
            resources=[Relay()],
            queues=["office"],
            settings=QUICK,
        ) as engine:
            assert await engine.run(office.office("ann"), id="o") == ["ann x1 by relay", "ann x2 by relay"]

    asyncio.run(main())
    assert all("/" in key for batch in BATCHES for *_, key in batch)


def test_outside_of_an_engine_it_is_given_one_call() -> None:
    assert asyncio.run(_plain("ann")) == "mail-ann"
    HOOKS["send"] = lambda calls: [Rejected("no such mailbox")]
    with pytest.raises(Rejected, match="no such mailbox"):
        asyncio.run(_plain("ann"))


async def _plain(to: str) -> str:
    return await send(to)


def test_in_a_test_its_calls_are_made_by_hand() -> None:
    async def main() -> Sequence[str | Exception]:
        calls: list[BatchCall[str]] = [BatchCall(send("ann").args, idempotency_key="k-1")]
        return await send_all(calls)

    assert asyncio.run(main()) == ["mail-ann"]
    assert BATCHES == [[("ann", 1, "k-1")]]


def test_it_may_undo_by_hand(store: StoreGiven) -> None:
    """As an ad hoc compensation it runs alone, with its own resources."""

    async def main() -> None:
        async with Engine(
            store, sagas=[noted], queues=["notes"], resources=[Relay()], settings=QUICK
        ) as engine:
            with pytest.raises(Compensated):
                await engine.run(noted(), id="n")

    asyncio.run(main())
    assert UNDONE == ["relay: ann"]


@step(name="qba.note", queue="notes")
async def note(to: str) -> None:
    raise AssertionError


@note.compensation
async def unnote(_: None, to: str) -> None: ...


@note.batch()
async def note_all(calls: list[BatchCall[str]], relay: Resource[Relay] = injected) -> list[None]:
    UNDONE.extend(f"{relay.name}: {call.argument}" for call in calls if call.idempotency_key)
    return [None for _ in calls]


@saga(name="qba.noted")
async def noted() -> None:
    undo_with(note, "ann")
    await fail()


# ---------------------------------------------------------------- declaring it


def test_what_a_batch_function_may_be() -> None:
    @step(name="qba.nowhere")
    async def nowhere(to: str) -> None: ...

    @step(name="qba.somewhere", queue="somewhere", timeout=1.0)
    async def somewhere(to: str) -> None: ...

    async def whole(calls: list[BatchCall[str]]) -> list[None]:
        return []

    async def more(calls: list[BatchCall[str]], what: str) -> list[None]:
        return []

    async def none() -> list[None]:
        return []

    for given, said in (
        (lambda: nowhere.batch()(whole), "has no queue"),
        (lambda: somewhere.batch(size=0)(whole), "whole number from 1"),
        (lambda: somewhere.batch(within=1.0)(whole), "1 s in all"),
        (lambda: somewhere.batch()(more), "(calls, what)"),
        (lambda: somewhere.batch()(none), "expected one, for all calls"),
    ):
        with pytest.raises(DefinitionError, match=None) as raised:
            given()
        assert said in str(raised.value)
    assert somewhere.batch()(whole) is whole
    with pytest.raises(DefinitionError, match="has a batch function already"):
        somewhere.batch()(whole)
