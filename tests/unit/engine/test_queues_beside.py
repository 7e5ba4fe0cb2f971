"""Queues beside envelopes and pauses: what is asked of each holds with the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Engine, QueueWorker, Rejected, Retry, Settings, current, saga, step
from amends.clock import SystemClock
from amends.encryption import Codec, KeyRing, MasterKey
from amends.errors import KeyUnavailable
from amends.store import MemoryStore, open_store
from amends.store.enclosed import enclosed, tasks
from amends.store.port import Store
from amends.store.queueing import Ask, Queueing
from tests.stores import bytes_of

from .waiting import until

NAME = "Marigold Featherstone"  # stands nowhere in a store
QUICK = Settings(lease=2.0, poll=0.01, grace=0.2)
GO = "go"
BEGUN: list[str] = []
HOLD: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _forget() -> None:
    BEGUN.clear()
    HOLD.clear()


@step(name="qb.write", queue="letters", retry=Retry(attempts=3, delay=0.01))
async def write(text: str) -> str:
    now = current()
    BEGUN.append(f"{now.direction} {now.attempt}")
    now.heartbeat({"at": text})
    if GO in HOLD:
        await HOLD[GO].wait()
    if text.endswith("unwritten"):
        raise Rejected(f"nobody writes to {text}")
    if text.endswith("twice") and now.attempt == 1:
        raise OSError(f"no ink for {text}")
    return f"Dear {text}"


@write.compensation
async def unwrite(letter: str | None, text: str) -> None:
    BEGUN.append(f"undo of {letter}")


@step(name="qb.fail")
async def fail() -> None:
    raise Rejected("no")


@saga(name="qb.letter", subject=lambda text, ends="": "c-1")
async def letter(text: str, ends: str = "") -> str:
    said = await write(text)
    if ends:
        await fail()
    return said


class Ring(KeyRing):
    away = False

    async def unwrap(self, id: str, wrapped: bytes, master: str) -> bytes:
        if self.away:
            raise KeyUnavailable("the service does not answer")
        return await super().unwrap(id, wrapped, master)


def codec() -> Codec:
    return Codec(keys=Ring(MasterKey(MasterKey.generate())))


def engine_on(store: Any, *queues: str, codec: Codec | None = None) -> Engine:
    return Engine(store, sagas=[letter], queues=queues, settings=QUICK, codec=codec)


# ---------------------------------------------------------------- envelopes


def test_nothing_that_goes_through_a_queue_is_in_the_clear(store: MemoryStore | str) -> None:
    one = codec()

    async def main() -> None:
        HOLD[GO] = asyncio.Event()
        async with (
            engine_on(store, codec=one) as engine,
            QueueWorker(store, queues=["letters"], settings=QUICK, codec=one),
        ):
            handle = await engine.start(letter(NAME), id="well")
            await until(lambda: _shows_progress(engine))
            assert b"Marigold" not in bytes_of(store)  # the task, and how far it is
            HOLD[GO].set()
            assert await handle.result() == f"Dear {NAME}"
            undone = await (await engine.start(letter(NAME, "badly"), id="badly")).outcome()
            again = await (await engine.start(letter(f"{NAME} twice"), id="twice")).outcome()
            told = await (await engine.start(letter(f"{NAME} unwritten"), id="told")).outcome()
            assert undone.status == told.status == "compensated"
            assert again.value == f"Dear {NAME} twice"
            assert NAME in str(told.error)
        # Reports that nobody has heard yet.
        HOLD[GO] = asyncio.Event()
        async with engine_on(store, codec=one) as engine:
            await engine.start(letter(NAME), id="unheard")
        before = len(BEGUN)
        async with QueueWorker(store, queues=["letters"], settings=QUICK, codec=one):
            await until(lambda: len(BEGUN) > before)
            HOLD[GO].set()
        assert b"Marigold" not in bytes_of(store)
        async with engine_on(store, codec=one) as engine:
            assert await engine.handle(letter, "unheard").result() == f"Dear {NAME}"
        assert b"Marigold" not in bytes_of(store)

    asyncio.run(main())
    assert f"undo of Dear {NAME}" in BEGUN


async def _shows_progress(engine: Engine) -> bool:
    found = await engine.handle(letter, "well").tasks()
    return [each.progress for each in found] == [f'{{"at":"{NAME}"}}']


@pytest.mark.parametrize("call", ["renew_tasks", "report_tasks"])
def test_without_one_of_its_hands_it_would_be(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Ablation: a call that is passed on as it is."""

    async def passed(self: Any, *given: Any) -> Any:
        return await getattr(self.kept, call)(*given)

    monkeypatch.setattr(tasks.TaskPart, call, passed)
    with pytest.raises(AssertionError, match="Marigold"):
        test_nothing_that_goes_through_a_queue_is_in_the_clear(f"sqlite:///{tmp_path}/x.db")


def test_every_call_of_queues_was_thought_about() -> None:
    """What is not wrapped carries no payload."""
    clear = {"return_tasks", "cancel_tasks", "queues", "set_queue"}
    calls = {name for name in vars(Queueing) if not name.startswith("_")}
    assert calls - set(vars(tasks.TaskPart)) == clear


def test_whoever_has_no_codec_runs_nothing(store: MemoryStore | str) -> None:
    async def main() -> None:
        async with engine_on(store, codec=codec()) as engine:
            handle = await engine.start(letter(NAME), id="a")
            async with QueueWorker(store, queues=["letters"], settings=QUICK):
                await until(lambda: _needs(handle, "attention"))
            status = await handle.status()
            assert "codec" in str(status.items)
            assert not BEGUN

    asyncio.run(main())


async def _needs(handle: Any, status: str) -> bool:
    return (await handle.status()).status == status


def test_a_master_key_out_of_reach_takes_nothing_and_costs_no_try(store: MemoryStore | str) -> None:
    one = codec()

    async def main() -> None:
        there: Store = open_store(store) if isinstance(store, str) else store
        async with engine_on(store, codec=one) as engine:
            handle = await engine.start(letter(NAME), id="a")
            await until(lambda: _waits(engine))
            await there.open()
            ring = Ring(one.keys.master, lifetime=1e-9)  # remembers nothing
            closed = enclosed(there, Codec(keys=ring), SystemClock())
            ask = Ask(queue="letters", holder="h", limit=5, lease=60.0)
            ring.away = True
            with pytest.raises(KeyUnavailable):
                await closed.take_tasks(ask, SystemClock().now())
            assert await _waits(engine)
            ring.away = False
            (lease,) = (await closed.take_tasks(ask, SystemClock().now())).leases
            assert lease.lapses == 0
            await closed.return_tasks([lease.token])
            await there.close()
            async with QueueWorker(store, queues=["letters"], settings=QUICK, codec=one):
                assert await handle.result() == f"Dear {NAME}"

    asyncio.run(main())
    assert BEGUN == ["do 1"]


async def _waits(engine: Engine) -> bool:
    return (await engine.queues.status("letters")).waiting == 1


def test_a_subject_that_was_forgotten_is_told_to_nobody(store: MemoryStore | str) -> None:
    """What waits in a queue does not open any more."""
    one = codec()

    async def main() -> None:
        async with engine_on(store, codec=one) as engine:
            await engine.start(letter(NAME), id="a")
            await until(lambda: _waits(engine))
            await engine.keys.forget("c-1", "asked for")
            async with QueueWorker(store, queues=["letters"], settings=QUICK, codec=one):
                await until(lambda: _needs(engine.handle(letter, "a"), "attention"))

    asyncio.run(main())
    assert not BEGUN


# ---------------------------------------------------------------- pauses


def test_what_ends_in_a_pause_is_kept_for_afterwards(store: MemoryStore | str) -> None:
    """An attempt of a queue is under way when its saga is paused, and ends: the saga goes on when resumed."""

    async def main() -> None:
        HOLD[GO] = asyncio.Event()
        async with engine_on(store, "letters") as engine:
            handle = await engine.start(letter(f"{NAME} twice", "badly"), id="a")
            await until(lambda: BEGUN)
            await handle.pause("a fire", by="ann")
            await until(lambda: _paused(handle))
            HOLD[GO].set()
            await asyncio.sleep(0.3)  # its report has come, and nothing follows
            assert BEGUN == ["do 1"]
            assert await _paused(handle)
        async with engine_on(store, "letters") as engine:  # another owner leaves it alone, too
            handle = engine.handle(letter, "a")
            await asyncio.sleep(0.1)
            assert BEGUN == ["do 1"]
            await handle.resume(by="ann")
            assert (await handle.outcome()).status == "compensated"
            assert await handle.tasks() == []

    asyncio.run(main())
    assert ["do 1", "do 2", f"undo of Dear {NAME} twice"] == BEGUN


async def _paused(handle: Any) -> bool:
    return bool((await handle.status()).paused)
